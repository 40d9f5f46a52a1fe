"""Server-sent events as bytes: whole events go on as they came, usage is picked out of the few that hold it."""

import msgspec

_EVENT_END = b"\n\n"
_CRLF_EVENT_END = b"\r\n\r\n"
_DONE = b"data: [DONE]"
_ERROR = b'data: {"error"'
_USAGE = b'"usage"'
_MAX_PARTIAL_EVENT = 4 * 1024 * 1024


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    """Token counts as engines report them."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: PromptTokensDetails | None = None


class _Event(msgspec.Struct):
    usage: Usage | None = None
    choices: list[msgspec.Raw] | None = None


class _Answer(msgspec.Struct):
    usage: Usage | None = None


_EVENT_DECODER = msgspec.json.Decoder(_Event)
_ANSWER_DECODER = msgspec.json.Decoder(_Answer)


def usage_of_answer(body: bytes) -> Usage | None:
    """The usage of a plain JSON answer, None if there is none."""
    try:
        return _ANSWER_DECODER.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class EventStream:
    """One upstream stream on its way through.

    `feed` takes what the network gave and returns what may go on now: always whole events, so that an error event can
    follow at any moment, and a half event never reaches a client. Half events wait for their rest.
    """

    __slots__ = ("_partial", "_strip_usage", "done", "events", "failed", "usage")

    def __init__(self, *, strip_usage: bool) -> None:
        """`strip_usage`: drop the event that holds only usage, because the client did not ask for it."""
        self._strip_usage = strip_usage
        self._partial = b""
        self.events = 0
        """Events seen; with one token an event, the estimate of output tokens when usage never comes."""
        self.usage: Usage | None = None
        self.done = False
        """The engine said [DONE]."""
        self.failed = False
        """The engine reported an error inside the stream."""

    def feed(self, chunk: bytes) -> bytes:
        """Raises ValueError if one event grows beyond 4 MiB."""
        if self._partial:
            chunk = self._partial + chunk
            self._partial = b""
        if not chunk.endswith((_EVENT_END, _CRLF_EVENT_END)):
            chunk, self._partial = _split_last(chunk)
            if len(self._partial) > _MAX_PARTIAL_EVENT:
                raise ValueError("an event without an end")
        self.events += chunk.count(b"\ndata:") + chunk.startswith(b"data:")
        if _USAGE in chunk:
            chunk = self._take_usage(chunk)
        if _DONE in chunk:
            self.done = True
            self.events -= 1
        if _ERROR in chunk:
            self.failed = True
        return chunk

    @property
    def whole(self) -> bool:
        """No half event is waiting."""
        return not self._partial

    def _take_usage(self, chunk: bytes) -> bytes:
        end = _CRLF_EVENT_END if chunk.endswith(_CRLF_EVENT_END) else _EVENT_END
        kept = []
        for event in chunk.split(end)[:-1]:
            if _USAGE in event and self._is_usage_only(event):
                self.events -= 1
                if self._strip_usage:
                    continue
            kept.append(event + end)
        return b"".join(kept)

    def _is_usage_only(self, event: bytes) -> bool:
        start = event.find(b"data:")
        try:
            decoded = _EVENT_DECODER.decode(event[start + len(b"data:") :]) if start >= 0 else _Event()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False  # the engine's affair; the event goes on as it came
        if decoded.usage is None:
            return False
        self.usage = decoded.usage
        return not decoded.choices


def _split_last(chunk: bytes) -> tuple[bytes, bytes]:
    """Whole events, and the beginning of the next."""
    end = chunk.rfind(_EVENT_END)
    crlf = chunk.rfind(_CRLF_EVENT_END)
    cut = max(end + len(_EVENT_END) if end >= 0 else 0, crlf + len(_CRLF_EVENT_END) if crlf >= 0 else 0)
    return chunk[:cut], chunk[cut:]
