"""Debian packages that the local platform needs, and whether this machine can carry it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from infra.errors import MachineError

SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"

# Program that is looked for → Debian package that brings it.
PROGRAMS = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "runc": "runc",
    "socat": "socat",
    "sysctl": "procps",
    "unshare": "util-linux",
}
CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICES = "#!/bin/sh\n# written by llmp while it installs packages\nexit 101\n"


def on_path(program: str) -> Path:
    """Where the program is; raises MachineError naming the package that brings it."""
    found = shutil.which(program, path=SEARCH_PATH)
    if found is None:
        raise MachineError(
            f"the program {program} is not installed", mend=f"apt-get install {PROGRAMS.get(program, program)}"
        )
    return Path(found)


def cni_folder() -> Path:
    """Where the CNI plugins are."""
    for folder in CNI_FOLDERS:
        if Path(folder, "ptp").exists():
            return Path(folder)
    raise MachineError(
        f"no CNI plugins in {', '.join(CNI_FOLDERS)}", mend="apt-get install containernetworking-plugins"
    )


def missing_packages() -> list[str]:
    """Packages whose programs are not there."""
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program, path=SEARCH_PATH) is None}
    if not any(Path(folder, "ptp").exists() for folder in CNI_FOLDERS):
        missing.add("containernetworking-plugins")
    return sorted(missing)


def install_packages(say: Callable[[str], None]) -> bool:
    """Install what is missing with apt-get. Services that packages bring are not started: the platform runs its own
    containerd, and somebody else's machine should not get a second one for it."""
    packages = missing_packages()
    if not packages:
        return False
    if shutil.which("apt-get") is None:
        raise MachineError(
            f"missing: {', '.join(packages)}, and there is no apt-get",
            mend="install the programs named with this system's own package manager, then run again",
        )
    lent = not _POLICY.exists() or _POLICY.read_text() == _NO_SERVICES  # ours, of a run that was killed
    if lent:
        _POLICY.write_text(_NO_SERVICES)
        _POLICY.chmod(0o755)
    try:
        subprocess.run(["dpkg", "--configure", "-a"], capture_output=True, check=False)  # what a killed run left open
        say("reading package lists")
        _apt("update")
        say(", ".join(packages))
        _apt("install", "--yes", "--no-install-recommends", *packages)
    finally:
        if lent:
            _POLICY.unlink(missing_ok=True)
    return True


def _apt(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "-q", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode != 0:
        raise MachineError(
            f"apt-get {arguments[0]}: {(done.stderr or done.stdout).strip()[-400:]}",
            mend="mend what apt-get says (network, lock, sources) and run again",
        )
