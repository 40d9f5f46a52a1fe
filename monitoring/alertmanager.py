"""Alertmanager: groups what Prometheus fires and hands it on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from infra import network_policy
from infra.identity import AlertTier, Identity
from infra.inventory import Target
from infra.namespaces import MONITORING
from infra.network_policy import Allow, Peer
from infra.platform import Platform
from infra.pods import Size, container_security, http_probe, pod
from infra.service import service
from infra.volumes import claim, config_volume
from infra.workloads import stateful_set

COMPONENT = "alertmanager"
PORT = 9093


def alertmanager_config(webhook: str) -> Mapping[str, Any]:
    """The document `alertmanager.yml`: the heartbeat on its own short path, everything else grouped by alert."""
    return {
        "route": {
            "receiver": "webhook",
            "group_by": ["alertname", "namespace", "deployment"],
            "group_wait": "5s",
            "group_interval": "30s",
            "repeat_interval": "4h",
            "routes": [
                {
                    "matchers": ['severity = "heartbeat"'],
                    "receiver": "webhook",
                    "group_wait": "0s",
                    "group_interval": "1m",
                    "repeat_interval": "1m",
                }
            ],
        },
        "receivers": [{"name": "webhook", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
    }


def target(identity: Identity) -> Target:
    """What Prometheus scrapes of it."""
    return Target(identity.of(COMPONENT, AlertTier.PAGE), MONITORING, "http", PORT)


class Alertmanager(pulumi.ComponentResource):
    """One replica with its silences and notification log on a volume. `webhook` is the receiver's URL and `receiver`
    the pods behind it."""

    def __init__(
        self,
        platform: Platform,
        namespace: pulumi.Input[str],
        webhook: str,
        receiver: Allow,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("llmp:monitoring:Alertmanager", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT, AlertTier.PAGE)
        config = core.v1.ConfigMap(
            f"{COMPONENT}-config",
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=identity.labels),
            data={"alertmanager.yml": json.dumps(alertmanager_config(webhook), indent=1, sort_keys=True)},
            opts=child,
        )
        door = platform.doors[COMPONENT]
        service(identity, namespace, {"http": PORT}, child, door=door)
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=[Allow(Peer(MONITORING, "prometheus"), PORT), *platform.through_door(PORT)],
            egress=[receiver],
        )
        container = core.v1.ContainerArgs(
            name=COMPONENT,
            image=platform.images[COMPONENT],
            args=[
                "--config.file=/etc/alertmanager/alertmanager.yml",
                "--storage.path=/data",
                f"--web.listen-address=:{PORT}",
                "--cluster.listen-address=",
            ],
            ports=[core.v1.ContainerPortArgs(name="http", container_port=PORT)],
            resources=Size(cpu_milli=10, memory_mib=64, memory_limit_mib=128).requirements(),
            security_context=container_security(),
            volume_mounts=[
                core.v1.VolumeMountArgs(name="config", mount_path="/etc/alertmanager", read_only=True),
                core.v1.VolumeMountArgs(name="data", mount_path="/data"),
            ],
            readiness_probe=http_probe("/-/ready", "http", period=2),
            liveness_probe=http_probe("/-/healthy", "http", period=10, failures=6),
        )
        stateful_set(
            identity,
            namespace,
            pod(
                containers=[container],
                volumes=[config_volume("config", config)],
            ),
            [claim("data", 1, platform.storage_class)],
            child,
        )
        self.url = door.url
        self.register_outputs({"url": self.url})
