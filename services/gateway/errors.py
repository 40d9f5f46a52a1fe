"""Every refusal and failure a client can see, in OpenAI's shape, with the remedy in the message.

Ordered by who can mend it: the caller (4xx), nobody but time (503 with Retry-After), the operator (502, 504, 500).
"""

from collections.abc import Sequence

import msgspec

from services.gateway.outcome import OutcomeClass

_RETRY_AFTER_S = 5


class ErrorDetail(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True):
    error: ErrorDetail


class ApiError(Exception):
    """An answer that is not the engine's. `outcome` says whom it is counted against."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None,
        outcome: OutcomeClass,
        type: str = "invalid_request_error",
        param: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.outcome = outcome
        self.headers = tuple(headers)
        self.body = msgspec.json.encode(ErrorBody(ErrorDetail(message, type, param, code)))

    def event(self) -> bytes:
        """The error as a server-sent event, for a stream that has already begun."""
        return b"data: " + self.body + b"\n\n"


def _refused(
    status: int,
    message: str,
    code: str | None,
    *,
    param: str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> ApiError:
    return ApiError(status, message, code=code, outcome=OutcomeClass.CLIENT_ERROR, param=param, headers=headers)


def _failed(
    status: int, message: str, code: str, outcome: OutcomeClass, *, retry_after_s: int = _RETRY_AFTER_S
) -> ApiError:
    return ApiError(
        status,
        message,
        code=code,
        outcome=outcome,
        type="server_error",
        headers=((b"retry-after", b"%d" % retry_after_s),),
    )


def missing_key() -> ApiError:
    message = "You didn't provide an API key. Provide it in the header `Authorization: Bearer YOUR_KEY`."
    return _refused(401, message, None, headers=((b"www-authenticate", b"Bearer"),))


def wrong_key() -> ApiError:
    # OpenAI echoes part of the key here; ours appears in no answer and no log.
    message = "Incorrect API key provided. Check the key, or ask the platform's operator for a new one."
    return _refused(401, message, "invalid_api_key", headers=((b"www-authenticate", b"Bearer"),))


def unknown_model(model: str) -> ApiError:
    # One answer for a model that is not served and for one the key may not use: a key cannot list what it may not see.
    message = f"The model `{model[:200]}` does not exist or you do not have access to it."
    return _refused(404, message, "model_not_found", param="model")


def wrong_endpoint(kind: str, path: str) -> ApiError:
    message = f"This is a {kind} model and thus not supported by {path}."
    return _refused(404, message, "model_not_supported", param="model")


def unknown_path(method: str, path: str) -> ApiError:
    return _refused(404, f"Invalid URL ({method} {path[:200]})", "unknown_url")


def method_not_allowed(method: str, allowed: str) -> ApiError:
    message = f"Method {method} is not allowed here; use {allowed}."
    return _refused(405, message, "method_not_supported", headers=((b"allow", allowed.encode()),))


def unsupported_media(what: str) -> ApiError:
    return _refused(415, f"{what} Send the body as plain `application/json`.", "unsupported_media_type")


def body_too_large(limit: int) -> ApiError:
    return _refused(413, f"The request body is larger than the {limit} bytes allowed.", "request_too_large")


def body_timeout(seconds: float) -> ApiError:
    message = f"The request body did not arrive within {seconds:g} s."
    return _refused(408, message, "request_timeout", headers=((b"connection", b"close"),))


def malformed_json(reason: str) -> ApiError:
    return _refused(400, f"We could not parse the JSON body of your request: {reason}", "invalid_json")


def invalid_field(param: str | None, message: str, code: str) -> ApiError:
    return _refused(400, message, code, param=param)


def no_replica(model: str) -> ApiError:
    return _failed(503, f"No replica of `{model}` is available now.", "no_capacity", OutcomeClass.NO_CAPACITY)


def connect_failed() -> ApiError:
    return _failed(502, "The model's engine could not be reached.", "upstream_unreachable", OutcomeClass.UPSTREAM_ERROR)


def connect_timeout() -> ApiError:
    return _failed(504, "The model's engine could not be reached in time.", "connect_timeout", OutcomeClass.TIMEOUT)


def first_token_timeout() -> ApiError:
    return _failed(504, "The model's engine sent no first token in time.", "first_token_timeout", OutcomeClass.TIMEOUT)


def inter_token_timeout() -> ApiError:
    return _failed(504, "The model's engine fell silent mid-answer.", "inter_token_timeout", OutcomeClass.TIMEOUT)


def total_timeout() -> ApiError:
    return _failed(504, "The request took longer than this gateway allows.", "total_timeout", OutcomeClass.TIMEOUT)


def upstream_cut() -> ApiError:
    return _failed(502, "The model's engine broke off its answer.", "upstream_cut", OutcomeClass.UPSTREAM_ERROR)


def upstream_failed(status: int) -> ApiError:
    # The engine's own words stay inside: a 500's text may hold a traceback, a 401 or 404 speaks of our set-up.
    return _failed(502, f"The model's engine answered {status}.", "upstream_error", OutcomeClass.UPSTREAM_ERROR)


def upstream_busy(retry_after_s: int | None) -> ApiError:
    return _failed(
        503,
        "The model's engine takes no requests now.",
        "upstream_unavailable",
        OutcomeClass.NO_CAPACITY,
        retry_after_s=retry_after_s or _RETRY_AFTER_S,
    )


def upstream_rate_limited(retry_after_s: int | None) -> ApiError:
    return ApiError(
        429,
        "The model's engine is at its limit. Try again later.",
        code="rate_limit_exceeded",
        outcome=OutcomeClass.RATE_LIMITED,
        type="rate_limit_error",
        headers=((b"retry-after", b"%d" % (retry_after_s or _RETRY_AFTER_S)),),
    )


def draining() -> ApiError:
    message = "This gateway is shutting down. Send the request again."
    return _failed(503, message, "draining", OutcomeClass.NO_CAPACITY, retry_after_s=1)


def internal() -> ApiError:
    return _failed(500, "The gateway failed on this request.", "internal_error", OutcomeClass.INTERNAL_ERROR)


def engine_refused(status: int, message: str, *, param: str | None, code: str | None) -> ApiError:
    """The engine found fault with the request; its message is meant for the caller."""
    return _refused(status, message, code, param=param)
