"""The gateway as a Deployment with its configuration, keys, Service and policies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta, policy

from infra import network_policy
from infra.identity import AlertTier, Identity
from infra.inventory import Target
from infra.namespaces import MONITORING, SERVING
from infra.network_policy import ANYBODY, Allow, Peer
from infra.platform import Platform
from infra.pods import Size, container_security, http_probe, pod
from infra.service import service
from infra.settings import GatewaySettings
from infra.volumes import config_volume
from infra.workloads import deployment
from monitoring.jaeger import OTLP_HTTP, OTLP_HTTP_PORT
from services.cache import deploy as cache
from services.engine import deploy as engine
from services.engine.model import ModelSpec
from services.gateway.keys import record_of

COMPONENT = "gateway"
PORT = 8080
ADMIN_PORT = 9100
_CONFIG = "/etc/gateway"
_KEYS = "/etc/gateway-keys"
# Endpoints and load balancers learn within this time that a pod goes; until then it still accepts.
_GRACE_SECONDS = 5
# What remains to write after the last stream: spans and log lines.
_TEARDOWN_SECONDS = 10


def gateway_config(settings: GatewaySettings, specs: Iterable[ModelSpec]) -> Mapping[str, Any]:
    """The document that `services.gateway` reads."""
    return {
        "keys_file": f"{_KEYS}/keys.json",
        "models": {
            spec.served_name: {
                "upstream": {"dns": engine.replicas_dns(spec), "port": spec.port},
                "max_model_len": spec.max_model_len,
            }
            for spec in specs
        },
        "listen": {"port": PORT},
        "admin": {"port": ADMIN_PORT},
        "limits": {"body_bytes": settings.max_body_bytes},
        "timeouts": {
            "connect_s": settings.timeouts.connect_seconds,
            "first_token_s": settings.timeouts.first_token_seconds,
            "inter_token_s": settings.timeouts.inter_token_seconds,
            "total_s": settings.timeouts.total_seconds,
        },
        "drain": {"grace_s": _GRACE_SECONDS, "budget_s": settings.drain_seconds},
        "tracing": {"otlp_endpoint": OTLP_HTTP},
    }


def target(identity: Identity) -> Target:
    """What Prometheus scrapes of it."""
    return Target(identity.of(COMPONENT, AlertTier.PAGE), SERVING, "admin", ADMIN_PORT)


class Gateway(pulumi.ComponentResource):
    """The front door to the models of `specs`. `api_key` is the first key, of the tenant `default`."""

    def __init__(
        self,
        platform: Platform,
        namespace: pulumi.Input[str],
        settings: GatewaySettings,
        specs: Iterable[ModelSpec],
        api_key: pulumi.Output[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("llmp:services:Gateway", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT, AlertTier.PAGE)
        specs = list(specs)
        config = core.v1.ConfigMap(
            f"{COMPONENT}-config",
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=identity.labels),
            data={"gateway.json": json.dumps(gateway_config(settings, specs), indent=1, sort_keys=True)},
            opts=child,
        )
        # A fixed name: the gateway reloads a changed file by itself, and a revoked key must not wait for a rollout.
        keys = core.v1.Secret(
            f"{COMPONENT}-keys",
            metadata=meta.v1.ObjectMetaArgs(name="gateway-keys", namespace=namespace, labels=identity.labels),
            string_data={
                "keys.json": api_key.apply(lambda key: json.dumps([record_of(key, tenant="default").as_json()]))
            },
            opts=child,
        )
        door = platform.doors[COMPONENT]
        service(identity, namespace, {"http": PORT}, child, door=door)
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=[Allow(ANYBODY, PORT), Allow(Peer(MONITORING, "prometheus"), ADMIN_PORT)],
            egress=[
                *(Allow(Peer(SERVING, engine.component(spec)), spec.port) for spec in specs),
                Allow(Peer(SERVING, cache.COMPONENT), cache.PORT),
                Allow(Peer(MONITORING, "jaeger"), OTLP_HTTP_PORT),
            ],
        )
        if settings.replicas > 1:
            policy.v1.PodDisruptionBudget(
                f"{COMPONENT}-budget",
                metadata=meta.v1.ObjectMetaArgs(name=COMPONENT, namespace=namespace, labels=identity.labels),
                spec=policy.v1.PodDisruptionBudgetSpecArgs(
                    max_unavailable=1, selector=meta.v1.LabelSelectorArgs(match_labels=identity.selector)
                ),
                opts=child,
            )
        deployment(
            identity,
            namespace,
            pod(
                # The gateway goes on accepting for its grace by itself: no preStop is needed.
                grace_seconds=_GRACE_SECONDS + settings.drain_seconds + _TEARDOWN_SECONDS,
                containers=[_container(platform)],
                volumes=[
                    config_volume("config", config),
                    core.v1.VolumeArgs(
                        name="keys", secret=core.v1.SecretVolumeSourceArgs(secret_name=keys.metadata.name)
                    ),
                ],
            ),
            child,
            replicas=settings.replicas,
        )
        self.url = door.url
        self.register_outputs({"url": self.url})


def _container(platform: Platform) -> core.v1.ContainerArgs:
    return core.v1.ContainerArgs(
        name=COMPONENT,
        image=platform.images["services"],
        args=["services.gateway", "--config", f"{_CONFIG}/gateway.json"],
        ports=[
            core.v1.ContainerPortArgs(name="http", container_port=PORT),
            core.v1.ContainerPortArgs(name="admin", container_port=ADMIN_PORT),
        ],
        resources=Size(cpu_milli=100, memory_mib=128, memory_limit_mib=512).requirements(),
        security_context=container_security(),
        volume_mounts=[
            core.v1.VolumeMountArgs(name="config", mount_path=_CONFIG, read_only=True),
            core.v1.VolumeMountArgs(name="keys", mount_path=_KEYS, read_only=True),
        ],
        startup_probe=http_probe("/healthz", "admin", period=1, failures=60),
        readiness_probe=http_probe("/readyz", "admin", period=2, failures=1),
        liveness_probe=http_probe("/healthz", "admin", period=10, failures=6),
    )
