"""Where the local platform keeps its files, all outside the repository.

cache  what can be made again: programs, wheels, images. `make clean` removes it. $LLMP_CACHE.
state  what a running platform owns. $LLMP_STATE. In it `node` has all of the local cluster, the Pulumi state of its
       stacks included: `llmp down` removes that. `stacks` has the state of stacks on other clusters, which nothing
       removes: it is the only record of what stands there.
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
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        own_state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        state = Path("/var/lib") if os.geteuid() == 0 else own_state
        return cls(
            cache=Path(os.environ.get("LLMP_CACHE") or cache / "llmp"),
            state=Path(os.environ.get("LLMP_STATE") or state / "llmp"),
        )

    @property
    def programs(self) -> Path:
        """Programs built from pinned modules, one folder a family and pin."""
        return self.cache / "programs"

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
    def plugins(self) -> Path:
        """The launcher of our own `kubernetes` provider, and what is remembered of the real one."""
        return self.cache / "plugins"

    @property
    def pulumi(self) -> Path:
        """$PULUMI_HOME for the engine: the user's own, where their plugins are, else one in the cache."""
        own = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
        return own if own.is_dir() else self.cache / "pulumi"
