"""W3C Trace Context: reading, making and handing on `traceparent`."""

import random
import re
from typing import NamedTuple

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_RANDOM = 0x02  # level 2: the trace id's low 56 bits are random, so anyone may sample on them
_RATIO_SPACE = 1 << 64


class TraceContext(NamedTuple):
    """One span's place in its trace."""

    trace_id: int
    span_id: int
    parent_span_id: int | None
    flags: int

    @property
    def sampled(self) -> bool:
        return bool(self.flags & _SAMPLED)

    @property
    def trace_id_hex(self) -> str:
        return f"{self.trace_id:032x}"

    @property
    def span_id_hex(self) -> str:
        return f"{self.span_id:016x}"

    def traceparent(self) -> str:
        """The header that makes a callee's span a child of this one."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}"


def continue_trace(traceparent: bytes | None, sample_ratio: float) -> TraceContext:
    """The context of a new span: child of the caller's if its header is valid, else the root of a new trace.

    Parent-based: a caller that decided, decided for us too; `sample_ratio` (0 to 1) decides for the others.
    An invalid header starts a new trace, as the specification asks; it is never an error.
    """
    span_id = random.getrandbits(64) or 1
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match:
        version, trace_id, parent, flags, rest = match.groups()
        known = (version == b"00" and rest is None) or version not in (b"00", b"ff")
        if known and int(trace_id, 16) and int(parent, 16):
            return TraceContext(int(trace_id, 16), span_id, int(parent, 16), int(flags, 16) & (_SAMPLED | _RANDOM))
    fresh = random.getrandbits(128) or 1
    sampled = (fresh & (_RATIO_SPACE - 1)) < sample_ratio * _RATIO_SPACE
    return TraceContext(fresh, span_id, None, _RANDOM | (_SAMPLED if sampled else 0))
