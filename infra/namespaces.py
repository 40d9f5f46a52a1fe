"""The namespaces, each with its Pod Security level and everything forbidden on its network to begin with."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import core, meta

from infra import network_policy
from infra.identity import Identity

SERVING = "llmp-serving"
MONITORING = "llmp-monitoring"


class Namespaces(pulumi.ComponentResource):
    """`serving` for what answers users, `monitoring` for what watches it; both at level `restricted`."""

    def __init__(self, identity: Identity, opts: pulumi.ResourceOptions) -> None:
        super().__init__("llmp:infra:Namespaces", "namespaces", None, opts)
        self.serving = self._namespace(SERVING, identity)
        self.monitoring = self._namespace(MONITORING, identity)
        self.register_outputs({})

    def _namespace(self, name: str, identity: Identity) -> pulumi.Output[str]:
        level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
        child = pulumi.ResourceOptions(parent=self)
        namespace = core.v1.Namespace(
            name, metadata=meta.v1.ObjectMetaArgs(name=name, labels={**identity.labels, **level}), opts=child
        )
        network_policy.deny_all(name, namespace.metadata.name, identity, child)
        return namespace.metadata.apply(lambda metadata: str(metadata.name))
