"""`llmp doctor`: whether this machine can carry the local platform, before anything is built."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.cli.context import StackOption, bring_up
from infra.errors import MachineError
from infra.local import system
from infra.local.bring_up import BringUp
from infra.local.cluster.layout import Layout
from infra.local.cluster.node import find
from infra.local.home import Home
from infra.local.platform import doorways
from infra.settings import Settings
from services.engine.deploy import model_spec
from services.engine.resources import pod_resources

GIB = 1 << 30
_NEEDED_MEMORY_GIB = 12
_NEEDED_DISK_GIB = 30
# With everything built, only the node's own data grows.
_NEEDED_DISK_WARM_GIB = 2
_NEEDED_DISK_NODE_GIB = 8
_OTHER_MEMORY_GIB = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` is empty when it is well."""

    subject: str
    found: str
    mend: str = ""

    @property
    def well(self) -> bool:
        return not self.mend


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(stack: StackOption = "local") -> None:
    """Check this machine: system, rights, memory, disk, ports, registries. Exit code 1 when something is amiss."""
    findings = [*checks(bring_up(stack)), *registries()]
    table = Table("", "what", "found", "mend")
    for finding in findings:
        mark = "[green]ok[/green]" if finding.well else "[red]no[/red]"
        table.add_row(mark, escape(finding.subject), escape(finding.found), escape(finding.mend))
    Console().print(table)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def require(work: BringUp) -> None:
    """Raise MachineError naming everything that is amiss. Registries are not asked: what they have may be here."""
    if not work.makes_cluster:
        return
    amiss = [finding for finding in checks(work) if not finding.well]
    if amiss:
        raise MachineError(
            "\n".join(f"{finding.subject}: {finding.found}" for finding in amiss),
            mend="\n".join(finding.mend for finding in amiss),
        )


def checks(work: BringUp) -> Iterator[Finding]:
    """What can be looked at without the network."""
    home, settings = work.home, work.settings
    is_linux = sys.platform == "linux"
    yield Finding(
        "system",
        f"{platform.system()} {platform.machine()}, kernel {platform.release()}",
        "" if is_linux and platform.machine() == "x86_64" else "use a Linux machine, x86_64: the node needs its kernel",
    )
    if not is_linux:
        return
    yield Finding(
        "rights",
        "root" if os.geteuid() == 0 else f"user {os.geteuid()}",
        "" if os.geteuid() == 0 else "run as root (sudo -E): the node makes namespaces and mounts",
    )
    yield _memory(settings)
    yield from _disks(home)
    packages = system.missing_packages()
    apt = shutil.which("apt-get") is not None
    yield Finding(
        "packages",
        f"to be installed by `up`: {', '.join(packages)}" if packages else "all there",
        "" if not packages or apt else f"install: {', '.join(packages)} (there is no apt-get here)",
    )
    running = find(Layout(home.node)) is not None
    yield Finding("local node", "running" if running else "not running")
    for door in doorways(settings.cluster.ports):
        yield _port(door.name, door.port, running)
    yield _subnet(Layout(home.node), running)


def _memory(settings: Settings) -> Finding:
    """The engines' requests, and what everything else takes; 12 GiB for one engine of the embedded model."""
    engines = settings.engine.replicas * pod_resources(model_spec(settings.engine)).memory_request_gib
    needed = max(_NEEDED_MEMORY_GIB, engines + _OTHER_MEMORY_GIB)
    total = psutil.virtual_memory().total / GIB
    return Finding(
        "memory",
        f"{total:.1f} GiB",
        "" if total >= needed else f"use a machine of {needed} GiB or more, or ask for less in llmp:engine",
    )


def _disks(home: Home) -> Iterator[Finding]:
    """Room where the cache is, less what an earlier run has put there already, and where the node's data is."""
    built = sum(file.stat().st_size for file in home.cache.rglob("*") if file.is_file() and not file.is_symlink()) / GIB
    needs = ((home.cache, max(_NEEDED_DISK_WARM_GIB, _NEEDED_DISK_GIB - built), "LLMP_CACHE"),
             (home.state, _NEEDED_DISK_NODE_GIB if not home.node.exists() else 1, "LLMP_STATE"))  # fmt: skip
    for wanted, needed, variable in needs:
        folder = next(path for path in (wanted, *wanted.parents) if path.exists())
        free = shutil.disk_usage(folder).free / GIB
        yield Finding(
            f"disk of {wanted}",
            f"{free:.0f} GiB free",
            "" if free >= needed else f"free {needed:.0f} GiB there, or set {variable} to a folder on a larger disk",
        )


def _port(name: str, port: int, running: bool) -> Finding:
    subject = f"port {port} ({name})"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            holder = _holder(port)
            if running and "socat" in holder:
                return Finding(subject, "held by the local platform")
            return Finding(
                subject,
                f"held by {holder}",
                f"end it, or set llmp:cluster.ports.{name} in the stack file to a free port",
            )
    return Finding(subject, "free")


def _holder(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        address = connection.laddr
        if address and address.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (pid {process.pid})"
            except psutil.NoSuchProcess:
                break
    return "a process that cannot be seen"


def _subnet(layout: Layout, running: bool) -> Finding:
    """The node's link must not shadow a network that this machine already reaches."""
    address = str(layout.node_address)
    ip = shutil.which("ip", path=system.SEARCH_PATH)
    if ip is None:
        return Finding(f"network {layout.link}", "not asked: `ip` is yet to be installed")
    command = [ip, "-o", "route", "get", address]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    direct = " via " not in answer and " dev " in answer and layout.interface not in answer
    taken = direct and not running and " dev lo" not in answer
    return Finding(
        f"network {layout.link}",
        answer.strip() if taken else "free",
        "another interface has these addresses: remove it while the local platform runs" if taken else "",
    )


def registries() -> Iterator[Finding]:
    """Whether each kind of package can be fetched, asked through the clients that will fetch them."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed", "six"]
    asks = {
        "Python packages": pip,
        "Debian packages": ["apt-get", "-qq", "update"],
        "Go modules": ["go", "list", "-m", "-versions", "golang.org/x/mod"],
    }
    for subject, words in asks.items():
        if shutil.which(words[0]) is None:
            yield Finding(subject, f"{words[0]} is not here; not asked")
            continue
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, cwd="/")
        except subprocess.TimeoutExpired:
            yield Finding(subject, "no answer within 60 s", "check the network and proxy settings")
            continue
        reached = done.returncode == 0
        yield Finding(
            subject,
            "reached" if reached else (done.stderr.strip().splitlines() or ["refused"])[-1][:160],
            "" if reached else f"make `{' '.join(words[:3])}` work: network, proxy or index settings",
        )
