"""The HTTP client towards engine replicas.

aiohttp, because pyreqwest 0.15.1 does not carry a cancellation to the engine before response headers have come: the
connection of a cancelled `send()` stayed open for as long as it was watched (tests/gateway/test_cancel.py holds the
rule). aiohttp closes it within a millisecond, and retries nothing on POST.
"""

from collections.abc import Mapping

import aiohttp

from services.gateway import errors
from services.gateway.config import Timeouts
from services.gateway.replicas import Replica


class ConnectFailedError(Exception):
    """No connection came about, so the engine has seen nothing: the one failure that may be tried elsewhere."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("connect timeout" if timed_out else "connect failed")
        self.api_error = errors.connect_timeout() if timed_out else errors.connect_failed()


class BrokenAnswerError(Exception):
    """The connection broke after the request had gone out; it may have been worked on, so it is never repeated."""


class EngineAnswer:
    """One engine's answer, read as it comes. Always `close` it: that is what cancels the engine's work."""

    __slots__ = ("_response", "framed", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        names = response.headers
        self.framed = "transfer-encoding" in names or "content-length" in names
        """The end of the body can be told from a cut."""

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    @property
    def is_event_stream(self) -> bool:
        return self._response.content_type == "text/event-stream"

    async def read_some(self) -> bytes:
        """What has arrived, at least a byte; empty at the end. Raises BrokenAnswerError."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenAnswerError from error

    async def read_all(self) -> bytes:
        """The rest of the body. Raises BrokenAnswerError."""
        try:
            return await self._response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenAnswerError from error

    def close(self) -> None:
        """Hand the connection back if the body was read to its end, else cut it."""
        self._response.close()


class EngineClient:
    """A pool of kept connections to all replicas. Follows no redirect, keeps no cookie, uses no proxy."""

    def __init__(self, timeouts: Timeouts) -> None:
        """Needs a running loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=timeouts.upstream_idle_s),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept-encoding", "user-agent"),
            auto_decompress=False,
            trust_env=False,
        )

    async def ask(self, replica: Replica, path: str, headers: Mapping[str, str], body: bytes) -> EngineAnswer:
        """Send the request and wait for the answer's header. Raises ConnectFailedError or BrokenAnswerError."""
        try:
            response = await self._session.post(replica.urls[path], data=body, headers=headers, allow_redirects=False)
        except aiohttp.ConnectionTimeoutError:
            raise ConnectFailedError(timed_out=True) from None
        except aiohttp.ClientConnectorError:
            raise ConnectFailedError(timed_out=False) from None
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenAnswerError from error
        return EngineAnswer(response)

    async def close(self) -> None:
        await self._session.close()
