"""Ready-made programs from Python packages, pinned with hashes in requirements/, installed into the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from infra.errors import BuildError

_REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def installed(name: str, cache: Path) -> Path:
    """The folder that `requirements/<name>.txt` is installed in; BuildError when it cannot be had."""
    requirement = _REQUIREMENTS / f"{name}.txt"
    folder = cache / "packages" / f"{name}-{hashlib.sha256(requirement.read_bytes()).hexdigest()[:16]}"
    if folder.exists():
        return folder
    scratch = folder.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
               "--no-deps", "--target", str(scratch), "-r", str(requirement)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(
            f"{name} is not on PATH, and its package did not install: {done.stderr.strip()[-400:]}",
            mend=f"put {name} on PATH, or let pip reach a package index, then run again",
        )
    scratch.rename(folder)
    return folder
