"""The images inside the node's containerd: import what is missing."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.errors import ClusterError


@dataclass(frozen=True, slots=True)
class NodeStore:
    """Images as the kubelet sees them, reached through containerd's socket."""

    socket: Path

    def present(self) -> set[str]:
        """References that need no import."""
        return set(self._ctr("images", "list", "--quiet").split())

    def load(self, reference: str, archive: Path) -> bool:
        """Import the archive unless the reference is there. Returns whether it was imported."""
        if reference in self.present():
            return False
        self._ctr("images", "import", str(archive))
        if reference not in self.present():
            raise ClusterError(
                f"{archive} does not hold {reference}", mend=f"delete {archive} and run again: it is built anew"
            )
        return True

    def _ctr(self, *arguments: str) -> str:
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(
                f"containerd of the local node: {done.stderr.strip()[-400:]}", mend="see `llmp status` and run again"
            )
        return done.stdout
