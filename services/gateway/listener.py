"""One listening port: uvicorn with our protocol, bound at once so that a taken port is told by name."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from services.gateway.config import Limits, Listener, Timeouts
from services.gateway.http_protocol import limited_protocol

_BACKLOG = 2048


class ListenError(Exception):
    """The address cannot be listened on; the message names it and the reason."""


class ListeningServer(uvicorn.Server):
    """A uvicorn server that leaves signals alone: two of them run here, and the drain is ours."""

    def __init__(self, listener: Listener, app: Any, limits: Limits, timeouts: Timeouts) -> None:
        """Binds; raises ListenError."""
        super().__init__(
            uvicorn.Config(
                app,
                http=limited_protocol(limits, timeouts),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                # Its errors are our outcomes: told once, without a traceback.
                log_level="critical",
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=int(timeouts.keep_alive_s),
                backlog=_BACKLOG,
            )
        )
        family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
        try:
            # uvicorn itself would log a failure to bind where nobody looks, and exit with 3.
            self._socket = socket.create_server((listener.host, listener.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ListenError(f"cannot listen on {listener.host}:{listener.port}: {reason}") from error

    @property
    def address(self) -> str:
        """HOST:PORT as bound."""
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    async def run_until_told(self) -> None:
        """Serve until `should_exit`, then until the last connection is closed."""
        await self.serve(sockets=[self._socket])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
