"""The node's control groups: one parent a hierarchy, made before the kubelet starts, removed after the node ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

from infra.errors import ClusterError, MachineError

_MOUNT = Path("/sys/fs/cgroup")
_REMOVE_SECONDS = 10.0
# What the kubelet and runc account with.
_CONTROLLERS = {"cpu", "cpuset", "memory", "pids", "io", "hugetlb"}


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
            for controller in _CONTROLLERS & set(available.read_text().split()):
                for level in (hierarchy, group):
                    _hand_on(level / "cgroup.subtree_control", controller)
        cpus = hierarchy / "cpuset.cpus"
        if cpus.exists() and not (group / "cpuset.cpus").read_text().strip():
            for file in ("cpuset.cpus", "cpuset.mems"):  # version 1 does not inherit them
                (group / file).write_text((hierarchy / file).read_text())


def _hand_on(file: Path, controller: str) -> None:
    try:
        file.write_text(f"+{controller}")  # one at a time: a refused one would take the others with it
    except OSError as error:
        if controller not in file.read_text().split():
            raise MachineError(
                f"{file}: the controller {controller} cannot be handed on: {error.strerror}",
                mend="run on the machine itself, or in a container that may manage its control groups",
            ) from error


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
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise ClusterError(
                            f"{folder} cannot be removed: {error.strerror}", mend="run `llmp down` again"
                        ) from error
                    time.sleep(0.05)
