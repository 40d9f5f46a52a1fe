"""When the engine stalls, breaks or refuses: an honest end within a time limit, and never the same text twice."""

import socket
import time

import pytest

from gateway.conftest import SHORT, models_at
from gateway.engine_double import delta
from gateway.gateway_process import chat_body, fresh_id, wait_until

SLOW_WORDS = [["event", delta("word")], ["sleep", 0.3]]


@pytest.mark.parametrize(
    ("fields", "code", "limit_s"),
    [
        ({"stream": True, "script": [["sleep", 30]]}, "first_token_timeout", SHORT["first_token_s"]),
        ({"stream": True, "script": [["head"], ["sleep", 30]]}, "first_token_timeout", SHORT["first_token_s"]),
        ({"script": [["sleep", 30]]}, "total_timeout", SHORT["total_s"]),
    ],
    ids=["first token, no header", "first token, header", "plain"],
)
def test_an_engine_that_says_nothing_is_504_in_time(hasty_gateway, fields, code, limit_s):
    request_id = fresh_id()
    began = time.monotonic()
    answer = hasty_gateway.chat(headers={"x-request-id": request_id}, **fields)
    took = time.monotonic() - began
    assert (answer.status, answer.error["code"]) == (504, code)
    assert limit_s - 0.01 <= took < limit_s + 0.5
    assert "retry-after" in answer.headers
    assert hasty_gateway.outcome(request_id)["outcome"] == "timeout"


@pytest.mark.parametrize(
    ("steps", "code"),
    [([["event", delta("word")], ["sleep", 30]], "inter_token_timeout"), (SLOW_WORDS * 20, "total_timeout")],
    ids=["between tokens", "total"],
)
def test_a_stream_that_stalls_ends_with_an_error_event(hasty_gateway, engine, steps, code):
    request_id = fresh_id()
    with hasty_gateway.streaming(headers={"x-request-id": request_id}, script=[["head"], *steps]) as stream:
        stream.read_all()
        assert stream.body.startswith(b"data: ")
        assert f'"code":"{code}"}}}}\n\n'.encode() in stream.body
        assert b"[DONE]" not in stream.body
        assert not stream.ended_well, "a clean end would look like success"
    (seen,) = engine.asked_with(request_id)
    wait_until(lambda: seen.gone, 0.3, "the engine's work is cancelled too")
    outcome = hasty_gateway.outcome(request_id)
    assert (outcome["outcome"], outcome["status"], outcome["error_code"]) == ("timeout", 200, code)


def test_a_connect_that_hangs_is_504_in_time(start):
    with socket.socket() as deaf:
        # A full backlog of a listener that never accepts: further connects get no answer.
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        gateway = start(
            {"m": {"max_model_len": 1, "upstream": {"replicas": [f"127.0.0.1:{address[1]}"]}}}, timeouts=SHORT
        )
        answer = gateway.chat()
        for filler in fillers:
            filler.close()
    assert (answer.status, answer.error["code"]) == (504, "connect_timeout")


@pytest.mark.parametrize("partial", [[], [["raw", 'data: {"half']]], ids=["between events", "inside an event"])
def test_a_cut_stream_is_never_reported_as_success(gateway, partial):
    request_id = fresh_id()
    steps = [["event", delta(f"word{number}")] for number in range(5)]
    with gateway.streaming(
        headers={"x-request-id": request_id}, script=[["head"], *steps, *partial, ["cut"]]
    ) as stream:
        stream.read_all()
        assert stream.body.count(b"word") == 5, "what came is passed on"
        assert b"half" not in stream.body, "half an event would swallow the error event behind it"
        assert stream.body.rpartition(b"\n\ndata: ")[2].startswith(b'{"error":'), "the client must learn of it"
        assert b"[DONE]" not in stream.body
        assert not stream.ended_well
    outcome = gateway.outcome(request_id)
    assert (outcome["outcome"], outcome["error_code"]) == ("upstream_error", "upstream_cut")


def test_a_stream_cut_before_its_first_event_is_502(gateway, engine):
    request_id = fresh_id()
    answer = gateway.chat(headers={"x-request-id": request_id}, stream=True, script=[["head"], ["cut"]])
    assert (answer.status, answer.error["code"]) == (502, "upstream_cut")
    assert len(engine.asked_with(request_id)) == 1, "the engine may have worked on it, so it is not repeated"


