"""Start-up, readiness, liveness and drain of an engine: times that depend on each other, derived from one ModelSpec.

load + compile  <  engine's own ready timeout  <  startupProbe budget  <  Pulumi's timeout
preStop + shutdown timeout + teardown  =  terminationGracePeriod
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from services.engine.model import ModelSpec

START_UP_MARGIN = 5
"""The estimate is for a machine with nothing else to do. SMOLLM2 was ready after 29 s beside one compiler on two cores,
after 88 s at load 11, and after 158 s in earlier runs of another machine."""
MINIMUM_READY_SECONDS = 180
"""A pod that starts beside a dozen others on two cores waits for them first, however small its model."""
FRONT_END_SECONDS = 60
"""Python imports before the engine's clock starts, and route set-up after it: 15 to 20 s on two cores."""
SCHEDULE_SECONDS = 300
"""What Pulumi waits beyond the probes: scheduling, volume attach, image pull."""
PRE_STOP_SECONDS = 10
"""Endpoints and the gateway's replica list must drop the pod before it stops to accept."""
TEARDOWN_SECONDS = 30
"""After the drain the processes still exit: 5 to 8 s measured, 17 s with the trace collector gone: the last spans
are tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An HTTP GET probe; times in whole seconds, `failure_threshold` in consecutive failures."""

    path: str
    port: int
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int

    @property
    def budget_seconds(self) -> int:
        """How long the container may fail before Kubernetes acts."""
        return self.period_seconds * self.failure_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How a pod stops; seconds. The kubelet sends SIGTERM after preStop and SIGKILL at the end of the grace period."""

    pre_stop_seconds: int
    shutdown_timeout_seconds: int
    termination_grace_seconds: int

    def __post_init__(self) -> None:
        needed = self.pre_stop_seconds + self.shutdown_timeout_seconds
        if self.termination_grace_seconds <= needed:
            raise ValueError(
                f"termination_grace_seconds: {self.termination_grace_seconds} is not allowed. Allowed: more than "
                f"{needed}, the sum of pre_stop_seconds and shutdown_timeout_seconds. Running requests would be killed."
            )


def ready_timeout_seconds(spec: ModelSpec) -> int:
    """How long vLLM itself waits for its engine processes (`VLLM_ENGINE_READY_TIMEOUT_S`)."""
    return max(MINIMUM_READY_SECONDS, START_UP_MARGIN * (spec.load_seconds + spec.compile_seconds))


def startup_probe(spec: ModelSpec) -> Probe:
    """Until it succeeds no other probe runs. The port answers only once the model is loaded.

    A short period, because its length is added to every start; the budget is reached by the number of failures.
    """
    period = 2
    budget = ready_timeout_seconds(spec) + FRONT_END_SECONDS
    return Probe(
        path="/health",
        port=spec.port,
        period_seconds=period,
        timeout_seconds=2,
        failure_threshold=ceil(budget / period),
    )


def readiness_probe(spec: ModelSpec) -> Probe:
    """Out of the Service after 15 s without an answer, back with the first one."""
    return Probe(path="/health", port=spec.port, period_seconds=5, timeout_seconds=5, failure_threshold=3)


def liveness_probe(spec: ModelSpec) -> Probe:
    """Restarts a container whose API server has not answered for longer than one whole engine step may take.

    What /health proves: the API server's event loop turns, and EngineCore has not been reported dead (503 then). It
    does not prove that tokens come: it answers 200 while EngineCore hangs. So it cannot find a hang; hangs are found by
    services/recovery, from requests in flight without engine steps. And it must not kill a busy engine: EngineCore
    computes in another process, so a full batch does not keep /health from answering.
    """
    period = 10
    # Beyond the step timeout, so that vLLM's own verdict on a stuck worker comes first.
    failures = ceil((spec.step_timeout_seconds + 30) / period)
    return Probe(path="/health", port=spec.port, period_seconds=period, timeout_seconds=10, failure_threshold=failures)


def drain(spec: ModelSpec) -> Drain:
    """preStop sleep, then `--shutdown-timeout` for running requests, then teardown, all inside the grace period."""
    return Drain(
        pre_stop_seconds=PRE_STOP_SECONDS,
        shutdown_timeout_seconds=spec.drain_seconds,
        termination_grace_seconds=PRE_STOP_SECONDS + spec.drain_seconds + TEARDOWN_SECONDS,
    )


def pulumi_timeout_seconds(spec: ModelSpec) -> int:
    """Create and update timeout of the engine's Deployment for one replica: start-up, plus the old pod's drain."""
    return startup_probe(spec).budget_seconds + drain(spec).termination_grace_seconds + SCHEDULE_SECONDS
