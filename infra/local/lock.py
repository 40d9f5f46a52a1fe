"""One `llmp` at a time on one state folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.errors import MachineError


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees however this process ends. MachineError names the holder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise MachineError(
                f"another llmp is at work: {file.read().strip()}", mend="wait until it has ended, or end it"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"{' '.join(sys.argv[1:])} (pid {os.getpid()})\n")
        file.flush()
        yield
