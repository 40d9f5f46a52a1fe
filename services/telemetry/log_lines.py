"""JSON log lines on standard output: structlog for our events, the standard library's warnings in the same shape."""

import contextlib
import logging
import os
import time
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

_REPEAT_AFTER_S = 60.0
_MAX_PENDING_BYTES = 8 * 1024 * 1024


class LineBuffer:
    """A binary file for `structlog.BytesLogger` that joins the lines of one loop turn into one write.

    A write per line costs a system call on the request path. `drain()` does the writing; the service calls it every
    few tens of milliseconds and at exit, so a `kill -9` loses at most that much. Fails open: lines beyond 8 MiB that
    nobody reads, or a closed pipe, are counted in `dropped` and let go.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending: list[bytes] = []
        self._size = 0
        self.dropped = 0

    def write(self, line: bytes) -> int:
        if self._size > _MAX_PENDING_BYTES:
            self.dropped += 1
            return 0
        self._pending.append(line)
        self._size += len(line)
        return len(line)

    def flush(self) -> None:
        """Asked for after every line by BytesLogger; `drain` is what writes."""

    def drain(self) -> None:
        """Write what has gathered."""
        if not self._pending:
            return
        data = memoryview(b"".join(self._pending))
        self._pending.clear()
        self._size = 0
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self.dropped += 1


class _Stamp:
    """Adds `ts` and `level`; the date is written out once a second, not once a line."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        event["ts"] = f"{self._text}.{int((now - second) * 1000):03d}Z"
        event["level"] = level
        return event


def _render(_logger: Any, _level: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(event, default=str)


def open_log(lines: LineBuffer, service: str) -> Any:
    """A structlog logger whose `info("name", key=value)` appends one JSON line with `ts`, `level` and `service`."""
    logger = structlog.wrap_logger(
        structlog.BytesLogger(lines),  # type: ignore[arg-type]  # it asks for write and flush alone
        processors=[_Stamp(), _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    # Bound at once: the lazy proxy that wrap_logger returns would assemble a new logger for every line.
    return logger.bind(service=service)


class LibraryWarnings(logging.Handler):
    """Brings warnings of libraries into our JSON stream, without tracebacks and each kind at most once a minute.

    An unreachable trace collector makes the exporter complain for every batch; the first line says it all.
    """

    def __init__(self, log: Any) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._last: dict[tuple[str, int], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        place = (record.pathname, record.lineno)
        if record.created - self._last.get(place, 0.0) < _REPEAT_AFTER_S:
            return
        self._last[place] = record.created
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        with contextlib.suppress(Exception):
            text = record.getMessage()[:500]
            self._log.warning(
                "library.warning", logger=record.name, message=text, error=error, severity=record.levelname
            )


def adopt_library_warnings(log: Any) -> None:
    """Make `LibraryWarnings` the only handler of the standard library's root logger."""
    logging.root.handlers[:] = [LibraryWarnings(log)]
    logging.root.setLevel(logging.WARNING)
