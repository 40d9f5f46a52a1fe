"""Addresses and folders of the local node. One value; everything else derives from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the node lives.

    The node has a network namespace of its own. A virtual cable joins it to the host: `interface` with `host_address`
    on this side, `node_address` on the other. Pods and services are reachable from the node only, and the node from
    this machine only, because the host does not route for it.
    """

    root: Path
    name: str = "local"
    link: IPv4Network = IPv4Network("10.200.0.0/30")
    pods: IPv4Network = IPv4Network("10.244.0.0/24")
    services: IPv4Network = IPv4Network("10.96.0.0/16")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,8}", self.name):
            raise ValueError(f"cluster name {self.name!r}: use 1 to 9 of a-z and 0-9; it names an interface")
        if len(str(self.containerd_socket)) > 100:
            raise ValueError(f"{self.root} is too long a path for Unix sockets: set LLMP_STATE to a shorter one")

    @property
    def interface(self) -> str:
        """The host's end of the cable."""
        return f"llmp-{self.name}"

    @property
    def host_address(self) -> IPv4Address:
        return self.link[1]

    @property
    def node_address(self) -> IPv4Address:
        return self.link[2]

    @property
    def dns_service(self) -> IPv4Address:
        return self.services[10]

    @property
    def api_url(self) -> str:
        return f"https://{self.node_address}:6443"

    @property
    def cgroup(self) -> str:
        """Parent of every pod's cgroup, so that they can be told from anybody else's."""
        return f"llmp-{self.name}"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def kubeconfig(self) -> Path:
        return self.pki / "admin.kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def supervisor_socket(self) -> Path:
        return self.root / "supervisor.sock"

    @property
    def volumes(self) -> Path:
        """Where the default StorageClass makes its volumes."""
        return self.root / "volumes"
