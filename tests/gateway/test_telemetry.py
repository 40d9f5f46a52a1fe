"""One outcome, the same ids in log line, span and engine; no text and no key anywhere."""

import json
import time
from collections.abc import Iterator

import pytest

from gateway.conftest import models_at
from gateway.engine_double import PROMPT_TOKENS, WORDS
from gateway.gateway_process import KEY, KEY_RECORD, GatewayUnderTest, fresh_id, wait_until
from gateway.otlp_collector import OtlpCollector, attributes_of
from services.telemetry.trace_context import continue_trace

SECRET_PROMPT = "the-launch-code-is-0000"
CLIENT_TRACE, CLIENT_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpCollector]:
    made = OtlpCollector()
    yield made
    made.close()


@pytest.fixture(scope="module")
def traced(engine, collector, tmp_path_factory) -> Iterator[GatewayUnderTest]:
    tracing = {"otlp_endpoint": collector.endpoint, "export_interval_s": 0.1}
    running = GatewayUnderTest(tmp_path_factory.mktemp("traced"), models_at(engine), tracing=tracing)
    yield running
    running.close()


def spans_of(collector: OtlpCollector, request_id: str) -> list:
    def found() -> list:
        return [span for _, span in list(collector.spans) if attributes_of(span)["llmp.request_id"] == request_id]

    wait_until(found, 5, "the span never came")
    return found()


def test_client_gateway_and_engine_share_one_trace(traced, engine, collector):
    request_id = fresh_id()
    answer = traced.chat(headers={"x-request-id": request_id, "traceparent": TRACEPARENT})
    (span,) = spans_of(collector, request_id)
    assert span.trace_id.hex() == CLIENT_TRACE
    assert span.parent_span_id.hex() == CLIENT_SPAN, "the gateway's span is the client's child"
    _, trace_id, parent, flags = engine.asked_with(request_id)[0].headers["traceparent"].split("-")
    assert (trace_id, parent) == (CLIENT_TRACE, span.span_id.hex()), "the engine's span is the gateway's child"
    assert int(flags, 16) & 1, "an unsampled flag would silence the engine"
    line = traced.outcome(request_id)
    assert (line["trace_id"], line["span_id"]) == (CLIENT_TRACE, span.span_id.hex())
    assert answer.headers["traceparent"].split("-")[1] == CLIENT_TRACE


def test_a_stream_is_one_span_with_the_genai_attributes(traced, engine, collector):
    request_id = fresh_id()
    with traced.streaming(headers={"x-request-id": request_id}, max_tokens=9) as stream:
        stream.read_all()
    spans = spans_of(collector, request_id)
    time.sleep(0.2)
    assert len(spans_of(collector, request_id)) == 1, "a span per chunk is what auto-instrumentation would give"
    span = spans[0]
    attributes = attributes_of(span)
    assert span.name == "chat m"
    assert span.kind == span.SPAN_KIND_SERVER
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.usage.input_tokens": PROMPT_TOKENS,
        "gen_ai.usage.output_tokens": len(WORDS),
        "server.address": "127.0.0.1",
        "server.port": engine.port,
        "http.response.status_code": 200,
        "llmp.tenant": "acme",
        "llmp.outcome": "success",
    }
    assert expected.items() <= attributes.items()
    assert 0 < attributes["gen_ai.response.time_to_first_chunk"] < 5
    assert collector.spans[-1][0]["service.name"] == "llmp-gateway"


def test_a_failure_is_an_error_span_and_a_callers_mistake_is_not(traced, collector):
    ours, theirs = fresh_id(), fresh_id()
    traced.chat(headers={"x-request-id": ours}, script=[["whole", 500, {}]])
    traced.chat(headers={"x-request-id": theirs}, max_tokens=-1)
    (failed,), (refused,) = spans_of(collector, ours), spans_of(collector, theirs)
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert attributes_of(failed)["error.type"] == "upstream_error"
    assert refused.status.code != refused.status.STATUS_CODE_ERROR


def test_an_unsampled_caller_stays_unsampled_all_the_way(traced, engine, collector):
    request_id = fresh_id()
    traced.chat(headers={"x-request-id": request_id, "traceparent": f"00-{'12' * 16}-{'34' * 8}-00"})
    assert engine.asked_with(request_id)[0].headers["traceparent"].endswith("-00")
    marker = fresh_id()
    traced.chat(headers={"x-request-id": marker})
    spans_of(collector, marker)
    assert all(attributes_of(span)["llmp.request_id"] != request_id for _, span in collector.spans)


