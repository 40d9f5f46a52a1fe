"""SIGTERM loses no request; a second one does not wait."""

import json
import signal
import time

from gateway.conftest import models_at
from gateway.engine_double import delta
from gateway.gateway_process import KEY, fresh_id, wait_until

SLOW = [["head"], ["event", delta("first")], ["sleep", 1.0], ["event", delta("last")], ["done"], ["end"]]


def test_a_drain_finishes_streams_and_goes_on_accepting_for_its_grace(start, engine):
    gateway = start(models_at(engine), drain={"grace_s": 0.6, "budget_s": 5})
    with gateway.streaming(script=SLOW) as stream, gateway.connection() as kept:
        stream.read_until(b"first")
        kept.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
        kept.getresponse().read()
        gateway.process.send_signal(signal.SIGTERM)
        gateway.logged("drain.began")
        for admin in (False, True):
            not_ready = gateway.request("GET", "/readyz", admin=admin, key=None)
            assert not_ready.status == 503, "no new traffic from the moment of SIGTERM"
            assert not_ready.json["status"] == "draining"
        assert gateway.request("GET", "/healthz", admin=True, key=None).status == 200, "a drain is not a reason to kill"
        late = gateway.chat()
        assert late.status == 200, "whoever has not yet heard of the drain is served"
        assert late.headers["connection"] == "close", "and told to connect elsewhere next time"
        kept.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
        assert kept.getresponse().getheader("connection") == "close"
        assert gateway.metrics()["llm_gateway_draining"] == 1
        stream.read_all()
        assert b"last" in stream.body
        assert stream.ended_well, "a rollout must not cut streams"
    assert gateway.process.wait(5) == 0
    assert gateway.log_lines()[-1]["event"] == "gateway.stopped"


def test_an_idle_gateway_is_gone_as_soon_as_its_grace_is_over(start, engine):
    gateway = start(models_at(engine), drain={"grace_s": 0.2, "budget_s": 30})
    with gateway.connection() as idle:
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        assert gateway.terminate() < 2, "an idle keep-alive connection is nothing to wait for"
    assert gateway.process.returncode == 0


def test_what_outlasts_the_budget_ends_with_an_error_event(start, engine):
    gateway = start(models_at(engine), drain={"grace_s": 0, "budget_s": 0.3})
    stream_id, plain_id = fresh_id(), fresh_id()
    hanging = [["head"], ["event", delta("first")], ["sleep", 30]]
    with (
        gateway.streaming(headers={"x-request-id": stream_id}, script=hanging) as stream,
        gateway.streaming(headers={"x-request-id": plain_id}, stream=False, script=[["sleep", 30]]) as plain,
    ):
        stream.read_until(b"first")
        wait_until(lambda: engine.asked_with(plain_id), 3, "the plain request is under way")
        gateway.process.send_signal(signal.SIGTERM)
        stream.read_all()
        plain.read_all()
        assert b'"code":"draining"' in stream.body
        assert not stream.ended_well
        assert plain.received.startswith(b"HTTP/1.1 503 ")
        assert json.loads(plain.received.partition(b"\r\n\r\n")[2])["error"]["code"] == "draining"
    assert gateway.process.wait(5) == 0
    assert {gateway.outcome(request_id)["outcome"] for request_id in (stream_id, plain_id)} == {"no_capacity"}


def test_a_second_sigterm_ends_at_once(start, engine):
    gateway = start(models_at(engine), drain={"grace_s": 30, "budget_s": 30})
    gateway.process.send_signal(signal.SIGTERM)
    gateway.logged("drain.began")
    began = time.monotonic()
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(5) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 1
    assert gateway.log_lines()[-1]["event"] == "gateway.killed"
