"""From a parsed request to an engine and back: attempts, the answer as it comes, and what a bad answer means."""

import re
from collections.abc import Mapping

import msgspec

from services.gateway import errors
from services.gateway.client_response import ClientResponse
from services.gateway.config import Timeouts
from services.gateway.engine_client import BrokenAnswerError, ConnectFailedError, EngineAnswer, EngineClient
from services.gateway.event_stream import EventStream, usage_of_answer
from services.gateway.exchange import Exchange, clock
from services.gateway.headers import JSON_TYPE
from services.gateway.lifetime import End, Lifetime
from services.gateway.replicas import Replica, ReplicaSet, RetryBudget

_MAX_ATTEMPTS = 2
_SANE_CONTENT_TYPE = re.compile(r"[A-Za-z0-9.+\-]+/[A-Za-z0-9.+\-]+(; ?charset=[A-Za-z0-9\-]+)?")
_CALLERS_FAULT = frozenset({400, 413, 415, 422})
_MAX_MESSAGE = 2000
_CONTEXT_LENGTH = re.compile(
    r"maximum context length|longer than the maximum model length|max_model_len", re.IGNORECASE
)


class _EngineError(msgspec.Struct):
    message: str | None = None
    param: str | None = None


class _EngineErrorBody(msgspec.Struct):
    """OpenAI's shape, vLLM's older flat shape, FastAPI's `detail`."""

    error: _EngineError | None = None
    message: str | None = None
    detail: str | None = None


class EngineRequest(msgspec.Struct, frozen=True, gc=False):
    """What an engine is to be asked."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    wants_usage: bool
    """The client itself asked for the usage event of its stream."""


class Relay:
    """Passes requests on. Retries only what no engine has seen: a failed connect, once, on another replica."""

    def __init__(self, engines: EngineClient, timeouts: Timeouts) -> None:
        self._engines = engines
        self._timeouts = timeouts
        self._retries = RetryBudget()

    async def run(
        self,
        exchange: Exchange,
        lifetime: Lifetime,
        client: ClientResponse,
        replicas: ReplicaSet,
        request: EngineRequest,
    ) -> None:
        """Answers the client completely, or raises ApiError; `client.begun` then says whether it has seen anything."""
        self._retries.earn()
        tried: list[Replica] = []
        refusal = errors.no_replica(replicas.model)
        while len(tried) < _MAX_ATTEMPTS and (replica := replicas.choose(tried)) is not None:
            if tried and not self._retries.spend():
                break
            tried.append(replica)
            exchange.attempts += 1
            exchange.replica = replica.address
            replica.inflight += 1
            try:
                await self._attempt(exchange, lifetime, client, replica, request)
            except ConnectFailedError as failed:
                replicas.connect_failed(replica)
                refusal = failed.api_error
            except BrokenAnswerError:
                raise errors.upstream_cut() from None
            else:
                return
            finally:
                replica.inflight -= 1
        raise refusal

    async def _attempt(
        self,
        exchange: Exchange,
        lifetime: Lifetime,
        client: ClientResponse,
        replica: Replica,
        request: EngineRequest,
    ) -> None:
        if exchange.stream:
            lifetime.expect(End.FIRST_TOKEN_TIMEOUT, self._timeouts.first_token_s)
        answer = await self._engines.ask(replica, request.path, request.headers, request.body)
        try:
            if answer.status != 200:
                raise await _refusal(answer)
            if exchange.stream and answer.is_event_stream:
                await self._pass_stream(exchange, lifetime, client, answer, strip_usage=not request.wants_usage)
            else:
                await _pass_whole(exchange, client, answer)
        finally:
            answer.close()

    async def _pass_stream(
        self,
        exchange: Exchange,
        lifetime: Lifetime,
        client: ClientResponse,
        answer: EngineAnswer,
        *,
        strip_usage: bool,
    ) -> None:
        inter_token_s = self._timeouts.inter_token_s
        events = exchange.events = EventStream(strip_usage=strip_usage)
        while chunk := await answer.read_some():
            try:
                passed = events.feed(chunk)
            except ValueError:
                raise errors.upstream_cut() from None
            if passed:
                exchange.last_event_at = clock()
                if not client.begun:
                    # Committed only now: until the first event is here, a failure can still become an honest status.
                    exchange.first_event_at = exchange.last_event_at
                    await client.begin_stream()
                lifetime.expect_only_total()
                await client.write(passed)
            if client.begun:
                lifetime.expect(End.INTER_TOKEN_TIMEOUT, inter_token_s)
        # Some engines end a stream without [DONE]; then only the framing tells an end from a cut.
        if not client.begun or not events.whole or not (answer.framed or events.done):
            raise errors.upstream_cut()
        if events.failed:
            # The engine told the client itself; the bytes were passed on.
            exchange.blame(errors.upstream_failed(200))
        lifetime.expect_only_total()
        await client.finish()


async def _pass_whole(exchange: Exchange, client: ClientResponse, answer: EngineAnswer) -> None:
    body = await answer.read_all()
    exchange.usage = usage_of_answer(body)
    content_type = answer.header("content-type") or ""
    sane = _SANE_CONTENT_TYPE.fullmatch(content_type)
    await client.whole(200, ((b"content-type", content_type.encode()) if sane else JSON_TYPE,), body)


async def _refusal(answer: EngineAnswer) -> errors.ApiError:
    """What an engine's answer other than 200 means to the client."""
    status = answer.status
    retry_after = answer.header("retry-after") or ""
    retry_after_s = int(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else None
    if status == 429:
        return errors.upstream_rate_limited(retry_after_s)
    if status == 503:
        return errors.upstream_busy(retry_after_s)
    if status in _CALLERS_FAULT:
        return _callers_fault(status, await answer.read_all())
    return errors.upstream_failed(status)


def _callers_fault(status: int, body: bytes) -> errors.ApiError:
    """The engine's own words about the caller's request, in OpenAI's shape."""
    try:
        told = msgspec.json.decode(body, type=_EngineErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = _EngineErrorBody()
    error = told.error or _EngineError(told.message or told.detail)
    message = (error.message or "The model's engine refused the request.")[:_MAX_MESSAGE]
    code = "context_length_exceeded" if _CONTEXT_LENGTH.search(message) else None
    return errors.engine_refused(400 if status == 422 else status, message, param=error.param, code=code)
