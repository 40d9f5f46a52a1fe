"""`python -m services.alert_receiver`: POST / takes a notification, GET / returns the last ones, newest last.

Keeps 200 notifications in memory, 25 MB at most, and no longer than its process lives: it shows that alerts arrive,
it is no archive.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MAX_BODY_BYTES = 128 << 10
_KEPT = 200


class Receiver(ThreadingHTTPServer):
    """The server and its memory. `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("", port), Handler)
        self.notifications: deque[object] = deque(maxlen=_KEPT)


class Handler(BaseHTTPRequestHandler):
    """One request. Alertmanager retries whatever is not 2xx, so bad bodies get 4xx and are not retried by it."""

    server: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(HTTPStatus.OK, {"status": "ok"})
        elif self.path == "/":
            self._answer(HTTPStatus.OK, list(self.server.notifications))
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"no such path: {self.path}; GET / lists notifications"})

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self._answer(HTTPStatus.LENGTH_REQUIRED, {"error": "Content-Length is missing"})
            return
        if not 0 <= length <= _MAX_BODY_BYTES:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"at most {_MAX_BODY_BYTES} bytes"})
            return
        try:
            notification = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "the body is not JSON"})
            return
        self.server.notifications.append({"received_at": time.time(), "notification": notification})
        self._answer(HTTPStatus.OK, {"status": "received"})

    def _answer(self, status: HTTPStatus, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: probes would fill the log."""


def main() -> None:
    server = Receiver(int(os.environ.get("PORT", "9095")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    end.wait()
    server.shutdown()


if __name__ == "__main__":
    main()
