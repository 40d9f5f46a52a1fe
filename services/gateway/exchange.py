"""One request under way: what is learnt of it as it goes, until it becomes an Outcome."""

import time

from services.gateway import errors, headers
from services.gateway.event_stream import EventStream, Usage
from services.gateway.keyring import Identity
from services.gateway.outcome import UNKNOWN, Outcome, OutcomeClass
from services.telemetry.trace_context import continue_trace

_CLIENT_CLOSED = 499

clock = time.perf_counter
"""Seconds, for everything measured: uvloop's own time stands still within a turn and counts milliseconds."""


class Exchange:
    """Mutable, belongs to one task, and ends in `outcome`."""

    __slots__ = (
        "answer_bytes",
        "attempts",
        "body_bytes",
        "chosen_id",
        "error_code",
        "events",
        "first_event_at",
        "identity",
        "last_event_at",
        "max_tokens",
        "method",
        "model",
        "outcome_class",
        "received",
        "replica",
        "request_id",
        "route",
        "started_at",
        "started_ns",
        "status",
        "stream",
        "trace",
        "traceparent",
        "usage",
    )

    def __init__(self, method: str, received: dict[bytes, bytes], sample_ratio: float) -> None:
        self.started_ns = time.time_ns()
        self.started_at = clock()
        self.method = method
        self.received = received
        self.request_id, self.chosen_id = headers.request_id(received.get(b"x-request-id"))
        self.trace = continue_trace(received.get(b"traceparent"), sample_ratio)
        self.traceparent = self.trace.traceparent()
        self.route = UNKNOWN
        self.model = UNKNOWN
        self.identity: Identity | None = None
        self.stream = False
        self.max_tokens: int | None = None
        self.body_bytes = 0
        self.replica: str | None = None
        self.attempts = 0
        self.events: EventStream | None = None
        self.first_event_at: float | None = None
        self.last_event_at = 0.0
        self.usage: Usage | None = None
        self.answer_bytes = 0
        self.status = 0
        self.error_code: str | None = None
        self.outcome_class = OutcomeClass.SUCCESS

    def blame(self, error: errors.ApiError) -> None:
        """The request ends with `error`; a status already sent stays what the client saw."""
        self.outcome_class = error.outcome
        self.error_code = error.code
        if not self.status:
            self.status = error.status

    def client_left(self) -> None:
        self.outcome_class = OutcomeClass.CLIENT_CLOSED
        self.error_code = "client_closed"
        if not self.status:
            self.status = _CLIENT_CLOSED

    def outcome(self) -> Outcome:
        """The record of this request, now that it is over."""
        now = clock()
        usage = self.usage or (self.events.usage if self.events else None)
        input_tokens = usage.prompt_tokens if usage else None
        output_tokens = usage.completion_tokens or 0 if usage else self._counted_tokens()
        ttft = None if self.first_event_at is None else self.first_event_at - self.started_at
        tpot = None
        if self.first_event_at is not None and output_tokens is not None and output_tokens > 1:
            tpot = (self.last_event_at - self.first_event_at) / (output_tokens - 1)
        return Outcome(
            request_id=self.request_id,
            trace=self.trace,
            method=self.method,
            route=self.route,
            model=self.model,
            tenant=self.identity.tenant if self.identity else UNKNOWN,
            key_id=self.identity.id if self.identity else UNKNOWN,
            outcome=self.outcome_class,
            status=self.status,
            error_code=self.error_code,
            stream=self.stream,
            max_tokens=self.max_tokens,
            replica=self.replica,
            attempts=self.attempts,
            started_ns=self.started_ns,
            duration_s=now - self.started_at,
            ttft_s=ttft,
            tpot_s=tpot,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            tokens_estimated=usage is None and output_tokens is not None,
            body_bytes=self.body_bytes,
            answer_bytes=self.answer_bytes,
            events=self.events.events if self.events else 0,
        )

    def _counted_tokens(self) -> int | None:
        """An estimate for a stream that ended before its usage came: engines send about one token an event."""
        if self.events is None:
            return None
        # A chat stream's first event names the role and holds no token.
        return max(self.events.events - (1 if self.route == "chat_completions" else 0), 0)
