"""Builds a family of programs once a pin, keeps them in the cache, and verifies them by hash on each reuse."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.errors import BuildError
from infra.local.toolchain.families import Family
from infra.local.toolchain.go import Go

_MANIFEST = "manifest.json"
# No debug tables, because the linker drops them anyway; no profiles, because one main's profile has every package below
# it compiled again for that main alone.
_COMPILER = ("-trimpath", "-gcflags=all=-dwarf=false", "-pgo=off")
# Memory is there, and collecting it is a tenth of a compile.
_GOGC = "400"
_NETWORK_WORDS = ("dial tcp", "no such host", "i/o timeout", "connection reset", "TLS handshake", "unexpected EOF")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Where built programs are. `programs` is the cache folder; build it with `ensure`, then ask for `path`."""

    programs: Path
    build_cache: Path
    go: Go

    def folder(self, family: Family) -> Path:
        """The family's folder: its name and the hash of everything that decides what comes out."""
        inputs = hashlib.sha256(
            f"{self.go.version} {family.tags} {family.linker_flags} {_COMPILER} {family.programs}".encode()
        )
        for source in sorted(family.folder.rglob("*")):
            if source.name in {"go.mod", "go.sum"} or source.suffix == ".go":
                inputs.update(str(source.relative_to(family.folder)).encode() + b"\0" + source.read_bytes())
        return self.programs / family.name / inputs.hexdigest()[:16]

    def path(self, family: Family, program: str) -> Path:
        """The built program of that name."""
        if program not in family.programs:
            raise LookupError(f"the family {family.name} has no program {program}")
        return self.folder(family) / program

    def fetch(self, family: Family) -> bool:
        """Fetch the modules that the family's build reads, unless it is built. Returns whether it asked for them.

        Not `go mod download`: that takes every module of the graph, also those that no package of ours imports.
        """
        if _intact(self.folder(family), family):
            return False
        self._go(family, ["list", "-deps", *_tags(family), *family.programs.values()])
        return True

    def ensure(self, family: Family) -> bool:
        """Build the family unless it stands there whole and unharmed. Returns whether it was built."""
        folder = self.folder(family)
        if _intact(folder, family):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        scratch = folder.with_suffix(".part")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        flags = [*_COMPILER, "-ldflags", family.linker_flags, *_tags(family)]
        # One call for all: the linker uses one core, and the next program compiles meanwhile.
        self._go(family, ["build", *flags, "-o", f"{scratch}/", *family.programs.values()])
        for program, package in family.programs.items():
            (scratch / _binary(package)).rename(scratch / program)
        (scratch / _MANIFEST).write_text(json.dumps({name: _digest(scratch / name) for name in family.programs}))
        scratch.rename(folder)
        return True

    def forget_older(self, family: Family) -> bool:
        """Delete what other pins have built, once nothing runs it any more. Returns whether there was any."""
        older = [path for path in self.folder(family).parent.glob("*") if path != self.folder(family)]
        for path in older:
            shutil.rmtree(path, ignore_errors=True)
        return bool(older)

    def _go(self, family: Family, arguments: list[str]) -> None:
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOCACHE": str(self.build_cache),
            "GOGC": _GOGC,
            "GOFLAGS": "-mod=readonly -buildvcs=false",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        done = subprocess.run(
            [self.go.path, *arguments], cwd=family.folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        network = any(word in done.stderr for word in _NETWORK_WORDS)
        raise BuildError(
            f"building {family.name}: go {arguments[0]} failed: {done.stderr.strip()[-800:]}",
            mend="the module proxy was not reached: check the network and run again, what is built is kept"
            if network
            else f"the pins are in {family.folder}/go.mod; run again after mending the cause, what is built is kept",
        )


def _tags(family: Family) -> list[str]:
    return ["-tags", family.tags] if family.tags else []


def _binary(package: str) -> str:
    """What `go build` calls the program of a package: its last element that is not a major version."""
    return next(part for part in reversed(package.split("/")) if not re.fullmatch(r"v\d+", part))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _intact(folder: Path, family: Family) -> bool:
    """Whether each program is there with the hash that it had when it was built."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        return manifest.keys() == family.programs.keys() and all(
            _digest(folder / name) == digest for name, digest in manifest.items()
        )
    except (OSError, ValueError):
        return False
