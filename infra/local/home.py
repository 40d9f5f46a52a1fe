"""Where the local platform keeps its files, all outside the repository.

cache  what can be made again: programs, wheels, images. `make clean` removes it. $LLMP_CACHE.
state  what a running platform owns: certificates, etcd, volumes, the Pulumi state. `llmp down` removes it. $LLMP_STATE.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The two folders. The state folder must be on a local disk and its path short: it holds Unix sockets."""

    cache: Path
    state: Path

    @classmethod
    def from_environment(cls) -> Home:
        """The folders that `llmp` uses, from $LLMP_CACHE and $LLMP_STATE or their defaults."""
        xdg = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(
            cache=Path(os.environ.get("LLMP_CACHE") or xdg / "llmp"),
            state=Path(os.environ.get("LLMP_STATE") or "/var/lib/llmp"),
        )

    @property
    def programs(self) -> Path:
        """Programs built from pinned modules, one folder a family and pin."""
        return self.cache / "programs"

    @property
    def wheels(self) -> Path:
        """Packages fetched for their contents: a model, kubectl, Valkey."""
        return self.cache / "wheels"

    @property
    def images(self) -> Path:
        """Image archives, named by the hash of their inputs."""
        return self.cache / "images"

    @property
    def node(self) -> Path:
        """Everything of the local node: certificates, etcd, containerd, kubelet, logs."""
        return self.state / "node"

    @property
    def kubeconfig(self) -> Path:
        """Administrator access to the local cluster; readable by its owner alone."""
        return self.node / "pki" / "admin.kubeconfig"

    @property
    def pulumi(self) -> Path:
        """The Pulumi file backend and its passphrase."""
        return self.state / "pulumi"
