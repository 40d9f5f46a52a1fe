"""Which headers cross the gateway: allow-lists, both ways. Whatever is not named here stops here."""

import random
import re
from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

from services.telemetry.trace_context import TraceContext

_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_SANE_TRACESTATE = re.compile(rb"[\x20-\x7e]{1,512}")
_READ = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
    }
)

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
"""Keep proxies in front from collecting a stream before they pass it on."""


def read(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The request headers that mean something here, names in lower case."""
    return {name: value for name, value in raw if name in _READ}


def request_id(given: bytes | None) -> tuple[str, bool]:
    """The request's id and whether the client chose it; anything but a short plain word is replaced."""
    if given is not None and _SANE_REQUEST_ID.fullmatch(given):
        return given.decode(), True
    return f"req-{random.getrandbits(96):024x}", False


def to_engine(
    received: Mapping[bytes, bytes], request_id: str, trace: TraceContext, traceparent: str, *, chosen_by_client: bool
) -> CIMultiDict[str]:
    """All headers an engine gets, but for Host and Content-Length."""
    # An engine aborts by request id, all requests of that id: two clients that both say "1" would end each other's.
    unique = f"{request_id}-{trace.span_id_hex[:8]}" if chosen_by_client else request_id
    headers = CIMultiDict({"content-type": "application/json", "x-request-id": unique, "traceparent": traceparent})
    tracestate = received.get(b"tracestate")
    if trace.parent_span_id is not None and tracestate is not None and _SANE_TRACESTATE.fullmatch(tracestate):
        headers["tracestate"] = tracestate.decode()
    return headers


def to_client(request_id: str, traceparent: str, *, closing: bool) -> Headers:
    """What every answer carries, whoever gives it; an engine's own headers stop here."""
    headers = [(b"x-request-id", request_id.encode()), (b"traceparent", traceparent.encode())]
    if closing:
        headers.append((b"connection", b"close"))
    return headers