def test_neither_text_nor_key_is_in_logs_spans_or_metrics(traced, collector):
    request_id = fresh_id()
    fields = {"messages": [{"role": "user", "content": SECRET_PROMPT}], "user": SECRET_PROMPT}
    with traced.streaming(headers={"x-request-id": request_id}, **fields) as stream:
        stream.read_all()
    traced.chat(key=f"{SECRET_PROMPT}-key")
    traced.chat(model=SECRET_PROMPT)
    traced.request("GET", f"/{SECRET_PROMPT}")
    spans_of(collector, request_id)
    time.sleep(0.2)
    told = json.dumps(traced.log_lines()) + str(collector.spans) + str(traced.metrics())
    for secret in (SECRET_PROMPT, WORDS[1], KEY, KEY_RECORD.sha256):
        assert secret not in told, "prompts, answers and keys are not for operators' eyes"


def test_an_outcome_is_counted_once_under_bounded_labels(traced):
    def counted() -> float:
        return traced.metrics()[
            'llm_gateway_requests_total{code="200",model="m",outcome="success",route="chat_completions"}'
        ]

    before = counted()
    traced.chat()
    assert counted() == before + 1
    for number in range(20):
        traced.chat(model=f"invented-{number}")
        traced.request("GET", f"/invented/{number}")
        traced.request("GET", f"/v1/models/invented-{number}")
    assert "invented" not in str(traced.metrics()), "callers must not be able to make series"


def test_every_combination_of_labels_that_can_occur_starts_at_zero(traced):
    series = traced.metrics()
    for outcome, code in (("upstream_error", 502), ("timeout", 504), ("no_capacity", 503), ("internal_error", 500)):
        name = (
            f'llm_gateway_requests_total{{code="{code}",model="hidden",outcome="{outcome}",route="chat_completions"}}'
        )
        assert series[name] == 0, "a counter that appears with its first error loses that error in every rate()"


def test_latency_and_tokens_are_measured(traced, engine):
    before = traced.metrics()
    with traced.streaming() as stream:
        stream.read_all()
    wait_until(lambda: traced.inflight() == 0, 2, "the stream is over")
    after = traced.metrics()
    gained = {name: value - before.get(name, 0) for name, value in after.items()}
    assert gained['llm_gateway_time_to_first_token_seconds_count{model="m"}'] == 1
    assert gained['llm_gateway_time_per_output_token_seconds_count{model="m"}'] == 1
    assert gained['llm_gateway_request_duration_seconds_count{model="m",route="chat_completions"}'] == 1
    assert gained['llm_gateway_tokens_total{model="m",type="input"}'] == PROMPT_TOKENS
    assert gained['llm_gateway_tokens_total{model="m",type="output"}'] == len(WORDS)
    assert gained['llm_gateway_tenant_tokens_total{tenant="acme",type="output"}'] == len(WORDS)
    assert f'llm_gateway_upstream_inflight{{model="m",replica="{engine.address}"}}' in after
    for edge in ("0.5", "2.5"):
        assert f'llm_gateway_time_to_first_token_seconds_bucket{{le="{edge}",model="m"}}' in after, "an SLO edge"


def test_an_unreachable_collector_costs_no_request_and_no_long_exit(start, engine):
    gateway = start(models_at(engine), tracing={"otlp_endpoint": "http://127.0.0.1:9"})
    assert all(gateway.chat().status == 200 for _ in range(5))
    assert gateway.terminate() < 5, "tracing fails open, at the end too"
    assert gateway.process.returncode == 0


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"x",
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ],
)
def test_a_traceparent_that_means_nothing_begins_a_new_trace(given):
    context = continue_trace(given, 1.0)
    assert context.parent_span_id is None
    assert context.sampled
    assert context.trace_id


def test_the_sampling_ratio_holds_for_traces_that_begin_here():
    sampled = sum(continue_trace(None, 0.25).sampled for _ in range(4000))
    assert 850 < sampled < 1150
    assert not continue_trace(None, 0.0).sampled
