"""The node's control groups: one parent a hierarchy, made before the kubelet starts, removed after the node ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_REMOVE_SECONDS = 10.0


def _hierarchies() -> list[Path]:
    """The unified hierarchy, or each controller's (version 1, and the hybrid of both)."""
    if (_MOUNT / "cgroup.controllers").exists():
        return [_MOUNT]
    return [
        path for path in sorted(_MOUNT.iterdir()) if path.is_dir() and not path.is_symlink() and os.path.ismount(path)
    ]


def make_parent(name: str) -> None:
    """Create the parent group. In version 2 it must hand its controllers on to the pods."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        available = hierarchy / "cgroup.controllers"
        if available.exists() and (hierarchy / "cgroup.subtree_control").exists():
            wanted = " ".join(f"+{controller}" for controller in available.read_text().split())
            for level in (hierarchy, group):
                if wanted:
                    (level / "cgroup.subtree_control").write_text(wanted)
        cpus = hierarchy / "cpuset.cpus"
        if cpus.exists() and not (group / "cpuset.cpus").read_text().strip():
            for file in ("cpuset.cpus", "cpuset.mems"):  # version 1 does not inherit them
                (group / file).write_text((hierarchy / file).read_text())


def remove_tree(name: str) -> None:
    """Remove the group and all below it; waits up to 10 s for the last process to be gone."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            while True:
                try:
                    Path(folder).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
