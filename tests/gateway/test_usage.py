"""Tokens are always known, whether the client asks or not; the client sees exactly what it asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine_double import PROMPT_TOKENS, WORDS, delta, event, usage_event
from gateway.gateway_process import fresh_id
from services.gateway.event_stream import EventStream, usage_of_answer
from services.gateway.inference_request import engine_body, parse

STREAM = b"".join([*(event(delta(word)) for word in ("", *WORDS)), event(usage_event()), b"data: [DONE]\n\n"])
WITHOUT_USAGE = STREAM.replace(event(usage_event()), b"")


@pytest.mark.parametrize(
    ("options", "sees_usage"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {}}, False),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": {"include_usage": True}}, True),
    ],
    ids=repr,
)
def test_a_stream_is_accounted_for_and_the_client_sees_usage_only_if_it_asked(gateway, options, sees_usage):
    request_id = fresh_id()
    with gateway.streaming(headers={"x-request-id": request_id}, **options) as stream:
        stream.read_all()
        assert stream.body == (STREAM if sees_usage else WITHOUT_USAGE)
    outcome = gateway.outcome(request_id)
    assert (outcome["input_tokens"], outcome["output_tokens"]) == (PROMPT_TOKENS, len(WORDS)), "else spend is zero"
    assert outcome["tokens_estimated"] is False
    assert outcome["ttft_s"] > 0


def test_a_plain_answer_is_accounted_for(gateway):
    request_id = fresh_id()
    gateway.chat(headers={"x-request-id": request_id})
    outcome = gateway.outcome(request_id)
    assert (outcome["input_tokens"], outcome["output_tokens"]) == (PROMPT_TOKENS, len(WORDS))


def test_a_completion_token_spelt_usage_is_not_taken_for_usage(gateway):
    said = {**delta("x"), "choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": [{"token": "usage"}]}]}
    with gateway.streaming(script=[["head"], ["event", said], ["done"], ["end"]]) as stream:
        stream.read_all()
        assert event(said) in stream.body, "what the model says is never dropped"


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=80), st.booleans())
def test_however_packets_cut_a_stream_the_events_that_go_on_are_the_same(sizes, strip_usage):
    events = EventStream(strip_usage=strip_usage)
    passed = []
    rest = STREAM
    for size in sizes:
        passed.append(events.feed(rest[:size]))
        rest = rest[size:]
        assert not passed[-1] or passed[-1].endswith(b"\n\n"), "an error event may have to follow at any moment"
    passed.append(events.feed(rest))
    assert b"".join(passed) == (WITHOUT_USAGE if strip_usage else STREAM)
    assert events.usage is not None
    assert events.usage.completion_tokens == len(WORDS)
    assert events.events == len(WORDS) + 1
    assert events.done
    assert events.whole


def test_events_that_end_in_carriage_returns_are_events_too():
    events = EventStream(strip_usage=True)
    crlf = STREAM.replace(b"\n\n", b"\r\n\r\n")
    assert events.feed(crlf[:-3]) + events.feed(crlf[-3:]) == WITHOUT_USAGE.replace(b"\n\n", b"\r\n\r\n")


def test_an_event_without_an_end_is_not_collected_for_ever():
    events = EventStream(strip_usage=True)
    with pytest.raises(ValueError, match="without an end"):
        for _ in range(100):
            events.feed(b"x" * 65536)


@given(st.binary(max_size=200))
def test_usage_is_looked_for_in_any_answer_without_failing(body):
    usage_of_answer(body)


VALUES = st.sampled_from([None, True, 0, -1.5, "", "é\n", [], [{"role": "user", "content": '{"model"'}], {"a": [1]}])


@given(
    st.dictionaries(st.sampled_from(["messages", "temperature", "x", "é", "stream"]), VALUES, max_size=4),
    st.sampled_from([{}, {"stream_options": None}, {"stream_options": {"a": 1}}, {"cache_salt": "theirs"}]),
    st.booleans(),
    st.sampled_from(["", " ", "\n\t "]),
)
def test_the_engine_gets_the_clients_fields_with_ours_added(fields, extra, stream, space):
    asked = {**fields, **extra, "model": "m", "stream": stream}
    body = space.encode() + json.dumps(asked).encode() + space.encode()
    sent = json.loads(engine_body(parse(body), "ours"))
    expected = {**asked, "cache_salt": "ours"}
    if stream:
        expected["stream_options"] = {**(extra.get("stream_options") or {}), "include_usage": True}
    assert sent == expected, "the engine must be asked exactly what the client asked, salt and usage apart"


def test_without_salt_and_stream_the_clients_own_bytes_go_on():
    body = b'{ "model":"m" , "messages":[ ]}'
    assert engine_body(parse(body), None) is body, "a copy of a 400 KB prompt is not free"
