"""The good path: plain and streamed, raw and through the openai client."""

import itertools
import time

import openai
import pytest

from gateway.engine_double import WORDS, delta, event
from gateway.gateway_process import KEY, NARROW_KEY, fresh_id

TEXT = "".join(WORDS)


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def test_the_openai_client_gets_an_answer(client):
    answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == TEXT
    assert answer.usage.completion_tokens == len(WORDS)


def test_the_openai_client_gets_a_stream(client):
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    assert "".join(chunk.choices[0].delta.content for chunk in stream) == TEXT


def test_the_openai_client_gets_the_usage_of_a_stream_that_asks_for_it(client):
    stream = client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    assert list(stream)[-1].usage.completion_tokens == len(WORDS), "a client that asks for usage gets it, last"


def test_the_openai_client_gets_completions_embeddings_and_models(client):
    assert client.completions.create(model="m", prompt="hi").choices[0].text == TEXT
    assert client.embeddings.create(model="embedder", input="hi", encoding_format="float").data[0].embedding
    assert {model.id for model in client.models.list()} == {"m", "embedder", "base", "hidden"}
    assert client.models.retrieve("m").id == "m"


def test_the_openai_client_raises_its_own_errors(client):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nope", messages=[])
    assert unknown.value.code == "model_not_found", "clients branch on the code"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-llmp-wrong").models.list()


def test_a_key_sees_and_uses_only_its_models(gateway):
    listed = gateway.request("GET", "/v1/models", key=NARROW_KEY).json["data"]
    assert [model["id"] for model in listed] == ["embedder"], "a key must not learn of models it may not use"
    forbidden = gateway.chat(key=NARROW_KEY)
    unknown = gateway.chat(model="nope", key=NARROW_KEY)
    assert forbidden.status == unknown.status == 404
    assert forbidden.error["message"].replace("`m`", "") == unknown.error["message"].replace("`nope`", "")


def test_a_stream_passes_byte_for_byte(gateway):
    odd = ': comment\n\ndata: {"spaced" :  1}\n\nevent: x\ndata: {"id":"é"}\n\n'
    with gateway.streaming(script=[["head"], ["raw", odd], ["done"], ["end"]]) as stream:
        stream.read_all()
        assert stream.body == odd.encode() + b"data: [DONE]\n\n", "a relay that reformats breaks clients"
        assert stream.ended_well


def test_a_stream_tells_proxies_not_to_hold_it_back(gateway):
    with gateway.streaming() as stream:
        stream.read_until(b"\r\n\r\n")
        head = stream.received.partition(b"\r\n\r\n")[0].lower()
    assert b"cache-control: no-cache" in head
    assert b"x-accel-buffering: no" in head
    assert b"content-type: text/event-stream" in head


def test_each_chunk_arrives_before_the_next_is_sent(gateway):
    words = [f"word{number}" for number in range(4)]
    steps = itertools.chain.from_iterable([["event", delta(word)], ["sleep", 0.15]] for word in words)
    with gateway.streaming(script=[["head"], *steps, ["done"], ["end"]]) as stream:
        arrivals = [stream.read_until(word.encode()) for word in words]
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert min(gaps) > 0.1, "chunks that arrive together were buffered"


def test_small_chunks_are_not_held_by_nagle(gateway, engine):
    count = 40
    steps = itertools.chain.from_iterable([["event", delta(f"<{number}>")], ["sleep", 0.01]] for number in range(count))
    with gateway.streaming(script=[["head"], *steps, ["done"], ["end"]]) as stream:
        arrivals = [stream.read_until(f"<{number}>".encode()) for number in range(count)]
    sent = engine.sent_at[-count - 1 : -1]
    transits = sorted(arrival - sending for arrival, sending in zip(arrivals, sent, strict=True))
    # 40 ms is what delayed acknowledgements cost; the bound leaves room for a busy machine.
    assert transits[count * 3 // 4] < 0.025, "without TCP_NODELAY on both sides every chunk waits for an ACK"


def test_an_event_split_over_packets_arrives_whole(gateway):
    whole = event(delta("split")).decode()
    steps = [["raw", whole[:20]], ["sleep", 0.05], ["raw", whole[20:]]]
    with gateway.streaming(script=[["head"], *steps, ["done"], ["end"]]) as stream:
        stream.read_all()
        assert stream.body.startswith(whole.encode())


def test_a_stream_without_done_ends_well(gateway):
    # transformers serve ends its streams so.
    with gateway.streaming(script=[["head"], ["event", delta("x")], ["end"]]) as stream:
        stream.read_all()
        assert stream.ended_well
        assert b"[DONE]" not in stream.body, "a [DONE] that the engine did not send would be a lie"
        assert b"error" not in stream.body


def test_a_sane_request_id_is_echoed_and_any_other_replaced(gateway):
    request_id = fresh_id()
    assert gateway.chat(headers={"x-request-id": request_id}).headers["x-request-id"] == request_id
    for insane in ("x" * 129, "a b", 'a"b', "a;b"):
        given = gateway.chat(headers={"x-request-id": insane}).headers["x-request-id"]
        assert given.startswith("req-"), "what goes into logs and to the engine must be plain"


def test_two_clients_with_one_request_id_do_not_share_it_at_the_engine(gateway, engine):
    request_id = fresh_id()
    for _ in range(2):
        gateway.chat(headers={"x-request-id": request_id})
    ids = {seen.headers["x-request-id"] for seen in engine.asked_with(request_id)}
    assert len(ids) == 2, "an engine aborts by request id, so ids that clients choose must not meet there"


def test_keep_alive_serves_many_requests_on_one_connection(gateway):
    with gateway.connection() as connection:
        for _ in range(5):
            connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            assert response.getheader("connection") != "close"


def test_health_is_on_both_ports_and_needs_no_key(gateway):
    for admin in (False, True):
        assert gateway.request("GET", "/healthz", key=None, admin=admin).status == 200
        assert gateway.request("GET", "/readyz", key=None, admin=admin).json["replicas"]["m"] == 1
    assert gateway.request("GET", "/metrics").status == 404, "metrics are not public"


def test_the_gateway_starts_within_a_second(start, engine):
    began = time.monotonic()
    gateway = start({"m": {"max_model_len": 1, "upstream": {"replicas": [engine.address]}}})
    took = time.monotonic() - began
    cpu = gateway.metrics()["process_cpu_seconds_total"]
    assert min(took, cpu) < 1.0, "a rollout waits for every start; CPU time where the machine is busy"
