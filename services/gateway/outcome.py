"""The one record that a request leaves behind."""

from enum import StrEnum

import msgspec

from services.telemetry.trace_context import TraceContext


class OutcomeClass(StrEnum):
    """How a request ended. The SLO counts the four after `success` as bad, the last three not at all."""

    SUCCESS = "success"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    INTERNAL_ERROR = "internal_error"
    NO_CAPACITY = "no_capacity"
    CLIENT_ERROR = "client_error"
    CLIENT_CLOSED = "client_closed"
    RATE_LIMITED = "rate_limited"


UNKNOWN = "unknown"
"""Stands in labels for whatever a caller made up: a model that is not served, a path that does not exist."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One finished request, written once and handed to every hook. Ids, sizes and counts; never text, never a key."""

    request_id: str
    trace: TraceContext
    method: str
    route: str
    """Metric label: `chat_completions`, `completions`, `embeddings`, `models`, or `unknown`."""
    model: str
    """Served name, or `unknown`."""
    tenant: str
    key_id: str
    outcome: OutcomeClass
    status: int
    """What the client saw; 499 if it left before an answer began."""
    error_code: str | None
    stream: bool
    max_tokens: int | None
    replica: str | None
    """Address of the last replica tried."""
    attempts: int
    started_ns: int
    """Nanoseconds since the epoch."""
    duration_s: float
    ttft_s: float | None
    """Time to first token, from the request's first byte here; streams only."""
    tpot_s: float | None
    """Time per output token after the first; streams of at least two tokens only."""
    input_tokens: int | None
    output_tokens: int | None
    tokens_estimated: bool
    """True where the engine gave no usage (a cut or cancelled stream) and events were counted instead."""
    body_bytes: int
    answer_bytes: int
    events: int
    """Server-sent events passed on."""
