"""The environment `local` as a Platform: the cluster of this machine, or one that a kubeconfig names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.identity import Identity
from infra.local.addons import coredns
from infra.local.addons.coredns import CoreDns
from infra.local.addons.local_path import STORAGE_CLASS, LocalPathStorage
from infra.local.addons.metrics_server import MetricsServer
from infra.local.cluster.layout import Layout
from infra.network_policy import Peer
from infra.platform import Door, Platform
from infra.settings import LocalPorts

_FIRST_NODE_PORT = 30080
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Doorway:
    """A service that people reach: its port on this machine and the node port behind it."""

    name: str
    port: int
    node_port: int


def doorways(ports: LocalPorts) -> tuple[Doorway, ...]:
    """One a port of the stack file, in its order."""
    return tuple(
        Doorway(name, getattr(ports, name), _FIRST_NODE_PORT + index)
        for index, name in enumerate(LocalPorts.__struct_fields__)
    )


def embedded(
    identity: Identity, layout: Layout, kubeconfig: str, ports: LocalPorts, images: Mapping[str, str]
) -> Platform:
    """The cluster that `llmp` runs on this machine. `kubeconfig` is its content."""
    provider = k8s.Provider(
        "kubernetes",
        kubeconfig=pulumi.Output.secret(kubeconfig),
        # So that a renewed certificate is an update of the provider and not a new cluster.
        cluster_identifier=f"llmp-{layout.name}",
    )
    on_cluster = pulumi.ResourceOptions(provider=provider)
    CoreDns(identity, layout, images["coredns"], on_cluster)
    storage = LocalPathStorage(identity, layout, images["local-path-provisioner"], images["base"], on_cluster)
    MetricsServer(identity, images["metrics-server"], on_cluster)
    return Platform(
        identity=identity,
        provider=provider,
        images=images,
        doors={door.name: Door(f"http://{_LOOPBACK}:{door.port}", door.node_port) for door in doorways(ports)},
        storage_class=STORAGE_CLASS,
        targets=(coredns.target(identity),),
        people=Peer(cidr=str(layout.link)),
        foundations=(storage,),
    )


def existing(
    identity: Identity, kubeconfig: str | None, context: str | None, ports: LocalPorts, images: Mapping[str, str]
) -> Platform:
    """A cluster that somebody else runs: its own DNS, StorageClass and metrics, nothing opened to the outside."""
    provider = k8s.Provider("kubernetes", kubeconfig=kubeconfig, context=context, cluster_identifier=context)
    return Platform(
        identity=identity,
        provider=provider,
        images=images,
        doors={door.name: Door(f"http://{_LOOPBACK}:{door.port}") for door in doorways(ports)},
        storage_class=None,
        targets=(),
        people=None,
        foundations=(),
    )
