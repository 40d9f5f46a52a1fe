"""The platform, in the order of its dependencies: environment, services, monitoring, outputs. Read this first."""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from alerts.rules import WATCHDOG, engine_down
from infra.identity import Identity
from infra.namespaces import SERVING, Namespaces
from infra.platform import Platform
from infra.secrets import Secrets
from infra.settings import PROJECT, Settings
from monitoring import alertmanager, jaeger, kube_state_metrics
from monitoring.alertmanager import Alertmanager
from monitoring.jaeger import Jaeger
from monitoring.kube_state_metrics import KubeStateMetrics
from monitoring.prometheus import Prometheus
from services.alert_receiver import deploy as alert_receiver
from services.alert_receiver.deploy import AlertReceiver
from services.cache import deploy as cache
from services.cache.deploy import Valkey
from services.engine import deploy as engine
from services.engine.deploy import Engine, model_spec
from services.engine.probes import startup_probe
from services.gateway import deploy as gateway
from services.gateway.deploy import Gateway
from services.weights.deploy import Weights


def run(settings: Settings, secrets: Secrets, environment: Callable[[Identity], Platform]) -> None:
    """Declare everything. `environment` makes the Platform that the stack's environment provides."""
    identity = Identity(project=PROJECT, stack=pulumi.get_stack())
    platform = environment(identity)
    on_cluster = pulumi.ResourceOptions(provider=platform.provider)
    founded = pulumi.ResourceOptions(provider=platform.provider, depends_on=platform.foundations)
    namespaces = Namespaces(identity, founded)

    # Services
    spec = model_spec(settings.engine)
    Valkey(platform, namespaces.serving, settings.cache, secrets.cache_password, on_cluster)
    weights = Weights(platform, namespaces.serving, spec, on_cluster)
    filled = pulumi.ResourceOptions(provider=platform.provider, depends_on=[weights.job])
    Engine(platform, namespaces.serving, spec, settings.engine.replicas, weights.claim, filled)
    front = Gateway(platform, namespaces.serving, settings.gateway, [spec], secrets.api_key, on_cluster)

    # Monitoring
    targets = [
        gateway.target(identity),
        engine.target(identity, spec),
        cache.target(identity),
        kube_state_metrics.target(identity),
        alertmanager.target(identity),
        jaeger.target(identity),
        *platform.targets,
    ]
    alerts = [WATCHDOG, engine_down(SERVING, engine.component(spec), startup_probe(spec).budget_seconds)]
    KubeStateMetrics(platform, namespaces.monitoring, on_cluster)
    traces = Jaeger(platform, namespaces.monitoring, settings.monitoring.max_traces, on_cluster)
    receiver = AlertReceiver(platform, namespaces.monitoring, on_cluster)
    pager = Alertmanager(platform, namespaces.monitoring, alert_receiver.URL, alert_receiver.EGRESS, on_cluster)
    metrics = Prometheus(
        platform,
        namespaces.monitoring,
        settings.monitoring,
        targets,
        alerts,
        f"{alertmanager.COMPONENT}:{alertmanager.PORT}",
        on_cluster,
    )

    # Outputs
    pulumi.export("gateway_url", front.url)
    pulumi.export("prometheus_url", metrics.url)
    pulumi.export("alertmanager_url", pager.url)
    pulumi.export("jaeger_url", traces.url)
    pulumi.export("alert_receiver_url", receiver.url)
    pulumi.export("model", spec.served_name)
    pulumi.export("api_key", secrets.api_key)
