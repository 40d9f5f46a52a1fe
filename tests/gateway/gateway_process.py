"""The real gateway as a child process, and a client that shows what is on the wire."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from services.gateway.keys import generate_key

REPOSITORY = Path(__file__).parents[2]
START_S = 15.0

KEY, KEY_RECORD = generate_key(tenant="acme")
NARROW_KEY, NARROW_RECORD = generate_key(tenant="globex", models=["embedder"])

_numbers = itertools.count()


def wait_until(condition, within_s: float, why: str) -> float:
    """Seconds until `condition()` held; fails with `why` if it did not in time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, why
        time.sleep(0.005)
    return time.monotonic() - began


def fresh_id() -> str:
    return f"test-{uuid.uuid4().hex}"


class Answer:
    """A complete answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        error = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}, "every error has OpenAI's four fields"
        return error


class GatewayUnderTest:
    """One gateway process; `folder` holds its files and its log."""

    def __init__(self, folder: Path, models: dict, **overrides) -> None:
        self.folder = folder
        self._log_read = 0
        self._lines: list[dict] = []
        self.keys_file = folder / "keys.json"
        self.log_file = folder / f"log-{next(_numbers)}.jsonl"
        if not self.keys_file.exists():
            self.keys_file.write_text(json.dumps([KEY_RECORD.as_json(), NARROW_RECORD.as_json()]))
        config = {
            "keys_file": str(self.keys_file),
            "models": models,
            "listen": {"host": "127.0.0.1", "port": 0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "drain": {"grace_s": 0, "budget_s": 5},
            **overrides,
        }
        config_file = folder / f"{self.log_file.stem}.json"
        config_file.write_text(json.dumps(config))
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.gateway", "--config", config_file], cwd=REPOSITORY, stdout=log
            )
        started = self.logged("gateway.started", START_S)[0]
        self.port = int(started["listen"].rpartition(":")[2])
        self.admin_port = int(started["admin"].rpartition(":")[2])

    def close(self) -> None:
        """At once; the tests of draining end their gateways themselves."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)

    def terminate(self) -> float:
        """SIGTERM, and the seconds until the process has ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(8)
        return time.monotonic() - began

    def log_lines(self) -> list[dict]:
        """All whole lines so far; only the new ones are read, since tests ask again and again."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_read)
            whole = log.read().rpartition(b"\n")[0]
        if whole:
            self._log_read += len(whole) + 1
            self._lines += [json.loads(line) for line in whole.split(b"\n")]
        return self._lines

    def logged(self, name: str, within_s: float = 3.0, **matching) -> list[dict]:
        """Log lines of that event, as soon as there is one."""

        def found() -> list[dict]:
            lines = self.log_lines()
            return [line for line in lines if line["event"] == name and matching.items() <= line.items()]

        wait_until(found, within_s, f"no log line {name} {matching}")
        return found()

    def outcome(self, request_id: str) -> dict:
        """The one log line of a finished request."""
        lines = self.logged("request", request_id=request_id)
        assert len(lines) == 1, "one line a request"
        return lines[0]

    @contextlib.contextmanager
    def connection(self, *, admin: bool = False) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=10)
        try:
            yield connection
        finally:
            connection.close()

    def request(self, method: str, path: str, body=None, headers=None, *, key=KEY, admin: bool = False) -> Answer:
        with self.connection(admin=admin) as connection:
            connection.request(method, path, body, _headers(headers, key))
            return Answer(connection.getresponse())

    def chat(self, *, path: str = "/v1/chat/completions", headers=None, key=KEY, **fields) -> Answer:
        """A chat request with JSON fields added to a plain one."""
        return self.request("POST", path, chat_body(**fields), headers, key=key)

    @contextlib.contextmanager
    def streaming(self, headers=None, **fields) -> Iterator["RawStream"]:
        """A streamed chat request on a socket of its own, closed at the end of the block whatever came."""
        body = chat_body(**{"stream": True, **fields})
        stream = RawStream(self.port, body, _headers(headers, KEY))
        try:
            yield stream
        finally:
            stream.close()

    def metrics(self) -> dict[str, float]:
        lines = self.request("GET", "/metrics", admin=True, key=None).body.decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def inflight(self) -> float:
        return self.metrics()["llm_gateway_inflight"]


class RawStream:
    """A request whose answer is read from the socket as it comes."""

    def __init__(self, port: int, body: bytes, headers: dict[str, str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{head}\r\n"
        self._socket.sendall(request.encode() + body)
        self.received = b""

    def close(self) -> None:
        self._socket.close()

    def read_until(self, mark: bytes) -> float:
        """The moment at which `mark` had arrived."""
        while mark not in self.received:
            data = self._socket.recv(65536)
            assert data, f"the connection ended before {mark!r}: {self.received[-300:]!r}"
            self.received += data
        return time.monotonic()

    def read_all(self) -> bytes:
        """Everything until the gateway closes or the body ends."""
        while not self.received.endswith(b"\r\n0\r\n\r\n"):
            data = self._socket.recv(65536)
            if not data:
                break
            self.received += data
        return self.received

    @property
    def status(self) -> int:
        self.read_until(b"\r\n")
        return int(self.received.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        """The chunked body so far, unwrapped."""
        rest = self.received.partition(b"\r\n\r\n")[2]
        body = b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body

    @property
    def ended_well(self) -> bool:
        """The final chunk came."""
        return self.received.endswith(b"\r\n0\r\n\r\n")


def chat_body(**fields) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}).encode()


def _headers(given, key) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    return {name: value for name, value in {**headers, **(given or {})}.items() if value is not None}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
