"""An outcome as a log line and as a span: what each field is called there."""

from collections.abc import Mapping
from typing import Any

from services.gateway.config import Model
from services.gateway.outcome import UNKNOWN, Outcome, OutcomeClass
from services.gateway.routes import OPERATIONS, ROUTES
from services.telemetry.spans import AttributeValue, SpanWriter

_OUR_FAULT = frozenset(
    {OutcomeClass.UPSTREAM_ERROR, OutcomeClass.TIMEOUT, OutcomeClass.INTERNAL_ERROR, OutcomeClass.NO_CAPACITY}
)
_PATHS = {route.label: route.path for route in ROUTES.values()}


class OutcomeLog:
    """One JSON line a request."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __call__(self, outcome: Outcome) -> None:
        self._log.info(
            "request",
            request_id=outcome.request_id,
            trace_id=outcome.trace.trace_id_hex,
            span_id=outcome.trace.span_id_hex,
            tenant=outcome.tenant,
            key_id=outcome.key_id,
            method=outcome.method,
            route=outcome.route,
            model=outcome.model,
            outcome=outcome.outcome,
            status=outcome.status,
            error_code=outcome.error_code,
            stream=outcome.stream,
            replica=outcome.replica,
            attempts=outcome.attempts,
            duration_s=round(outcome.duration_s, 6),
            ttft_s=_rounded(outcome.ttft_s),
            tpot_s=_rounded(outcome.tpot_s),
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
            tokens_estimated=outcome.tokens_estimated,
            body_bytes=outcome.body_bytes,
            answer_bytes=outcome.answer_bytes,
            events=outcome.events,
        )


class OutcomeSpan:
    """One server span a request, in the GenAI conventions (still in development: the names live here alone)."""

    def __init__(self, spans: SpanWriter, models: Mapping[str, Model]) -> None:
        self._spans = spans
        self._providers = {name: model.provider for name, model in models.items()}

    def __call__(self, outcome: Outcome) -> None:
        if not outcome.trace.sampled:
            return
        operation = OPERATIONS.get(outcome.route)
        known = operation is not None and outcome.model != UNKNOWN
        self._spans.write(
            f"{operation} {outcome.model}" if known else f"{outcome.method} {outcome.route}",
            outcome.trace,
            start_ns=outcome.started_ns,
            end_ns=outcome.started_ns + int(outcome.duration_s * 1e9),
            attributes=self._attributes(outcome, operation),
            error=outcome.error_code or outcome.outcome if outcome.outcome in _OUR_FAULT else None,
        )

    def _attributes(self, outcome: Outcome, operation: str | None) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue | None] = {
            "http.request.method": outcome.method,
            "http.route": _PATHS.get(outcome.route, outcome.route),
            "http.response.status_code": outcome.status,
            "error.type": outcome.error_code,
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": self._providers.get(outcome.model),
            "gen_ai.request.model": outcome.model,
            "gen_ai.request.stream": outcome.stream,
            "gen_ai.request.max_tokens": outcome.max_tokens,
            "gen_ai.usage.input_tokens": outcome.input_tokens,
            "gen_ai.usage.output_tokens": outcome.output_tokens,
            "gen_ai.response.time_to_first_chunk": outcome.ttft_s,
            "llmp.request_id": outcome.request_id,
            "llmp.tenant": outcome.tenant,
            "llmp.key_id": outcome.key_id,
            "llmp.outcome": outcome.outcome.value,
            "llmp.attempts": outcome.attempts,
        }
        if outcome.replica is not None:
            host, _, port = outcome.replica.rpartition(":")
            attributes["server.address"] = host
            attributes["server.port"] = int(port)
        return {name: value for name, value in attributes.items() if value is not None}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
