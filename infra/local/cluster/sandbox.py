"""The first process of the node, in new PID and mount namespaces: `python -m …cluster.sandbox ROOT NAME LINK`.

It prepares mounts and the network namespace, then becomes supervisord. Being process 1 of its PID namespace, its end,
however it comes, makes the kernel end every process of the node; with them go the mounts, the network namespace, its
interfaces and firewall rules. There is no cleaning to forget.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

from infra.local.cluster.layout import Layout


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


def _mounts(layout: Layout) -> None:
    _run("mount", "--make-rprivate", "/")  # nothing that is mounted here reaches the host
    _run("mount", "--make-rshared", "/")  # but containers of the node may share mounts with it
    _run("mount", "-t", "proc", "proc", "/proc")
    # Programs with fixed paths get empty folders of their own there instead of the host's.
    for folder in ("/run", "/var/log", "/var/lib/cni"):
        _run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder)
    layout.volumes.mkdir(parents=True, exist_ok=True)


def _network(layout: Layout) -> None:
    _run("ip", "netns", "add", "node")
    subprocess.run(["ip", "link", "delete", layout.interface], capture_output=True, check=False)  # of a killed run
    prefix = layout.link.prefixlen
    _run("ip", "link", "add", layout.interface, "type", "veth", "peer", "name", "eth0", "netns", "node")
    _run("ip", "address", "add", f"{layout.host_address}/{prefix}", "dev", layout.interface)
    _run("ip", "link", "set", layout.interface, "up")
    inside = ("nsenter", "--net=/run/netns/node", "--")
    _run(*inside, "ip", "link", "set", "lo", "up")
    _run(*inside, "ip", "address", "add", f"{layout.node_address}/{prefix}", "dev", "eth0")
    _run(*inside, "ip", "link", "set", "eth0", "up")
    # Addresses of services need a route to be looked at by the firewall at all. There is no default route: a neighbour
    # of this machine that found its way in would get no reply.
    _run(*inside, "ip", "route", "add", str(layout.services), "via", str(layout.host_address))
    _run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")


def main() -> None:
    root, name, link = sys.argv[1:]
    layout = Layout(Path(root), name=name, link=IPv4Network(link))
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    _mounts(layout)
    _network(layout)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    supervisord = Path(sys.executable).with_name("supervisord")
    os.execv(supervisord, [str(supervisord), "-c", str(layout.config / "supervisord.conf")])


if __name__ == "__main__":
    main()
