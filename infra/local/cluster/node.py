"""Life of the local node: start it, ask how it is, remove it without a trace."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from infra.errors import ClusterError
from infra.local.cluster import cgroups, node_config
from infra.local.cluster.layout import Layout
from infra.local.cluster.pki import write_kubeconfig, write_pki
from infra.local.cluster.programs import ControlPlane, Program
from infra.local.system import SEARCH_PATH, cni_folder, on_path

_MODULE = "infra.local.cluster.sandbox"
_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Node:
    """The node at a layout. `binary` finds a built program by name; `pause_image` holds the namespaces of pods; `ports`
    are doors on 127.0.0.1."""

    layout: Layout
    binary: Callable[[str], Path]
    pause_image: str
    ports: tuple[tuple[str, int, int], ...] = ()

    @property
    def control_plane(self) -> ControlPlane:
        layout = self.layout
        return ControlPlane(
            pki=layout.pki,
            etcd_data=layout.root / "etcd",
            address=layout.node_address,
            services=layout.services,
            pods=layout.pods,
        )

    def process(self) -> psutil.Process | None:
        """The process outside that holds the node's namespaces; None when it does not run."""
        return find(self.layout)

    def start(self) -> bool:
        """Write the configuration and start what does not run, or restart what changed. Returns whether it did."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self.layout.root.chmod(0o700)  # volumes below are writable for all, because pods are of many users
        self._write_pki()
        changed = self._write_config()
        if self.process() is not None:
            # Asked each time: a run that was interrupted after it wrote the files has not told the supervisor.
            return "updated" in self.supervisor("update") or changed
        cgroups.make_parent(self.layout.cgroup)
        Path("/var/lib/cni").mkdir(parents=True, exist_ok=True)
        log = (self.layout.logs / "sandbox.log").open("ab")
        with log:
            subprocess.Popen(
                ["unshare", "--pid", "--mount", "--fork", "--kill-child=SIGKILL", "--",
                 sys.executable, "-m", _MODULE, str(self.layout.root), self.layout.name, str(self.layout.link)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd="/", env=self._environment(),
            )  # fmt: skip
        return True

    def supervisor(self, *arguments: str) -> str:
        """What `supervisorctl` answers; raises ClusterError when the supervisor is not there."""
        program = Path(sys.executable).with_name("supervisorctl")
        config = self.layout.config / "supervisord.conf"
        done = subprocess.run([program, "-c", config, *arguments], capture_output=True, text=True, check=False)
        if "no such file" in done.stdout or "refused connection" in done.stdout:
            raise ClusterError("the local node does not run", mend="start it with `llmp up -s local`")
        return done.stdout

    def stop(self) -> bool:
        """End every process of the node and remove what it leaves outside its namespaces. Idempotent."""
        return stop(self.layout)

    def _write_pki(self) -> None:
        layout, plane = self.layout, self.control_plane
        write_pki(layout.pki, [*plane.subjects(), *node_config.subjects(layout)])
        for file in (*plane.kubeconfigs(), "kubelet", "kube-proxy"):
            write_kubeconfig(layout.pki, file=file, server=plane.url, cluster=f"llmp-{layout.name}")

    def _programs(self) -> list[Program]:
        return [
            *self.control_plane.programs(self.binary),
            *node_config.node_programs(
                self.layout,
                containerd=on_path("containerd"),
                kubelet=self.binary("kubelet"),
                kube_proxy=self.binary("kube-proxy"),
                python=Path(sys.executable),
            ),
            *node_config.forwarders(self.layout, on_path("socat"), self.ports),
        ]

    @staticmethod
    def _environment() -> dict[str, str]:
        """Not the user's: a proxy of theirs would stand between kubelet and API server, and their secrets are not for
        daemons."""
        return {"PATH": SEARCH_PATH, "PYTHONPATH": str(Path(__file__).parents[3]), "LANG": "C.UTF-8"}

    def _write_config(self) -> bool:
        """Write what differs; returns whether anything did."""
        layout = self.layout
        for folder in (layout.logs, layout.config / "cni", layout.root / "etcd"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = {
            "containerd.toml": node_config.containerd(
                layout, cni_binaries=cni_folder(), runc=on_path("runc"), pause_image=self.pause_image
            ),
            "cni/10-llmp.conflist": node_config.cni(layout),
            "kubelet.json": node_config.kubelet(layout),
            "kube-proxy.json": node_config.kube_proxy(layout),
            # Pods resolve through CoreDNS alone: the node has no route to anybody else's resolver.
            "resolv.conf": "",
        }
        # The supervisor restarts a program whose entry changes: so the entry tells what the program reads.
        reads = {"containerd": "containerd.toml", "kubelet": "kubelet.json", "kube-proxy": "kube-proxy.json"}
        programs = [
            replace(program, configuration=_digest(files[reads[program.name]])) if program.name in reads else program
            for program in self._programs()
        ]
        files["supervisord.conf"] = node_config.supervisor(layout, programs, on_path("nsenter"))
        changed = [name for name, text in files.items() if _write(layout.config / name, text)]
        return bool(changed)


def stop(layout: Layout) -> bool:
    """End the node at `layout`, whatever state it is in: running, half started, crashed, or gone."""
    found = False
    while (process := find(layout)) is not None:
        found = True
        children = _children(process)
        for each in (*children, process):  # the child is process 1 inside: its death is everybody's
            _signal(each, signal.SIGKILL)
        _, alive = psutil.wait_procs([*children, process], timeout=_END_SECONDS)
        if alive:
            raise ClusterError(
                f"processes {[each.pid for each in alive]} of the local node do not end", mend="run `llmp down` again"
            )
    # The kernel would take the cable away too, when it comes to the dead namespaces: up to a minute later.
    subprocess.run([on_path("ip"), "link", "delete", layout.interface], capture_output=True, check=False)
    cgroups.remove_tree(layout.cgroup)
    with contextlib.suppress(OSError):
        Path("/var/lib/cni").rmdir()  # was only a place to mount on; somebody else's is not empty and stays
    return found


def remove(layout: Layout) -> None:
    """Stop the node and delete its folder."""
    stop(layout)
    shutil.rmtree(layout.root, ignore_errors=False) if layout.root.exists() else None


def wait_until(what: str, check: Callable[[], bool], *, seconds: float, hint: str) -> None:
    """Poll until `check` holds; ClusterError after `seconds`, with where to look."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not happen within {seconds:.0f} s", mend=hint)
        time.sleep(0.2)


def find(layout: Layout) -> psutil.Process | None:
    """The process outside that holds the node's namespaces, found by what it runs: no pid file can be stale."""
    for process in psutil.process_iter(["cmdline"]):
        arguments: Iterable[str] = process.info["cmdline"] or ()
        if "unshare" in next(iter(arguments), "") and _MODULE in arguments and str(layout.root) in arguments:
            return process
    return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _write(path: Path, text: str) -> bool:
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    return True
