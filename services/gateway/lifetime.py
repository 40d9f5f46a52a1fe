"""Why a request may end before its answer does: the client left, a time limit passed, the gateway goes down."""

import asyncio
from enum import StrEnum


class End(StrEnum):
    """What cut a request short."""

    CLIENT_GONE = "client_gone"
    BODY_TIMEOUT = "body_timeout"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105
    INTER_TOKEN_TIMEOUT = "inter_token_timeout"  # noqa: S105
    TOTAL_TIMEOUT = "total_timeout"
    DRAINED = "drained"


class Lifetime:
    """The limits of one request, enforced by cancelling the task that made this object.

    The task catches CancelledError and finds the reason in `ended_by`; None there means somebody else cancelled it.
    Moving a limit is two assignments: one timer runs a request and is set anew only when it fires too early or would
    fire too late. A timeout object for every chunk of a stream would cost more than relaying the chunk.
    """

    __slots__ = ("_closed", "_due", "_loop", "_reason", "_task", "_timer", "_total_due", "ended_by")

    def __init__(self, total_s: float, body_s: float) -> None:
        """Seconds for everything, and for the request's body to arrive."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Lifetime belongs to a task")
        self._task = task
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._total_due = now + total_s
        self._due = min(self._total_due, now + body_s)
        self._reason = End.BODY_TIMEOUT
        self._timer = self._loop.call_at(self._due, self._fire)
        self._closed = False
        self.ended_by: End | None = None

    def expect(self, reason: End, within_s: float) -> None:
        """The next thing must happen within `within_s` seconds, or the request ends for `reason`."""
        due = self._loop.time() + within_s
        if due >= self._total_due:
            self.expect_only_total()
            return
        self._due = due
        self._reason = reason
        if due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(due, self._fire)

    def expect_only_total(self) -> None:
        """Nothing but the total limit applies, as while a slow client is being written to."""
        self._due = self._total_due
        self._reason = End.TOTAL_TIMEOUT

    def end(self, reason: End) -> None:
        """Cancel the request's task; the first reason counts, and none after `close`."""
        if self._closed or self.ended_by is not None:
            return
        self.ended_by = reason
        self._timer.cancel()
        self._task.cancel()

    def absorb(self) -> End:
        """Why the task was cancelled; after this it may go on and say so."""
        if self.ended_by is None:
            raise RuntimeError("not cancelled by this lifetime")
        self._task.uncancel()
        return self.ended_by

    def close(self) -> None:
        """The answer is complete; nothing ends it any more."""
        self._closed = True
        self._timer.cancel()

    def _fire(self) -> None:
        if self._loop.time() >= self._due - 0.001:
            self.end(self._reason)
        else:
            self._timer = self._loop.call_at(self._due, self._fire)
