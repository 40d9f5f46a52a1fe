"""A control plane without a node, as plain processes on 127.0.0.1: for tests and rehearsals.

A real API server, controllers and scheduler; pods stay Pending unless something plays their nodes. Needs no root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import httpx

from infra.errors import ClusterError
from infra.local.cluster.pki import write_kubeconfig, write_pki
from infra.local.cluster.programs import ControlPlane, Program

_START_SECONDS = 60.0
_LOOPBACK = IPv4Address("127.0.0.1")
# Where a kill gives `finally` no chance, the kernel ends them.
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


@contextlib.contextmanager
def standalone(folder: Path, binary: Callable[[str], Path]) -> Iterator[Path]:
    """Start it under `folder`, yield the administrator's kubeconfig once it is ready, end it whatever happens.

    Raises ClusterError, with the end of the log, when a program ends early or nothing is ready within a minute.
    """
    plane = _plane(folder)
    write_pki(plane.pki, plane.subjects())
    for file in plane.kubeconfigs():
        write_kubeconfig(plane.pki, file=file, server=plane.url, cluster="standalone")
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        store, api, *controllers = plane.programs(binary)
        # etcd's promise to survive a power cut is worth nothing here, and costs a disk flush a write.
        processes["etcd"] = _start(replace(store, command=(*store.command, "--unsafe-no-fsync")), folder)
        processes["kube-apiserver"] = _start(api, folder)
        # The namespace is the first thing that the controllers' world needs, and not there at once.
        _wait_for(("/readyz", "/api/v1/namespaces/default"), plane, processes, folder)
        for program in controllers:  # they end when there is no API server yet, and nobody restarts them here
            processes[program.name] = _start(program, folder)
        # Made by a controller: so they run.
        _wait_for(("/api/v1/namespaces/default/serviceaccounts/default",), plane, processes, folder)
        yield plane.pki / "admin.kubeconfig"
    finally:
        for process in reversed(processes.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(program: Program, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / f"{program.name}.log").open("wb") as log:
        # A session of its own: one kill ends the program and whatever it started, and nothing else.
        return subprocess.Popen(
            [*_DIES_WITH_US, *program.command], stdout=log, stderr=log, cwd=folder, start_new_session=True
        )


def _plane(folder: Path) -> ControlPlane:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(5)]
        for each in sockets:
            each.bind((str(_LOOPBACK), 0))
        api, etcd, peer, manager, scheduler = (each.getsockname()[1] for each in sockets)
    return ControlPlane(
        pki=folder / "pki",
        etcd_data=folder / "etcd",
        address=_LOOPBACK,
        services=IPv4Network("10.96.0.0/16"),
        pods=IPv4Network("10.244.0.0/24"),
        api_port=api,
        etcd_port=etcd,
        etcd_peer_port=peer,
        manager_port=manager,
        scheduler_port=scheduler,
    )


def _wait_for(
    paths: tuple[str, ...], plane: ControlPlane, processes: dict[str, subprocess.Popen[bytes]], folder: Path
) -> None:
    context = ssl.create_default_context(cafile=str(plane.pki / "ca.crt"))
    context.load_cert_chain(plane.pki / "admin.crt", plane.pki / "admin.key")
    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(base_url=plane.url, verify=context, timeout=2.0, trust_env=False) as api:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if all(api.get(path).is_success for path in paths):
                    return
            for name, process in processes.items():
                if process.poll() is not None:
                    raise ClusterError(
                        f"{name} ended: {_tail(folder / f'{name}.log')}", mend="see its last lines above"
                    )
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"the control plane is not ready after {_START_SECONDS:.0f} s: "
                    f"{_tail(folder / 'kube-apiserver.log')}",
                    mend=f"see the logs in {folder}",
                )
            time.sleep(0.1)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])
