"""A docker-archive of one layer, written without a container engine: what a static binary needs, and no more."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# Raise it when equal programs are to give another image: tags follow.
FORMAT = 1
# A fixed time makes equal inputs give equal bytes.
_EPOCH = 0


@dataclass(frozen=True, slots=True)
class StaticImage:
    """Files at absolute paths, started by `entrypoint` as `user` (numeric, so that runAsNonRoot can tell)."""

    reference: str
    files: Mapping[str, Path]
    entrypoint: tuple[str, ...]
    user: str = "65532:65532"


def write_archive(image: StaticImage, target: Path) -> None:
    """Write the archive at `target`, whole or not at all. Layers are not compressed: it is read back at once."""
    scratch = target.with_name(f".{target.name}.part")
    layer = scratch.with_name(f".{target.name}.layer")
    try:
        _write_layer(image, layer)
        with layer.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": list(image.entrypoint), "User": image.user, "Env": ["PATH=/"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            },
            sort_keys=True,
        ).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [{"Config": config_name, "RepoTags": [image.reference], "Layers": [f"{digest}.tar"]}]
        with tarfile.open(scratch, "w") as archive:
            archive.add(layer, f"{digest}.tar", filter=_plain)
            _add_bytes(archive, config_name, config)
            _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())
        scratch.replace(target)
    finally:
        layer.unlink(missing_ok=True)
        scratch.unlink(missing_ok=True)


def _write_layer(image: StaticImage, target: Path) -> None:
    with tarfile.open(target, "w") as layer:
        folders = {str(parent) for path in image.files for parent in PurePosixPath(path).parents} | {"/tmp", "/etc"}  # noqa: S108
        for folder in sorted(folders - {"/"}):
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755  # noqa: S108
            layer.addfile(entry)
        # Programs look their user up; an unknown one makes some of them warn or fail.
        _add_bytes(layer, "etc/passwd", b"root:x:0:0:root:/:/\nnonroot:x:65532:65532:nonroot:/tmp:/\n")
        for path, source in sorted(image.files.items()):
            layer.add(source, path.lstrip("/"), filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = _EPOCH
    return entry


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), 0o644, _EPOCH
    archive.addfile(entry, io.BytesIO(content))
