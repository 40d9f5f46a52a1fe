"""When the client leaves, the engine's work ends within 0.3 s, whatever the moment, through the whole stack."""

import socket

import pytest

from gateway.engine_double import delta
from gateway.gateway_process import KEY, chat_body, fresh_id, wait_until

LIMIT_S = 0.3

MID_STREAM = [["head"], ["event", delta("first")], ["sleep", 30]]


@pytest.mark.parametrize(
    ("fields", "wait_for"),
    [
        ({"stream": True, "script": MID_STREAM}, b"first"),
        ({"stream": True, "script": [["head"], ["sleep", 30]]}, None),
        ({"stream": True, "script": [["sleep", 30]]}, None),
        ({"stream": False, "script": [["sleep", 30]]}, None),
        # Beyond 64 KiB the server stops reading the socket; it must read again, or it never learns of the end.
        ({"stream": False, "script": [["sleep", 30]], "padding": "x" * 1_000_000}, None),
    ],
    ids=["mid-stream", "before the first event", "before the header", "plain", "plain with a large body"],
)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_the_engine_learns_that_the_client_left(gateway, engine, fields, wait_for, reset):
    request_id = fresh_id()
    with gateway.streaming(headers={"x-request-id": request_id}, **fields) as stream:
        wait_until(lambda: engine.asked_with(request_id), 3, "the engine never saw the request")
        if wait_for:
            stream.read_until(wait_for)
        if reset:
            stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    (seen,) = engine.asked_with(request_id)
    took = wait_until(lambda: seen.gone, 3, "the engine goes on generating for nobody")
    assert took < LIMIT_S, "a GPU's time is what this gateway exists to save"
    outcome = gateway.outcome(request_id)
    assert outcome["outcome"] == "client_closed"
    assert outcome["status"] == (200 if wait_for else 499)


def test_a_client_that_leaves_while_sending_its_body_reaches_no_engine(gateway, engine):
    request_id = fresh_id()
    body = chat_body()
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        head += f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:10])
    assert gateway.outcome(request_id)["outcome"] == "client_closed"
    assert not engine.asked_with(request_id)


def test_a_cancelled_stream_is_billed_for_what_was_sent(gateway, engine):
    request_id = fresh_id()
    steps = [["event", delta(word)] for word in ("", "a", "b", "c")]
    with gateway.streaming(headers={"x-request-id": request_id}, script=[["head"], *steps, ["sleep", 30]]) as stream:
        stream.read_until(b'"c"')
    outcome = gateway.outcome(request_id)
    assert outcome["output_tokens"] == 3, "the event that names the role holds no token"
    assert outcome["tokens_estimated"] is True, "an estimate must be known for one"


def test_nothing_is_counted_as_under_way_after_everybody_left(gateway):
    wait_until(lambda: gateway.inflight() == 0, 3, "a leak in this count would look like a hang")
    inflight = [value for name, value in gateway.metrics().items() if name.startswith("llm_gateway_upstream_inflight")]
    assert inflight
    assert sum(inflight) == 0
