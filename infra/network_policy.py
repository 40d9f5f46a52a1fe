"""Who may talk to whom. A namespace begins with everything forbidden; each part then names its callers and callees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes import meta, networking

from infra.identity import Identity

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Peer:
    """A part in a namespace, or with `component` None the whole namespace, or with `cidr` addresses outside pods."""

    namespace: str | None = None
    component: str | None = None
    cidr: str | None = None

    def selector(self) -> networking.v1.NetworkPolicyPeerArgs:
        if self.cidr is not None:
            return networking.v1.NetworkPolicyPeerArgs(ip_block=networking.v1.IPBlockArgs(cidr=self.cidr))
        pods = {"app.kubernetes.io/name": self.component} if self.component else {}
        return networking.v1.NetworkPolicyPeerArgs(
            namespace_selector=meta.v1.LabelSelectorArgs(
                match_labels={_NAMESPACE_LABEL: self.namespace} if self.namespace else {}
            ),
            pod_selector=meta.v1.LabelSelectorArgs(match_labels=pods),
        )


@dataclass(frozen=True, slots=True)
class Allow:
    """TCP traffic with `peer` on `port`."""

    peer: Peer
    port: int


ANYBODY = Peer(cidr="0.0.0.0/0")


def deny_all(name: str, namespace: pulumi.Input[str], identity: Identity, opts: pulumi.ResourceOptions) -> None:
    """Nothing in, nothing out, but for name resolution."""
    networking.v1.NetworkPolicy(
        f"{name}-default-deny",
        metadata=meta.v1.ObjectMetaArgs(name="default-deny", namespace=namespace, labels=identity.labels),
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=meta.v1.LabelSelectorArgs(),
            policy_types=["Ingress", "Egress"],
            egress=[
                networking.v1.NetworkPolicyEgressRuleArgs(
                    to=[Peer(namespace="kube-system").selector()],
                    ports=[
                        networking.v1.NetworkPolicyPortArgs(port=53, protocol=protocol) for protocol in ("UDP", "TCP")
                    ],
                )
            ],
        ),
        opts=opts,
    )


def allow(
    identity: Identity,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    ingress: Iterable[Allow] = (),
    egress: Iterable[Allow] = (),
) -> networking.v1.NetworkPolicy:
    """The traffic of one part, beside what `deny_all` leaves."""
    return k8s.networking.v1.NetworkPolicy(
        f"{identity.component}-traffic",
        metadata=meta.v1.ObjectMetaArgs(name=identity.component, namespace=namespace, labels=identity.labels),
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=meta.v1.LabelSelectorArgs(match_labels=identity.selector),
            policy_types=["Ingress", "Egress"],
            ingress=[
                networking.v1.NetworkPolicyIngressRuleArgs(
                    from_=[rule.peer.selector()], ports=[networking.v1.NetworkPolicyPortArgs(port=rule.port)]
                )
                for rule in ingress
            ],
            egress=[
                networking.v1.NetworkPolicyEgressRuleArgs(
                    to=[rule.peer.selector()], ports=[networking.v1.NetworkPolicyPortArgs(port=rule.port)]
                )
                for rule in egress
            ],
        ),
        opts=opts,
    )