@pytest.mark.parametrize("script", [[["cut"]], [["whole", 200, "{", {"content-length": "9"}], ["cut"]]])
def test_a_cut_plain_answer_is_502_and_not_repeated(gateway, engine, script):
    request_id = fresh_id()
    answer = gateway.chat(headers={"x-request-id": request_id}, script=script)
    assert (answer.status, answer.error["code"]) == (502, "upstream_cut")
    assert len(engine.asked_with(request_id)) == 1


@pytest.mark.parametrize("done", [False, True])
def test_without_framing_only_done_tells_an_end_from_a_cut(gateway, done):
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    body = 'data: {"choices":[]}\n\n' + ("data: [DONE]\n\n" if done else "")
    with gateway.streaming(script=[["bytes", head + body], ["cut"]]) as stream:
        stream.read_all()
        assert stream.ended_well is done
        assert (b"upstream_cut" in stream.body) is not done


@pytest.mark.parametrize(
    ("status", "headers", "seen_status", "code", "outcome"),
    [
        (500, {}, 502, "upstream_error", "upstream_error"),
        (404, {}, 502, "upstream_error", "upstream_error"),
        (401, {}, 502, "upstream_error", "upstream_error"),
        (302, {"location": "http://127.0.0.1:1/"}, 502, "upstream_error", "upstream_error"),
        (503, {"retry-after": "7"}, 503, "upstream_unavailable", "no_capacity"),
        (429, {"retry-after": "7"}, 429, "rate_limit_exceeded", "rate_limited"),
    ],
)
def test_engine_trouble_has_a_status_of_ours_and_one_attempt(
    gateway, engine, status, headers, seen_status, code, outcome
):
    for stream in (False, True):
        request_id = fresh_id()
        script = [["whole", status, "Traceback (most recent call last): secret", headers]]
        answer = gateway.chat(headers={"x-request-id": request_id}, stream=stream, script=script)
        assert (answer.status, answer.error["code"]) == (seen_status, code)
        assert b"Traceback" not in answer.body, "an engine's traceback is nobody's business"
        assert answer.headers["retry-after"] == headers.get("retry-after", "5")
        assert len(engine.asked_with(request_id)) == 1, (
            "only a failed connect is tried again; a redirect is not followed"
        )
        assert gateway.outcome(request_id)["outcome"] == outcome


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {
                "message": "This model's maximum context length is 8 tokens.",
                "type": "BadRequestError",
                "code": 400,
            }
        },
        {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400},
        {"detail": "This model's maximum context length is 8 tokens."},
    ],
    ids=["vllm", "vllm before 0.10", "fastapi"],
)
def test_a_prompt_longer_than_the_model_is_the_callers_400(gateway, body):
    answer = gateway.chat(script=[["whole", 400, body]])
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
    assert "maximum context length is 8" in answer.error["message"], "the engine knows best what is wrong"
    assert answer.error["type"] == "invalid_request_error"


def test_an_error_event_of_the_engine_counts_as_its_failure(gateway):
    request_id = fresh_id()
    steps = [["head"], ["event", delta("x")], ["event", {"error": {"message": "boom"}}], ["done"], ["end"]]
    with gateway.streaming(headers={"x-request-id": request_id}, script=steps) as stream:
        stream.read_all()
    assert gateway.outcome(request_id)["outcome"] == "upstream_error", "200 and [DONE] do not make it a success"


def test_a_replica_that_cannot_be_connected_to_costs_no_request(start, engine, another_engine):
    gone = another_engine()
    gone.close()
    gateway = start({"m": {"max_model_len": 1, "upstream": {"replicas": [gone.address, engine.address]}}})
    ids = [fresh_id() for _ in range(150)]
    with gateway.streaming(script=[["head"], ["event", delta("x")], ["sleep", 30]]) as busy:
        busy.read_until(b"x")
        statuses = {gateway.chat(headers={"x-request-id": request_id}).status for request_id in ids}
    assert statuses == {200}, "nothing was sent to the dead replica, so trying the other is safe"
    attempts = [gateway.outcome(request_id)["attempts"] for request_id in ids]
    assert max(attempts) <= 2
    assert attempts.count(2) < 10, "idle as it is, the dead replica must not be tried first by every request"
    assert [len(engine.asked_with(request_id)) for request_id in ids] == [1] * len(ids)
    retries = gateway.metrics()['llm_gateway_upstream_retries_total{model="m"}']
    # At least one, because somebody met it: the stream, or a request after it.
    assert max(1, attempts.count(2)) <= retries <= attempts.count(2) + 1


