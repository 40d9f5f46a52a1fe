"""The request body: the few fields that decide something here, and the bytes that go to the engine."""

import re
from typing import Any

import msgspec

from services.gateway import errors

_FIELD = re.compile(r" - at `\$\.?([^`]*)`$")
_ASKS_FOR_USAGE = b'"stream_options":{"include_usage":true}'


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Fields(msgspec.Struct):
    model: str
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream_options: StreamOptions | None = None
    cache_salt: Any = None


class InferenceRequest(msgspec.Struct, frozen=True, gc=False):
    """What was asked, as far as the gateway needs to know; `body` is the client's own bytes."""

    model: str
    stream: bool
    max_tokens: int | None
    wants_usage: bool
    """The client itself asked for the usage event of a stream."""
    names_stream_options: bool
    names_cache_salt: bool
    body: bytes


_DECODER = msgspec.json.Decoder(_Fields)


def parse(body: bytes) -> InferenceRequest:
    """Decode only what is routed on; the rest is checked for being JSON and otherwise left to the engine.

    Raises ApiError 400. Of duplicate keys the last one counts, here as in the engine's own parser.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder skips over unused strings without looking at their encoding
        fields = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from None
    except msgspec.DecodeError as error:
        raise errors.malformed_json(str(error)) from None
    except UnicodeDecodeError:
        raise errors.malformed_json("it is not valid UTF-8") from None
    except RecursionError:
        raise errors.malformed_json("it is nested too deeply") from None
    _require_positive("max_tokens", fields.max_tokens)
    _require_positive("max_completion_tokens", fields.max_completion_tokens)
    _require_positive("n", fields.n)
    return InferenceRequest(
        model=fields.model,
        stream=bool(fields.stream),
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        wants_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        names_stream_options=fields.stream_options is not None or b'"stream_options"' in body,
        names_cache_salt=fields.cache_salt is not None or b'"cache_salt"' in body,
        body=body,
    )


def engine_body(request: InferenceRequest, cache_salt: str | None) -> bytes:
    """The bytes for the engine: the client's own, with the tenant's salt and the wish for usage spliced in.

    Splicing after the opening brace costs nothing per byte of prompt. Only a request that names one of the two keys
    itself is decoded and encoded again, its messages untouched as raw JSON.
    """
    ask_usage = request.stream and not request.wants_usage
    salt_given = request.names_cache_salt and cache_salt is not None
    options_given = request.names_stream_options and ask_usage
    if salt_given or options_given:
        return _reencoded(request.body, cache_salt, ask_usage)
    added = []
    if ask_usage:
        added.append(_ASKS_FOR_USAGE)
    if cache_salt is not None:
        added.append(b'"cache_salt":"' + cache_salt.encode() + b'"')
    if not added:
        return request.body
    # There is at least the key `model` behind the brace, so the comma is always right.
    brace = request.body.index(b"{") + 1
    return b"".join((request.body[:brace], b",".join(added), b",", request.body[brace:]))


def _reencoded(body: bytes, cache_salt: str | None, ask_usage: bool) -> bytes:
    raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if cache_salt is not None:
        raw["cache_salt"] = msgspec.Raw(msgspec.json.encode(cache_salt))
    if ask_usage:
        given = msgspec.json.decode(raw.get("stream_options", b"null"), type=dict[str, Any] | None)
        raw["stream_options"] = msgspec.Raw(msgspec.json.encode({**(given or {}), "include_usage": True}))
    return msgspec.json.encode(raw)


def _require_positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        message = f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead."
        raise errors.invalid_field(name, message, "integer_below_min_value")


def _invalid_field(reason: str) -> errors.ApiError:
    """From msgspec's sentence, such as "Expected `bool | null`, got `str` - at `$.stream`"."""
    if "missing required field" in reason:
        return errors.invalid_field("model", "You must provide a model parameter.", "missing_required_parameter")
    place = _FIELD.search(reason)
    if place is None:
        return errors.malformed_json("it must be an object")
    name = place[1]
    return errors.invalid_field(name, f"Invalid type for '{name}': {reason[: place.start()]}.", "invalid_type")
