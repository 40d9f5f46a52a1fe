"""uvicorn's HTTP/1.1 protocol with limits on what comes before a request: size, number and time of its header."""

import asyncio
from typing import Any, NoReturn

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.gateway.config import Limits, Timeouts
from services.gateway.errors import ErrorBody, ErrorDetail

_READ_BODIES = 4
"""A request is read to this many times the body limit: the rest of a refused body is dropped, so that its client gets
to the answer, but not without end. Framing and trailers count too."""

_NOT_HTTP = (400, "invalid_http", "Invalid HTTP request received.")
_LARGE_HEADER = (431, "header_too_large", "The request's header is too large.")
_UPGRADE = (400, "upgrade_not_supported", "Protocol upgrades are not supported: switch h2c off in your HTTP client.")


class GatewayProtocol(HttpToolsProtocol):
    """One client connection. uvicorn itself bounds neither headers nor the time a client takes to send them."""

    limits: Limits
    timeouts: Timeouts

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_open = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._message_bytes = 0
        self._refusal = _NOT_HTTP

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.timeouts.head_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._message_bytes += len(data)
        super().data_received(data)
        if self._head_open:
            if self._message_bytes > self.limits.header_bytes:
                self._refusal = _LARGE_HEADER
                self.send_400_response("")
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(self.timeouts.head_s, self.transport.abort)
        elif self._message_bytes > self.limits.header_bytes + _READ_BODIES * self.limits.body_bytes:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_open = True
        self._message_bytes = 0
        self.scope["extensions"] = {"llmp.transport": self.transport}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_open:  # trailers mean nothing here and are not collected
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._stop_head_timer()
        size = sum(len(name) + len(value) for name, value in self.headers)
        if size + len(self.url) > self.limits.header_bytes or len(self.headers) > self.limits.header_count:
            self._refuse(_LARGE_HEADER)
        upgrade = self.parser.should_upgrade()
        if upgrade and any(name in {b"content-length", b"transfer-encoding"} for name, _ in self.headers):
            # The parser takes what follows such a header for the other protocol, so the body would be lost.
            self._refuse(_UPGRADE)
        super().on_headers_complete()
        if upgrade:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words; ours are in the refusal
        """Answers what could not be parsed, in the shape of every other error, and closes."""
        if self.transport.is_closing():
            return
        status, code, message = self._refusal
        if self.cycle is None or self.cycle.response_complete:
            body = msgspec.json.encode(ErrorBody(ErrorDetail(message, "invalid_request_error", None, code)))
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        # Else an answer is being written on this connection, and nothing may be mixed into it.
        self.transport.close()

    def _refuse(self, refusal: tuple[int, str, str]) -> NoReturn:
        self._refusal = refusal
        raise ValueError(refusal[1])  # the parser reports it, and data_received then answers

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def limited_protocol(limits: Limits, timeouts: Timeouts) -> type[GatewayProtocol]:
    """The protocol class for one listener; uvicorn takes a class and passes it nothing of ours."""
    return type("LimitedProtocol", (GatewayProtocol,), {"limits": limits, "timeouts": timeouts})
