"""The answer on its way to the client: at most one, and never a false end."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from services.gateway import headers
from services.gateway.exchange import Exchange

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientResponse:
    """Writes through ASGI `send` and keeps the exchange's status and byte count."""

    __slots__ = ("_closing", "_exchange", "_send", "begun", "complete", "streaming")

    def __init__(self, send: Send, exchange: Exchange, closing: Callable[[], bool]) -> None:
        """`closing` says whether connections are to be closed after their answer, as during a drain."""
        self._send = send
        self._exchange = exchange
        self._closing = closing
        self.begun = False
        """The client has a status; no other can follow."""
        self.streaming = False
        """It has begun as a stream, so that events may follow."""
        self.complete = False

    async def whole(self, status: int, extra: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """A complete answer with its length."""
        fields = self._begin(status)
        fields += extra
        fields.append((b"content-length", b"%d" % len(body)))
        self._exchange.answer_bytes += len(body)
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
        await self._send({"type": "http.response.body", "body": body})
        self.complete = True

    async def begin_stream(self) -> None:
        """Commit to a stream; from here on a failure can only be told inside it."""
        fields = self._begin(200)
        fields += headers.STREAM_HEADERS
        self.streaming = True
        await self._send({"type": "http.response.start", "status": 200, "headers": fields})

    async def write(self, chunk: bytes) -> None:
        """Waits while the client reads too slowly."""
        self._exchange.answer_bytes += len(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self) -> None:
        """The good end of a stream. Without it the server closes the connection and the client sees a cut body."""
        await self._send({"type": "http.response.body", "body": b""})
        self.complete = True

    def _begin(self, status: int) -> headers.Headers:
        self.begun = True
        self._exchange.status = status
        return headers.to_client(self._exchange.request_id, self._exchange.traceparent, closing=self._closing())
