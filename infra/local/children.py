"""Ends what this process has started, when it is interrupted: compilers, package managers, builds, the engine."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

_PATIENCE_SECONDS = 20.0


def end_children() -> None:
    """Ask every process of this session below this one to end, and kill what has not ended after 20 s.

    The node is below this process too, but in a session of its own: it goes on. The Pulumi engine gets SIGINT, upon
    which it writes down what it has done so far.
    """
    session = os.getsid(0)
    children = [child for child in psutil.Process().children(recursive=True) if _in_session(child, session)]
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGINT if child.name() == "pulumi" else signal.SIGTERM)
    _, alive = psutil.wait_procs(children, timeout=_PATIENCE_SECONDS)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _in_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session
    except ProcessLookupError:
        return False
