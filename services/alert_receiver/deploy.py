"""The alert receiver of stacks that page nobody: Alertmanager delivers to it, people and tests read it."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import core

from infra import network_policy
from infra.namespaces import MONITORING
from infra.network_policy import Allow, Peer
from infra.platform import Platform
from infra.pods import Size, container_security, http_probe, pod
from infra.service import service
from infra.workloads import ONE_AT_MOST, deployment

COMPONENT = "alert-receiver"
PORT = 9095
URL = f"http://{COMPONENT}.{MONITORING}.svc.cluster.local:{PORT}/"
EGRESS = Allow(Peer(MONITORING, COMPONENT), PORT)


class AlertReceiver(pulumi.ComponentResource):
    """One replica, no disk."""

    def __init__(self, platform: Platform, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("llmp:services:AlertReceiver", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT)
        door = platform.doors["alert_receiver"]
        service(identity, namespace, {"http": PORT}, child, door=door)
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=[Allow(Peer(MONITORING, "alertmanager"), PORT), *platform.through_door(PORT)],
        )
        container = core.v1.ContainerArgs(
            name=COMPONENT,
            image=platform.images["services"],
            args=["services.alert_receiver"],
            env=[core.v1.EnvVarArgs(name="PORT", value=str(PORT))],
            ports=[core.v1.ContainerPortArgs(name="http", container_port=PORT)],
            resources=Size(cpu_milli=10, memory_mib=32, memory_limit_mib=64).requirements(),
            security_context=container_security(),
            readiness_probe=http_probe("/healthz", "http", period=2),
            liveness_probe=http_probe("/healthz", "http", period=10, failures=6),
        )
        deployment(
            identity,
            namespace,
            pod(
                containers=[container],
            ),
            child,
            strategy=ONE_AT_MOST,
        )
        self.url = door.url
        self.register_outputs({"url": self.url})
