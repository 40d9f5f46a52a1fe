"""Prometheus as one pod with its data on a volume: enough until a single machine no longer is."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pulumi
from pulumi_kubernetes import core, meta, rbac

from alerts.rules import Alert, rule_file
from infra import network_policy
from infra.accounts import cluster_account, rule
from infra.identity import AlertTier
from infra.inventory import Target
from infra.namespaces import MONITORING
from infra.network_policy import ANYBODY, Allow, Peer
from infra.platform import Platform
from infra.pods import Size, container_security, http_probe, pod
from infra.service import service
from infra.settings import MonitoringSettings
from infra.volumes import claim, config_volume
from infra.workloads import stateful_set
from monitoring.scrape import prometheus_config

COMPONENT = "prometheus"
PORT = 9090


class Prometheus(pulumi.ComponentResource):
    """Scrapes `targets` and the cluster, evaluates `alerts`, tells the Alertmanager at `alertmanager` (host:port)."""

    def __init__(
        self,
        platform: Platform,
        namespace: pulumi.Input[str],
        settings: MonitoringSettings,
        targets: Iterable[Target],
        alerts: Iterable[Alert],
        alertmanager: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("llmp:monitoring:Prometheus", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT, AlertTier.PAGE)
        targets = list(targets)
        config = core.v1.ConfigMap(
            f"{COMPONENT}-config",
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=identity.labels),
            # JSON is YAML; sorted and indented, so that a preview's diff can be read.
            data={
                "prometheus.yml": _text(
                    prometheus_config(
                        targets,
                        stack=platform.identity.stack,
                        interval_seconds=settings.scrape_interval_seconds,
                        alertmanager=alertmanager,
                    )
                ),
                "rules.yml": _text(rule_file(alerts)),
            },
            opts=child,
        )
        binding = cluster_account(
            identity,
            namespace,
            [
                rule("", ("nodes", "pods", "services", "endpoints")),
                rule("discovery.k8s.io", ("endpointslices",)),
                rule("", ("nodes/metrics",), ("get",)),
                rbac.v1.PolicyRuleArgs(non_resource_urls=["/metrics"], verbs=["get"]),
            ],
            child,
        )
        door = platform.doors[COMPONENT]
        service(identity, namespace, {"http": PORT}, child, door=door)
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=platform.through_door(PORT),
            egress=[
                *(Allow(Peer(target.namespace, target.identity.component), target.port_number) for target in targets),
                Allow(Peer(MONITORING, "alertmanager"), 9093),
                # The API server and the kubelets are no pods: their addresses are the nodes'.
                *(Allow(ANYBODY, port) for port in (443, 6443, 10250)),
            ],
        )
        stateful_set(
            identity,
            namespace,
            pod(
                account=COMPONENT,
                containers=[self._container(platform, settings)],
                volumes=[config_volume("config", config)],
            ),
            [claim("data", settings.volume_gib, platform.storage_class)],
            pulumi.ResourceOptions(parent=self, depends_on=[binding]),
        )
        self.url = door.url
        self.register_outputs({"url": self.url})

    def _container(self, platform: Platform, settings: MonitoringSettings) -> core.v1.ContainerArgs:
        return core.v1.ContainerArgs(
            name=COMPONENT,
            image=platform.images[COMPONENT],
            args=[
                "--config.file=/etc/prometheus/prometheus.yml",
                "--storage.tsdb.path=/data",
                f"--storage.tsdb.retention.time={settings.retention_days}d",
                f"--storage.tsdb.retention.size={settings.retention_gib}GB",
                f"--web.listen-address=:{PORT}",
                "--enable-feature=exemplar-storage",
            ],
            ports=[core.v1.ContainerPortArgs(name="http", container_port=PORT)],
            resources=Size(cpu_milli=50, memory_mib=256, memory_limit_mib=768).requirements(),
            security_context=container_security(),
            volume_mounts=[
                core.v1.VolumeMountArgs(name="config", mount_path="/etc/prometheus", read_only=True),
                core.v1.VolumeMountArgs(name="data", mount_path="/data"),
            ],
            # Replaying the write-ahead log takes as long as it is large; only the start may take that long.
            startup_probe=http_probe("/-/ready", "http", period=2, failures=300),
            readiness_probe=http_probe("/-/ready", "http"),
            liveness_probe=http_probe("/-/healthy", "http", period=10, failures=6),
        )


def _text(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True)
