"""Makes image archives: static ones by hand, the others with buildah on a Debian base. What exists is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.errors import BuildError
from infra.local.images.archive import StaticImage, write_archive
from infra.local.images.catalogue import (
    BASE_PACKAGES,
    REPOSITORY,
    BinaryImage,
    ContainerfileImage,
    base_reference,
)
from infra.local.toolchain.build import Toolchain
from infra.versions import DEBIAN

# Steps of a build run as root inside it.
_BUILDERS_HOME = "/root"
# The host's ways to reach its package indexes, lent to the build: nothing of them is written into a layer.
_LENT = (
    (Path("/etc/ssl/certs"), "/etc/ssl/certs"),
    (Path("/etc/pip.conf"), "/etc/pip.conf"),
    (Path.home() / ".config/pip/pip.conf", f"{_BUILDERS_HOME}/.config/pip/pip.conf"),
    (Path.home() / ".pip/pip.conf", f"{_BUILDERS_HOME}/.pip/pip.conf"),
)


@dataclass(frozen=True, slots=True)
class ImageBuilder:
    """Archives under `archives`, buildah's own storage beside them."""

    archives: Path
    storage: Path
    toolchain: Toolchain
    references: Mapping[str, str]

    def archive(self, name: str) -> Path:
        """Where the archive of the image is, or will be."""
        return self.archives / f"{name}-{self.references[name].rpartition(':')[2]}.tar"

    def binary(self, image: BinaryImage) -> bool:
        """A static program as an image. Returns whether it was made."""
        target = self.archive(image.name)
        if target.exists():
            return False
        self.archives.mkdir(parents=True, exist_ok=True)
        files = {f"/{program}": self.toolchain.path(image.family, program) for program in image.programs}
        write_archive(StaticImage(self.references[image.name], files, (f"/{image.programs[0]}",)), target)
        self._forget_older(image.name)
        return True

    def base(self, say: Callable[[str], None]) -> bool:
        """The Debian base, in buildah's storage and as an archive (volume helpers run in it)."""
        target = self.archive("base")
        if target.exists():
            return False
        with tempfile.TemporaryDirectory(dir=self._scratch()) as folder:
            say(f"Debian {DEBIAN}")
            root = Path(folder) / "root.tar"
            self._run(
                "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}",
                '--dpkgopt=path-exclude=/usr/share/man/*', '--dpkgopt=path-exclude=/usr/share/doc/*',
                '--dpkgopt=path-exclude=/usr/share/locale/*', DEBIAN, str(root),
            )  # fmt: skip
            Path(folder, "Containerfile").write_text("FROM scratch\nADD root.tar /\n")
            self._buildah("bud", "-f", f"{folder}/Containerfile", "-t", base_reference(), folder)
        self._push(base_reference(), target)
        self._forget_older("base")
        return True

    def containerfile(self, image: ContainerfileImage, say: Callable[[str], None]) -> bool:
        """An image from its Containerfile. The build sees the listed inputs and nothing else."""
        target = self.archive(image.name)
        if target.exists():
            return False
        reference = self.references[image.name]
        if self._buildah("inspect", "--type", "image", base_reference(), check=False).returncode != 0:
            self._buildah("pull", f"docker-archive:{self.archive('base')}")
        with tempfile.TemporaryDirectory(dir=self._scratch()) as folder:
            for file in image.files():
                copy = Path(folder) / file.relative_to(REPOSITORY)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, copy)
            pip_cache = self.storage.parent / "pip"
            pip_cache.mkdir(parents=True, exist_ok=True)
            volumes = [f"-v={path}:{inside}:ro" for path, inside in _LENT if path.exists()] + [
                f"-v={pip_cache}:{_BUILDERS_HOME}/.cache/pip"
            ]
            say("building")
            self._buildah(
                "bud", "--isolation=chroot", "--network=host", "--layers=false", *volumes,
                f"--build-arg=BASE={base_reference()}", "-f", f"{folder}/{image.containerfile}",
                "-t", reference, folder,
            )  # fmt: skip
        say("writing the archive")
        self._push(reference, target)
        self._buildah("rmi", reference)  # the archive is what is kept; two copies of gigabytes are one too many
        self._forget_older(image.name)
        return True

    def _push(self, reference: str, target: Path) -> None:
        self.archives.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(".part")
        scratch.unlink(missing_ok=True)
        self._buildah("push", "--disable-compression", reference, f"docker-archive:{scratch}:{reference}")
        scratch.replace(target)

    def _forget_older(self, name: str) -> None:
        for path in self.archives.glob(f"{name}-{'?' * 16}.tar"):
            if path != self.archive(name):
                path.unlink()

    def _scratch(self) -> Path:
        folder = self.storage.parent / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _buildah(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        storage = (f"--root={self.storage}", f"--runroot={self.storage}-run", "--storage-driver=overlay")
        return self._run("buildah", *storage, *arguments, check=check)

    def _run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TMPDIR": str(self._scratch()), "BUILDAH_FORMAT": "docker"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if check and done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise BuildError(
                f"{command[0]} failed:\n{tail}", mend="mend the cause named above and run again: what is made is kept"
            )
        return done
