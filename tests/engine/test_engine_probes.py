"""The times of an engine's life keep their order, whatever the model."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_70b import llama

from services.engine.model import SMOLLM2, ModelSpec
from services.engine.probes import (
    Drain,
    drain,
    liveness_probe,
    pulumi_timeout_seconds,
    readiness_probe,
    ready_timeout_seconds,
    startup_probe,
)


@st.composite
def specs(draw) -> ModelSpec:
    changes = {
        "load_seconds": draw(st.integers(1, 7200)),
        "drain_seconds": draw(st.integers(1, 3600)),
        "step_timeout_seconds": draw(st.integers(10, 300)),
    }
    if draw(st.booleans()):
        return replace(SMOLLM2, **changes)
    return llama(compile_seconds=draw(st.integers(0, 3600)), **changes)


@given(specs())
def test_a_start_is_never_cut_short_by_the_next_outer_time_limit(spec):
    start = startup_probe(spec)
    assert spec.load_seconds + spec.compile_seconds < ready_timeout_seconds(spec), (
        "vLLM must not give up on a usual start"
    )
    assert ready_timeout_seconds(spec) < start.budget_seconds, (
        "vLLM's reason must be in the log before the kubelet kills"
    )
    assert start.budget_seconds < pulumi_timeout_seconds(spec), "Pulumi must see the probe's verdict"


@given(specs())
def test_the_grace_period_holds_the_whole_drain(spec):
    stop = drain(spec)
    assert stop.termination_grace_seconds > stop.pre_stop_seconds + stop.shutdown_timeout_seconds
    assert stop.shutdown_timeout_seconds == spec.drain_seconds, "the flag and the pod must agree"


@given(specs())
def test_liveness_outlasts_the_longest_engine_step(spec):
    assert liveness_probe(spec).budget_seconds > spec.step_timeout_seconds, "a busy engine must not be killed"
    assert liveness_probe(spec).budget_seconds > readiness_probe(spec).budget_seconds, "out of the Service comes first"


@given(specs())
def test_a_probe_has_given_up_before_the_next_one_starts(spec):
    for probe in (startup_probe(spec), readiness_probe(spec), liveness_probe(spec)):
        assert probe.timeout_seconds <= probe.period_seconds
        assert probe.port == spec.port


def test_a_grace_period_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match=r"termination_grace_seconds: 70 .*more than 70"):
        Drain(pre_stop_seconds=10, shutdown_timeout_seconds=60, termination_grace_seconds=70)
