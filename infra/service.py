"""A Service of ours: inside the cluster only, headless, or with a node port that people reach it by."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes import core, meta

from infra.identity import Identity
from infra.platform import Door


def service(
    identity: Identity,
    namespace: pulumi.Input[str],
    ports: Mapping[str, int],
    opts: pulumi.ResourceOptions,
    *,
    headless: bool = False,
    door: Door | None = None,
) -> core.v1.Service:
    """`ports` maps the name of a container port to the number it is served on; the first is the one behind `door`."""
    name = identity.component
    node_ports = {next(iter(ports)): door.node_port} if door and door.node_port else {}
    spec = core.v1.ServiceSpecArgs(
        type="NodePort" if node_ports else "ClusterIP",
        cluster_ip="None" if headless else None,
        selector=identity.selector,
        ports=[
            core.v1.ServicePortArgs(
                name=port, port=number, target_port=port, node_port=node_ports.get(port), protocol="TCP"
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
