"""A Service of ours: inside the cluster only, headless, or with a node port that people reach it by."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes import core, meta

from infra.identity import Identity


def service(
    identity: Identity,
    namespace: pulumi.Input[str],
    ports: Mapping[str, int],
    opts: pulumi.ResourceOptions,
    *,
    name: str | None = None,
    headless: bool = False,
    node_ports: Mapping[str, int] | None = None,
    publish_not_ready: bool = False,
) -> core.v1.Service:
    """`ports` maps the name of a container port to the number it is served on."""
    name = name or identity.component
    spec = core.v1.ServiceSpecArgs(
        type="NodePort" if node_ports else "ClusterIP",
        cluster_ip="None" if headless else None,
        publish_not_ready_addresses=publish_not_ready or None,
        selector=identity.selector,
        ports=[
            core.v1.ServicePortArgs(
                name=port, port=number, target_port=port, node_port=(node_ports or {}).get(port), protocol="TCP"
            )
            for port, number in ports.items()
        ],
    )
    return core.v1.Service(
        f"{name}-service",
        metadata=meta.v1.ObjectMetaArgs(name=name, namespace=namespace, labels=identity.labels),
        spec=spec,
        opts=opts,
    )
