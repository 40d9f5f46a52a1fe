"""The public ASGI application: who are you, may you, which model, which replica; one outcome at the end."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from services.gateway import errors, headers
from services.gateway.client_response import ClientResponse, Receive, Send
from services.gateway.config import Config, Model
from services.gateway.exchange import Exchange
from services.gateway.health import Health
from services.gateway.inference_request import engine_body, parse
from services.gateway.keyring import Identity, Keyring
from services.gateway.lifetime import End, Lifetime
from services.gateway.outcome import Outcome
from services.gateway.relay import EngineRequest, Relay
from services.gateway.replicas import ReplicaSet
from services.gateway.routes import MODELS_LABEL, MODELS_PATH, ROUTES, Route

_LAST_WORD_S = 1.0

_ENDED: dict[End, Callable[[], errors.ApiError]] = {
    End.FIRST_TOKEN_TIMEOUT: errors.first_token_timeout,
    End.INTER_TOKEN_TIMEOUT: errors.inter_token_timeout,
    End.TOTAL_TIMEOUT: errors.total_timeout,
    End.DRAINED: errors.draining,
}


class ClientGoneError(Exception):
    """The client left while its body was being read."""


class GatewayApp:
    """ASGI 3 application for HTTP; every request that is not a health check ends in one call of `finished`."""

    def __init__(
        self,
        *,
        config: Config,
        keyring: Keyring,
        replicas: Mapping[str, ReplicaSet],
        relay: Relay,
        health: Health,
        finished: Callable[[Outcome], None],
        log: Any,
    ) -> None:
        self._config = config
        self._keyring = keyring
        self._replicas = replicas
        self._relay = relay
        self._health = health
        self._finished = finished
        self._log = log
        self._created = int(time.time())
        self.under_way: set[Lifetime] = set()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or await self._health.answer(scope, send):
            return
        exchange = Exchange(scope["method"], headers.read(scope["headers"]), self._config.tracing.sample_ratio)
        client = ClientResponse(send, exchange, self._health.is_draining)
        lifetime = Lifetime(self._config.timeouts.total_s, self._config.timeouts.body_s)
        self.under_way.add(lifetime)
        try:
            await self._serve(exchange, lifetime, client, scope["path"], receive)
        except errors.ApiError as error:
            await self._tell(exchange, lifetime, client, error, scope)
        except ClientGoneError:
            exchange.client_left()
        except asyncio.CancelledError:
            if lifetime.ended_by is None:
                # Not our doing: somebody wants this task gone.
                exchange.blame(errors.draining())
                raise
            await self._ended(exchange, lifetime, client, scope)
        except Exception as error:
            # Type and place only: a message may quote the request.
            frame = _last_frame(error)
            self._log.error("request.crashed", request_id=exchange.request_id, error=type(error).__name__, at=frame)
            await self._tell(exchange, lifetime, client, errors.internal(), scope)
        finally:
            lifetime.close()
            self.under_way.discard(lifetime)
            self._finished(exchange.outcome())

    async def _serve(
        self, exchange: Exchange, lifetime: Lifetime, client: ClientResponse, path: str, receive: Receive
    ) -> None:
        route = ROUTES.get(path)
        if route is None:
            await self._serve_models(exchange, client, path)
            return
        exchange.route = route.label
        if exchange.method != "POST":
            raise errors.method_not_allowed(exchange.method, "POST")
        identity = exchange.identity = self._keyring.identify(exchange.received.get(b"authorization"))
        _require_plain_json(exchange.received)
        body = await self._read_body(exchange, lifetime, receive)
        exchange.body_bytes = len(body)
        request = parse(body)
        model = self._permitted_model(identity, request.model)
        exchange.model = request.model
        if model.kind not in route.kinds:
            raise errors.wrong_endpoint(model.kind, route.path)
        exchange.stream = request.stream and route is not Route.EMBEDDINGS
        exchange.max_tokens = request.max_tokens
        salted = model.cache_salt and route is not Route.EMBEDDINGS
        engine_request = EngineRequest(
            path=route.path,
            headers=headers.to_engine(
                exchange.received,
                exchange.request_id,
                exchange.trace,
                exchange.traceparent,
                chosen_by_client=exchange.chosen_id,
            ),
            body=body if route is Route.EMBEDDINGS else engine_body(request, identity.cache_salt if salted else None),
            wants_usage=request.wants_usage,
        )
        watcher = asyncio.create_task(_watch(receive, lifetime))
        try:
            await self._relay.run(exchange, lifetime, client, self._replicas[request.model], engine_request)
        finally:
            if not client.complete:
                # After a complete answer the server itself wakes the watcher; cancelling would cost every request.
                watcher.cancel()

    async def _serve_models(self, exchange: Exchange, client: ClientResponse, path: str) -> None:
        if path != MODELS_PATH and not path.startswith(f"{MODELS_PATH}/"):
            raise errors.unknown_path(exchange.method, path)
        exchange.route = MODELS_LABEL
        if exchange.method != "GET":
            raise errors.method_not_allowed(exchange.method, "GET")
        identity = exchange.identity = self._keyring.identify(exchange.received.get(b"authorization"))
        if path == MODELS_PATH:
            served = [self._card(name) for name in self._config.models if identity.may_use(name)]
            answer: dict[str, object] = {"object": "list", "data": served}
        else:
            name = path[len(MODELS_PATH) + 1 :]
            self._permitted_model(identity, name)
            exchange.model = name
            answer = self._card(name)
        await client.whole(200, (headers.JSON_TYPE,), msgspec.json.encode(answer))

    def _card(self, name: str) -> dict[str, object]:
        model = self._config.models[name]
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "llmp",
            "max_model_len": model.max_model_len,
        }

    def _permitted_model(self, identity: Identity, name: str) -> Model:
        model = self._config.models.get(name)
        if model is None or not identity.may_use(name):
            raise errors.unknown_model(name)
        return model

    async def _read_body(self, exchange: Exchange, lifetime: Lifetime, receive: Receive) -> bytes:
        limit = self._config.limits.body_bytes
        declared = exchange.received.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise errors.body_too_large(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise errors.body_too_large(limit)
            if not message.get("more_body", False):
                lifetime.expect_only_total()
                return b"".join((*parts, part)) if parts else part
            parts.append(part)

    async def _ended(
        self, exchange: Exchange, lifetime: Lifetime, client: ClientResponse, scope: Mapping[str, Any]
    ) -> None:
        """The request was cut short by its own lifetime."""
        reason = lifetime.absorb()
        if reason is End.CLIENT_GONE:
            exchange.client_left()
        elif reason is End.BODY_TIMEOUT:
            await self._tell(exchange, lifetime, client, errors.body_timeout(self._config.timeouts.body_s), scope)
        else:
            await self._tell(exchange, lifetime, client, _ENDED[reason](), scope)

    async def _tell(
        self,
        exchange: Exchange,
        lifetime: Lifetime,
        client: ClientResponse,
        error: errors.ApiError,
        scope: Mapping[str, Any],
    ) -> None:
        """Answer with `error`; inside a stream as an event, and then no end: the server cuts the connection."""
        lifetime.close()
        exchange.blame(error)
        try:
            async with asyncio.timeout(_LAST_WORD_S):
                if not client.begun:
                    await client.whole(error.status, (headers.JSON_TYPE, *error.headers), error.body)
                elif client.streaming:
                    await client.write(error.event())
        except TimeoutError:
            # A client that reads nothing must not hold the buffers of its answer for ever.
            scope["extensions"]["llmp.transport"].abort()


async def _watch(receive: Receive, lifetime: Lifetime) -> None:
    """End the request when its client leaves; reading further is the only way ASGI tells."""
    while (await receive())["type"] != "http.disconnect":
        pass
    lifetime.end(End.CLIENT_GONE)


def _require_plain_json(received: Mapping[bytes, bytes]) -> None:
    content_type = received.get(b"content-type")
    if content_type is not None and content_type.split(b";")[0].strip().lower() != b"application/json":
        raise errors.unsupported_media("Unsupported content type.")
    if received.get(b"content-encoding", b"identity").lower() != b"identity":
        # A compressed body could unfold to any size.
        raise errors.unsupported_media("Unsupported content encoding.")


def _last_frame(error: BaseException) -> str:
    traceback = error.__traceback__
    place = ""
    while traceback is not None:
        place = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
