"""A real control plane for these tests: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

They run as local processes. No node belongs to them, so pods stay Pending: exactly the failed readiness that the
tests want to see explained.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import urllib3
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

BINARIES = Path(os.environ.get("LLMP_BIN", "/root/.cache/llmp-proto/bin"))
NEEDED = ("server", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "pulumi")
_TOKEN = "the-tests-administrator"
_START_SECONDS = 60
# Where a kill gives `finally` no chance, the kernel ends them.
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running API server, and the administrator's way into it."""

    kubeconfig: Path


def missing_binaries() -> list[str]:
    """The needed programs that are not in BINARIES."""
    return [name for name in NEEDED if not (BINARIES / name).is_file()]


@contextlib.contextmanager
def running_control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Start all four programs under `folder`, yield when the API server is ready, and end them whatever happens."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> None:
        log = (folder / f"{name}.log").open("wb")
        # A session of its own: one kill ends the program and whatever it started, and nothing else.
        processes.append(
            subprocess.Popen(
                [*_DIES_WITH_US, BINARIES / name, *arguments],
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        )

    client, peer, api, controller, scheduler = _free_ports(5)
    kubeconfig = _write_kubeconfig(folder, api)
    key = _write_service_account_key(folder)
    (folder / "tokens.csv").write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
    try:
        start(
            "server",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client}",
            "--bind-address=127.0.0.1",
            f"--secure-port={api}",
            f"--cert-dir={folder / 'certificates'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--disable-admission-plugins=ServiceAccount",
        )
        _wait_until_ready(folder, api)
        start(
            "kube-controller-manager",
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
            f"--secure-port={controller}",
            f"--cert-dir={folder / 'certificates'}",
            "--use-service-account-credentials=false",
            "--controllers=*,-node-ipam-controller",
        )
        start(
            "kube-scheduler",
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
            f"--secure-port={scheduler}",
        )
        yield ControlPlane(kubeconfig)
    finally:
        for process in reversed(processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _write_kubeconfig(folder: Path, port: int) -> Path:
    path = folder / "kubeconfig"
    certificate = folder / "certificates" / "apiserver.crt"  # the API server writes it as it starts
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "tests",
                "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(certificate)},
            }
        ],
        "users": [{"name": "admin", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        "current-context": "tests",
    }
    path.write_text(yaml.safe_dump(content))
    return path


def _write_service_account_key(folder: Path) -> Path:
    path = folder / "service-account.key"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def _wait_until_ready(folder: Path, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    urllib3.disable_warnings()
    pool = urllib3.PoolManager(cert_reqs="CERT_NONE", retries=False)
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            answer = pool.request(
                "GET", f"https://127.0.0.1:{port}/readyz", headers={"authorization": f"Bearer {_TOKEN}"}
            )
            if answer.status == 200:
                return
        time.sleep(0.1)
    log = (folder / "kube-apiserver.log").read_text()[-2000:]
    raise RuntimeError(f"kube-apiserver was not ready within {_START_SECONDS} s; its log ends:\n{log}")
