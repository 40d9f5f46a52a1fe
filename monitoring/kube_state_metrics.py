"""kube-state-metrics: what the cluster's objects should be and are, as series."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import core

from infra import network_policy
from infra.accounts import cluster_account, rule
from infra.identity import AlertTier, Identity
from infra.inventory import Target
from infra.namespaces import MONITORING
from infra.network_policy import ANYBODY, Allow, Peer
from infra.platform import Platform
from infra.pods import Size, container_security, http_probe, pod
from infra.workloads import deployment

COMPONENT = "kube-state-metrics"
PORT = 8080
TELEMETRY_PORT = 8081
# Kinds that something of ours reads; each more is series for every object of the cluster. API group → resources.
_RESOURCES = {
    "": ("namespaces", "nodes", "persistentvolumeclaims", "pods", "services"),
    "apps": ("daemonsets", "deployments", "replicasets", "statefulsets"),
    "batch": ("jobs",),
    "policy": ("poddisruptionbudgets",),
}


def target(identity: Identity) -> Target:
    """What Prometheus scrapes of it."""
    return Target(identity.of(COMPONENT, AlertTier.PAGE), MONITORING, "http", PORT, describes_others=True)


class KubeStateMetrics(pulumi.ComponentResource):
    """One replica that may list and watch, and nothing else."""

    def __init__(self, platform: Platform, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("llmp:monitoring:KubeStateMetrics", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT, AlertTier.PAGE)
        look = ("list", "watch")
        binding = cluster_account(
            identity, namespace, [rule(group, names, look) for group, names in _RESOURCES.items()], child
        )
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=[Allow(Peer(MONITORING, "prometheus"), PORT)],
            egress=[Allow(ANYBODY, port) for port in (443, 6443)],
        )
        # Labels of ours on the object's series: an alert about a deployment then knows whom it disturbs.
        labels = "deployments=[app.kubernetes.io/name,llmp.dev/alert-tier]"
        container = core.v1.ContainerArgs(
            name=COMPONENT,
            image=platform.images[COMPONENT],
            args=[
                f"--port={PORT}",
                f"--telemetry-port={TELEMETRY_PORT}",
                f"--resources={','.join(sorted(sum(_RESOURCES.values(), ())))}",
                f"--metric-labels-allowlist={labels}",
            ],
            ports=[
                core.v1.ContainerPortArgs(name="http", container_port=PORT),
                core.v1.ContainerPortArgs(name="telemetry", container_port=TELEMETRY_PORT),
            ],
            resources=Size(cpu_milli=10, memory_mib=64, memory_limit_mib=192).requirements(),
            security_context=container_security(),
            readiness_probe=http_probe("/readyz", "telemetry", period=2),
            liveness_probe=http_probe("/livez", "http", period=10, failures=6),
        )
        deployment(
            identity,
            namespace,
            pod(
                account=COMPONENT,
                containers=[container],
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[binding]),
        )
        self.register_outputs({})