def test_no_replica_that_answers_is_502_and_none_at_all_503(start, another_engine):
    gone = another_engine()
    gone.close()
    models = {
        **models_at(gone),
        "nowhere": {"max_model_len": 1, "upstream": {"dns": "no-such-name.invalid", "port": 1}},
    }
    gateway = start(models)
    unreachable, absent = gateway.chat(), gateway.chat(model="nowhere")
    assert (unreachable.status, unreachable.error["code"]) == (502, "upstream_unreachable")
    assert (absent.status, absent.error["code"]) == (503, "no_capacity")
    assert "retry-after" in absent.headers


def test_a_stalled_replica_does_not_hold_up_the_other(start, another_engine):
    stalled, sound = another_engine(), another_engine()
    gateway = start(models_at(stalled, sound))
    hung = [gateway.streaming(script=[["sleep", 30]]) for _ in range(4)]
    for each in hung:
        each.__enter__()
    while stalled.active + sound.active < 4:
        time.sleep(0.01)
    began = time.monotonic()
    assert all(gateway.chat().status == 200 for _ in range(20))
    assert time.monotonic() - began < 2
    for each in hung:
        each.__exit__(None, None, None)


def test_a_replica_takes_no_more_than_its_cap(start, another_engine):
    engine = another_engine()
    gateway = start(models_at(engine), limits={"replica_inflight": 2})
    with gateway.streaming(script=[["sleep", 30]]), gateway.streaming(script=[["sleep", 30]]):
        while engine.active < 2:
            time.sleep(0.01)
        answer = gateway.chat()
        assert (answer.status, answer.error["code"]) == (503, "no_capacity"), "one dead replica must not eat everything"


def test_an_engine_that_closes_idle_connections_causes_no_error(start, another_engine):
    engine = another_engine(idle_close_s=0.6)
    # Ours ends well before the engine's: what is sent on a connection that it is just closing is lost, and nobody knows
    # whether it was worked on.
    gateway = start(models_at(engine), timeouts={"upstream_idle_s": 0.3})
    pauses = (0.2, 0.29, 0.4, 0.58, 0.6, 0.62, 0.7)
    statuses = []
    for pause in pauses:
        statuses.append(gateway.chat().status)
        time.sleep(pause)
    assert statuses == [200] * len(pauses)
    assert len(engine.requests) == len(pauses), "a silent retry would make the engine work twice"


def test_a_client_that_does_not_read_is_given_up_in_time(hasty_gateway, engine):
    request_id = fresh_id()
    script = [["head"], ["flood", 400, 50_000], ["sleep", 30]]
    with hasty_gateway.streaming(headers={"x-request-id": request_id}, script=script):
        outcome = hasty_gateway.outcome(request_id)
        assert outcome["error_code"] == "total_timeout", "the engine was not slow: its silence must not be blamed"
        assert outcome["answer_bytes"] < 10_000_000, "what a client does not read must not pile up in memory"
        wait_until(lambda: engine.asked_with(request_id)[0].gone, 1, "nobody reads what the engine generates")


def test_connections_to_engines_are_kept(start, another_engine):
    engine = another_engine()
    gateway = start(models_at(engine))
    for _ in range(5):
        gateway.chat()
        with gateway.streaming() as stream:
            stream.read_all()
    assert engine.connections == 1, "a new connection for every request would double the work"


def test_upstreams_come_from_the_configuration_alone(gateway, engine):
    before = len(engine.requests)
    answer = gateway.chat(
        headers={"x-portkey-custom-host": "http://127.0.0.1:1", "x-forwarded-host": "evil", "host": "evil"},
        base_url="http://127.0.0.1:1",
        api_base="http://127.0.0.1:1",
    )
    assert answer.status == 200
    assert len(engine.requests) == before + 1, "a caller must not choose where the gateway connects to"
    assert engine.requests[-1].headers["host"] == engine.address


def test_an_absolute_request_target_does_not_choose_the_upstream(gateway):
    answer = gateway.request("POST", "http://127.0.0.1:1/v1/chat/completions", chat_body())
    assert answer.status == 200
