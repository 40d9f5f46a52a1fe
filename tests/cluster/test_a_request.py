"""One request, from the client to the engine and back, and the traces it leaves: series, span, log line."""

from __future__ import annotations

import json
import random
import uuid

import httpx
import openai
import pytest
from running_platform import Running, eventually

from infra.namespaces import SERVING

# The first token leads the second by 1.75 logits on the whole path: no kernel or batch changes this answer.
QUESTION = "Answer with one word. What is the capital of France?"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def python_client(platform: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{platform.outputs['gateway_url']}/v1", api_key=platform.outputs["api_key"])


def test_the_openai_client_gets_an_answer(platform, python_client):
    answer = python_client.chat.completions.create(
        model=platform.outputs["model"], messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=8
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_the_openai_client_gets_the_same_answer_as_a_stream(platform, python_client):
    with python_client.chat.completions.create(
        model=platform.outputs["model"],
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0,
        max_tokens=8,
        stream=True,
    ) as stream:
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len(pieces) > 1, "one piece would mean that something on the way buffers"
    assert "Paris" in "".join(pieces)


def test_models_are_listed(platform, python_client):
    assert [model.id for model in python_client.models.list()] == [platform.outputs["model"]]


def test_a_request_leaves_one_trace_one_log_line_and_one_count_with_the_same_ids(platform):
    request_id, trace_id = f"test-{uuid.uuid4().hex}", uuid.uuid4().hex
    series = 'sum(llm_gateway_requests_total{outcome="success",route="chat_completions"})'
    before = float(platform.query(series)[0]["value"][1])

    answer = platform.ask(
        {"messages": [{"role": "user", "content": QUESTION}]},
        **{"x-request-id": request_id, "traceparent": f"00-{trace_id}-{'1' * 16}-01"},
    )
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == request_id

    def services() -> set[str] | None:
        found = httpx.get(f"{platform.outputs['jaeger_url']}/api/traces/{trace_id}")
        traces = found.json().get("data") or []
        names = {process["serviceName"] for trace in traces for process in trace["processes"].values()}
        return names if {"llmp-gateway", "vllm"} <= names else None

    eventually("spans of gateway and engine in one trace", services, seconds=30)

    pod = platform.core.list_namespaced_pod(SERVING, label_selector="app.kubernetes.io/name=gateway").items[0]
    log = platform.core.read_namespaced_pod_log(pod.metadata.name, SERVING, tail_lines=200)
    lines = [json.loads(line) for line in log.splitlines() if request_id in line]
    assert len(lines) == 1, "one request is one line"
    assert lines[0]["trace_id"] == trace_id
    assert QUESTION not in log, "prompts are not logged"
    assert platform.outputs["api_key"] not in log, "keys are not logged"

    eventually(
        "the request in Prometheus",
        lambda: float(platform.query(series)[0]["value"][1]) > before or None,
        seconds=30,
    )


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "gpt-0"}, 404, "model_not_found"),
        ({"max_tokens": -1}, 400, None),
        ({"messages": [{"role": "user", "content": "word " * 4000}]}, 400, None),
        ({"temperature": "hot"}, 400, None),
    ],
    ids=["unknown model", "negative max_tokens", "prompt over the model's length", "wrong type"],
)
def test_a_bad_request_is_refused_in_the_shape_of_openai(platform, change, status, code):
    answer = platform.ask({"messages": [{"role": "user", "content": "hi"}], **change})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert code is None or error["code"] == code


def test_a_wrong_key_is_refused(platform):
    answer = platform.ask({"messages": []}, Authorization="Bearer sk-wrong")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_body_over_the_limit_is_refused(platform):
    url = f"{platform.outputs['gateway_url']}/v1/chat/completions"
    answer = httpx.post(url, content=b'{"x": "' + b"a" * (5 << 20) + b'"}', headers=platform.headers | JSON)
    assert answer.status_code == 413


@pytest.mark.timeout(300)
def test_ten_thousand_random_bodies_leave_the_platform_up(platform):
    dice = random.Random(20261124)  # noqa: S311
    url = f"{platform.outputs['gateway_url']}/v1/chat/completions"
    seeds = [b'{"model": "smollm2", "messages": [{"role": "user", "content": "x"}]}', b"[]", b"{}", b"null", b""]
    statuses: set[int] = set()
    with httpx.Client(headers=platform.headers | JSON, timeout=3.0) as api:
        for _ in range(10_000):
            body = bytearray(dice.choice(seeds))
            for _ in range(dice.randint(1, 12)):
                place = dice.randint(0, len(body))
                body[place : place + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 4))
            try:
                statuses.add(api.post(url, content=bytes(body)).status_code)
            except (httpx.RemoteProtocolError, httpx.ReadTimeout):
                statuses.add(0)  # refused without an answer; or a valid request by chance, left while it is answered
    assert not {status for status in statuses if status >= 500}, statuses
    assert platform.ask({"messages": [{"role": "user", "content": QUESTION}]}).status_code == 200
