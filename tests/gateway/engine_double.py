"""An OpenAI-like engine whose faults are scripted. It exists only because faults must happen at exact moments.

What a request meets is written in the request itself, in a field `script` that the gateway passes on unread: a list of
steps, each a list of a name and its arguments. Without a script the engine answers properly.
"""

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field

PROMPT_TOKENS = 7
WORDS = ("The", " answer", " is", " 42", ".")


@dataclass
class Seen:
    """One request as it arrived, and what became of it."""

    path: str
    headers: dict[str, str]
    body: bytes
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None
    gone: bool = False
    """The other side left before the answer was complete."""

    @property
    def json(self):
        return json.loads(self.body)


def event(payload) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def delta(text: str, finish: str | None = None) -> dict:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def usage(completion_tokens: int) -> dict:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS + completion_tokens,
    }


def usage_event(completion_tokens: int = len(WORDS)) -> dict:
    return {**delta(""), "choices": [], "usage": usage(completion_tokens)}


class _Connection(asyncio.Protocol):
    def __init__(self, engine: "EngineDouble") -> None:
        self.engine = engine
        self.received = b""
        self.seen: Seen | None = None
        self.work: asyncio.Task | None = None
        self.idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.engine.connections += 1
        self._wait_idle()

    def connection_lost(self, _error) -> None:
        if self.seen is not None:
            self.seen.gone = True
            self._over()
        if self.work is not None:
            self.work.cancel()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        request_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.received = rest[length:]
        if self.idle is not None:
            self.idle.cancel()
        self.seen = Seen(request_line.split(" ")[1], headers, rest[:length])
        self.engine.requests.append(self.seen)
        self.engine.active += 1
        self.work = asyncio.get_running_loop().create_task(self._answer(self.seen))

    def _over(self) -> None:
        self.seen.ended_at = time.monotonic()
        self.seen = None
        self.engine.active -= 1

    def _wait_idle(self) -> None:
        if self.engine.idle_close_s is not None:
            self.idle = asyncio.get_running_loop().call_later(self.engine.idle_close_s, self.transport.close)

    async def _answer(self, seen: Seen) -> None:
        asked = seen.json
        for name, *arguments in asked.get("script") or self._proper_steps(seen.path, asked):
            await getattr(self, f"_{name}")(*arguments)
        if not self.transport.is_closing():
            self._over()
            self._wait_idle()

    def _proper_steps(self, path: str, asked: dict) -> list:
        if path == "/v1/embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]
            return [["whole", 200, {"object": "list", "data": data, "model": asked["model"], "usage": usage(0)}]]
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "message": message, "text": "".join(WORDS), "finish_reason": "stop"}
            shape = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"]}
            return [["whole", 200, {**shape, "choices": [choice], "usage": usage(len(WORDS))}]]
        steps = [["head"], ["event", delta("")], *(["event", delta(word)] for word in WORDS)]
        if (asked.get("stream_options") or {}).get("include_usage"):
            steps.append(["event", usage_event()])
        return [*steps, ["done"], ["end"]]

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _whole(self, status: int, body, headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        fields = {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data)

    async def _head(self, headers: dict[str, str] | None = None) -> None:
        fields = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())

    async def _bytes(self, text: str) -> None:
        self.transport.write(text.encode())

    async def _raw(self, text: str) -> None:
        data = text.encode()
        self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.engine.sent_at.append(time.monotonic())
        await asyncio.sleep(0)

    async def _event(self, payload: dict) -> None:
        await self._raw(event(payload).decode())

    async def _flood(self, events: int, size: int) -> None:
        """Events as fast as they can be buffered."""
        for _ in range(events):
            await self._event(delta("x" * size))

    async def _done(self) -> None:
        await self._raw("data: [DONE]\n\n")

    async def _end(self) -> None:
        self.transport.write(b"0\r\n\r\n")

    async def _cut(self) -> None:
        self._over()
        self.transport.close()


class EngineDouble:
    """A scripted engine on a loopback port, in a thread of its own."""

    def __init__(self, *, idle_close_s: float | None = None) -> None:
        self.requests: list[Seen] = []
        self.sent_at: list[float] = []
        self.active = 0
        self.connections = 0
        self.idle_close_s = idle_close_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def asked_with(self, request_id: str) -> list[Seen]:
        """Requests that came for the client's request of that id."""
        return [seen for seen in list(self.requests) if seen.headers["x-request-id"].startswith(request_id)]

    async def _listen(self):
        return await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)
