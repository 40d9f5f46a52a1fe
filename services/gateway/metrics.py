"""The gateway's Prometheus series: names, labels and buckets in one place.

Every label has a bounded set of values: models come from the configuration, tenants from the keys file, replicas from
discovery, and whatever a caller invents is `unknown`. Combinations that can occur start at 0, because an error counter
that appears with its first error loses that error in every rate().
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from services.gateway.config import Model
from services.gateway.outcome import UNKNOWN, Outcome, OutcomeClass
from services.gateway.replicas import ReplicaSet
from services.gateway.routes import MODELS_LABEL, Route

# SLO edges must be buckets: TTFT 0.5 s (interactive) and 2.5 s (objective), time per output token 0.05 s and 0.1 s.
TTFT_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TPOT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)
DURATION_BUCKETS_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

_CODES: Mapping[OutcomeClass, tuple[int, ...]] = {
    OutcomeClass.SUCCESS: (200,),
    OutcomeClass.UPSTREAM_ERROR: (200, 502),
    OutcomeClass.TIMEOUT: (200, 504),
    OutcomeClass.INTERNAL_ERROR: (200, 500),
    OutcomeClass.NO_CAPACITY: (200, 503),
    OutcomeClass.CLIENT_ERROR: (400,),
    OutcomeClass.CLIENT_CLOSED: (200, 499),
    OutcomeClass.RATE_LIMITED: (429,),
}
"""Statuses that each outcome starts with; 200 with a bad outcome is a stream that failed after it had begun."""


class Metrics:
    """Counts outcomes. Children are kept, because finding one by its labels costs four times as much as counting."""

    def __init__(self, models: Mapping[str, Model], version: str) -> None:
        # A creation time beside every counter doubles the scrape and no query of ours reads it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("llm_gateway_build", "What is running.", registry=self.registry).info({"version": version})
        self._requests = Counter(
            "llm_gateway_requests",
            "Finished requests by what became of them; code is the HTTP status the client saw.",
            ("model", "route", "outcome", "code"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "llm_gateway_request_duration_seconds",
            "From a request's header to the end of its answer.",
            ("model", "route"),
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self._ttft = Histogram(
            "llm_gateway_time_to_first_token_seconds",
            "From a request's header to the first event of its stream.",
            ("model",),
            buckets=TTFT_BUCKETS_S,
            registry=self.registry,
        )
        self._tpot = Histogram(
            "llm_gateway_time_per_output_token_seconds",
            "Mean time per output token after the first, one observation a stream.",
            ("model",),
            buckets=TPOT_BUCKETS_S,
            registry=self.registry,
        )
        self._tokens = Counter("llm_gateway_tokens", "Tokens by direction.", ("model", "type"), registry=self.registry)
        self._tenant_requests = Counter(
            "llm_gateway_tenant_requests", "Finished requests by tenant.", ("tenant", "outcome"), registry=self.registry
        )
        self._tenant_tokens = Counter(
            "llm_gateway_tenant_tokens", "Tokens by tenant and direction.", ("tenant", "type"), registry=self.registry
        )
        self._retries = Counter(
            "llm_gateway_upstream_retries",
            "Second attempts after a replica could not be connected to.",
            ("model",),
            registry=self.registry,
        )
        self._request_children: dict[tuple[str, str, str, int], Counter] = {}
        self._model_children: dict[tuple[str, str], _ModelChildren] = {}
        self._tenant_children: dict[tuple[str, str], _TenantChildren] = {}
        for name, model in models.items():
            for route in (route for route in Route if model.kind in route.kinds):
                self._children(name, route.label)
                for outcome, codes in _CODES.items():
                    for code in codes:
                        self._requests.labels(name, route.label, outcome.value, str(code))
        for label in (*(route.label for route in Route), MODELS_LABEL, UNKNOWN):
            self._requests.labels(UNKNOWN, label, OutcomeClass.CLIENT_ERROR.value, "400")

    def __call__(self, outcome: Outcome) -> None:
        """Hook for finished requests."""
        key = (outcome.model, outcome.route, outcome.outcome, outcome.status)
        requests = self._request_children.get(key)
        if requests is None:
            requests = self._requests.labels(outcome.model, outcome.route, outcome.outcome.value, str(outcome.status))
            self._request_children[key] = requests
        requests.inc()
        children = self._model_children.get((outcome.model, outcome.route)) or self._children(
            outcome.model, outcome.route
        )
        children.duration.observe(outcome.duration_s)
        tenant = self._tenant_children.get((outcome.tenant, outcome.outcome)) or self._tenant(
            outcome.tenant, outcome.outcome
        )
        tenant.requests.inc()
        if outcome.ttft_s is not None:
            children.ttft.observe(outcome.ttft_s)
        if outcome.tpot_s is not None:
            children.tpot.observe(outcome.tpot_s)
        if outcome.input_tokens:
            children.input_tokens.inc(outcome.input_tokens)
            tenant.input_tokens.inc(outcome.input_tokens)
        if outcome.output_tokens:
            children.output_tokens.inc(outcome.output_tokens)
            tenant.output_tokens.inc(outcome.output_tokens)
        if outcome.attempts > 1:
            children.retries.inc(outcome.attempts - 1)

    def _children(self, model: str, route: str) -> "_ModelChildren":
        children = _ModelChildren()
        children.duration = self._duration.labels(model, route)
        children.ttft = self._ttft.labels(model)
        children.tpot = self._tpot.labels(model)
        children.input_tokens = self._tokens.labels(model, "input")
        children.output_tokens = self._tokens.labels(model, "output")
        children.retries = self._retries.labels(model)
        self._model_children[model, route] = children
        return children

    def _tenant(self, tenant: str, outcome: OutcomeClass) -> "_TenantChildren":
        children = _TenantChildren()
        children.requests = self._tenant_requests.labels(tenant, outcome.value)
        children.input_tokens = self._tenant_tokens.labels(tenant, "input")
        children.output_tokens = self._tenant_tokens.labels(tenant, "output")
        self._tenant_children[tenant, outcome] = children
        return children

    def expose(self, accept: str) -> tuple[str, bytes]:
        """Content type and text of all series; OpenMetrics if asked for, which alone can carry exemplars."""
        if "application/openmetrics-text" in accept:
            return openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return "text/plain; version=0.0.4; charset=utf-8", generate_latest(self.registry)


class _ModelChildren:
    __slots__ = ("duration", "input_tokens", "output_tokens", "retries", "tpot", "ttft")
    duration: Histogram
    ttft: Histogram
    tpot: Histogram
    input_tokens: Counter
    output_tokens: Counter
    retries: Counter


class _TenantChildren:
    __slots__ = ("input_tokens", "output_tokens", "requests")
    requests: Counter
    input_tokens: Counter
    output_tokens: Counter


class ReplicaCollector(Collector):
    """Reads the replica sets when scraped, so that a replica that is gone leaves no series behind."""

    def __init__(self, replicas: Iterable[ReplicaSet]) -> None:
        self._sets = tuple(replicas)

    def collect(self) -> Iterator[Metric]:
        inflight = GaugeMetricFamily(
            "llm_gateway_upstream_inflight",
            "Requests under way on a replica; sees the hang that the engine's own gauges cannot show.",
            labels=("model", "replica"),
        )
        healthy = GaugeMetricFamily(
            "llm_gateway_upstream_healthy", "1 for a replica that requests go to.", labels=("model", "replica")
        )
        for replicas in self._sets:
            for replica in replicas.all():
                inflight.add_metric((replicas.model, replica.address), replica.inflight)
                healthy.add_metric((replicas.model, replica.address), float(replicas.is_healthy(replica)))
        yield inflight
        yield healthy


Reading = tuple[type[CounterMetricFamily] | type[GaugeMetricFamily], str, str, Callable[[], float]]


class Readings(Collector):
    """Values that live elsewhere in the process, asked for when scraped."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = tuple(readings)

    def collect(self) -> Iterator[Metric]:
        for family, name, help_text, read in self._readings:
            yield family(name, help_text, value=read())
