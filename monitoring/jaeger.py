"""Jaeger v2: takes OTLP, keeps traces in memory, answers queries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from infra import network_policy
from infra.identity import AlertTier, Identity
from infra.inventory import Target
from infra.namespaces import MONITORING, SERVING
from infra.network_policy import Allow, Peer
from infra.platform import Platform
from infra.pods import Size, container_security, http_probe, pod
from infra.service import service
from infra.volumes import config_volume
from infra.workloads import ONE_AT_MOST, deployment

COMPONENT = "jaeger"
QUERY_PORT = 16686
OTLP_GRPC_PORT = 4317
OTLP_HTTP_PORT = 4318
METRICS_PORT = 8888
HEALTH_PORT = 13133
OTLP_GRPC = f"http://{COMPONENT}.{MONITORING}.svc.cluster.local:{OTLP_GRPC_PORT}"
OTLP_HTTP = f"http://{COMPONENT}.{MONITORING}.svc.cluster.local:{OTLP_HTTP_PORT}"


def jaeger_config(max_traces: int) -> Mapping[str, Any]:
    """The collector's document: OTLP in, batches, memory. The oldest of more than `max_traces` traces goes first."""
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": ["jaeger_storage_exporter"],
                }
            },
            "telemetry": {
                "metrics": {
                    "level": "normal",
                    "readers": [
                        {"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": METRICS_PORT}}}}  # noqa: S104
                    ],
                },
                "logs": {"level": "warn"},
            },
        },
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": max_traces}}}},
            "jaeger_query": {"storage": {"traces": "memory"}, "http": {"endpoint": f"0.0.0.0:{QUERY_PORT}"}},
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"0.0.0.0:{HEALTH_PORT}"}},
        },
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"0.0.0.0:{OTLP_GRPC_PORT}"},
                    "http": {"endpoint": f"0.0.0.0:{OTLP_HTTP_PORT}"},
                }
            }
        },
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
            "batch": {"timeout": "1s"},
        },
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }


def target(identity: Identity) -> Target:
    """What Prometheus scrapes of it."""
    return Target(identity.of(COMPONENT, AlertTier.NOTIFY), MONITORING, "metrics", METRICS_PORT)


class Jaeger(pulumi.ComponentResource):
    """One replica; a restart forgets the traces, which nobody is paged for."""

    def __init__(
        self, platform: Platform, namespace: pulumi.Input[str], max_traces: int, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("llmp:monitoring:Jaeger", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT, AlertTier.NOTIFY)
        config = core.v1.ConfigMap(
            f"{COMPONENT}-config",
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=identity.labels),
            data={"config.yaml": json.dumps(jaeger_config(max_traces), indent=1, sort_keys=True)},
            opts=child,
        )
        ports = {
            "query": QUERY_PORT,
            "otlp-grpc": OTLP_GRPC_PORT,
            "otlp-http": OTLP_HTTP_PORT,
            "metrics": METRICS_PORT,
        }
        door = platform.doors[COMPONENT]
        service(
            identity, namespace, {name: ports[name] for name in ("query", "otlp-grpc", "otlp-http")}, child, door=door
        )
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=[
                *(Allow(Peer(SERVING), port) for port in (OTLP_GRPC_PORT, OTLP_HTTP_PORT)),
                Allow(Peer(MONITORING, "prometheus"), METRICS_PORT),
                *platform.through_door(QUERY_PORT),
            ],
        )
        container = core.v1.ContainerArgs(
            name=COMPONENT,
            image=platform.images[COMPONENT],
            args=["--config=/etc/jaeger/config.yaml"],
            ports=[
                core.v1.ContainerPortArgs(name=name, container_port=number)
                for name, number in {**ports, "health": HEALTH_PORT}.items()
            ],
            resources=Size(cpu_milli=20, memory_mib=128, memory_limit_mib=512).requirements(),
            security_context=container_security(),
            volume_mounts=[core.v1.VolumeMountArgs(name="config", mount_path="/etc/jaeger", read_only=True)],
            readiness_probe=http_probe("/status", "health", period=2),
            liveness_probe=http_probe("/status", "health", period=10, failures=6),
        )
        deployment(
            identity,
            namespace,
            pod(
                containers=[container],
                volumes=[config_volume("config", config)],
            ),
            child,
            strategy=ONE_AT_MOST,
        )
        self.url = door.url
        self.register_outputs({"url": self.url})
