"""What a local node would leave on this machine, if it left something."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil

from infra.local.cluster.layout import Layout


def remains(layout: Layout) -> list[str]:
    """Everything of a node that can be found on this machine."""
    found = [
        f"process {process.pid}"
        for process in psutil.process_iter(["cmdline"])
        if any(str(layout.root) in part for part in process.info["cmdline"] or ())
    ]
    found += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if str(layout.root) in line]
    if Path(f"/sys/class/net/{layout.interface}").exists():
        found.append(f"interface {layout.interface}")
    found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").rglob(layout.cgroup)]
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    found += [f"rule {line}" for line in rules.splitlines() if "KUBE-" in line or "CNI-" in line]
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    found += [f"namespace {line}" for line in names.splitlines()]
    return found
