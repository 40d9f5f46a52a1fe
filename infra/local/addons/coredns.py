"""CoreDNS: names of Services and pods."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import core, meta

from infra.accounts import cluster_account, rule
from infra.identity import AlertTier, Identity
from infra.inventory import Target
from infra.local.cluster.layout import Layout
from infra.pods import Size, container_security, http_probe, pod
from infra.volumes import config_volume
from infra.workloads import deployment

COMPONENT = "coredns"
NAMESPACE = "kube-system"
_METRICS_PORT = 9153
# No `forward`: the node has no way out, and a name outside the cluster should fail at
# once. A TTL of 1 s: the gateway learns of new and gone replicas from DNS.
_COREFILE = f""".:53 {{
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {{
        pods insecure
        ttl 1
    }}
    prometheus :{_METRICS_PORT}
    loadbalance
}}
"""


def target(identity: Identity) -> Target:
    """What Prometheus scrapes of it."""
    return Target(identity.of(COMPONENT, AlertTier.PAGE), NAMESPACE, "metrics", _METRICS_PORT)


class CoreDns(pulumi.ComponentResource):
    """One replica at the address that the kubelet tells every pod."""

    def __init__(self, identity: Identity, layout: Layout, image: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("llmp:local:CoreDns", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = identity.of(COMPONENT, AlertTier.PAGE)
        look = ("list", "watch")
        binding = cluster_account(
            identity,
            NAMESPACE,
            [
                rule("", ("services", "pods", "namespaces"), look),
                rule("discovery.k8s.io", ("endpointslices",), look),
            ],
            child,
        )
        config = core.v1.ConfigMap(
            f"{COMPONENT}-config",
            metadata=meta.v1.ObjectMetaArgs(namespace=NAMESPACE, labels=identity.labels),
            data={"Corefile": _COREFILE},
            opts=child,
        )
        container = core.v1.ContainerArgs(
            name=COMPONENT,
            image=image,
            args=["-conf", "/etc/coredns/Corefile"],
            ports=[
                core.v1.ContainerPortArgs(name="dns", container_port=53, protocol="UDP"),
                core.v1.ContainerPortArgs(name="dns-tcp", container_port=53),
                core.v1.ContainerPortArgs(name="metrics", container_port=_METRICS_PORT),
                core.v1.ContainerPortArgs(name="health", container_port=8080),
                core.v1.ContainerPortArgs(name="ready", container_port=8181),
            ],
            resources=Size(cpu_milli=20, memory_mib=64, memory_limit_mib=170).requirements(),
            security_context=container_security(),
            volume_mounts=[core.v1.VolumeMountArgs(name="config", mount_path="/etc/coredns", read_only=True)],
            readiness_probe=http_probe("/ready", "ready", period=2),
            liveness_probe=http_probe("/health", "health", failures=5),
        )
        deployment(
            identity,
            NAMESPACE,
            pod(
                account=COMPONENT,
                priority_class="system-cluster-critical",
                dns_policy="Default",
                containers=[container],
                volumes=[config_volume("config", config)],
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[binding]),
        )
        core.v1.Service(
            f"{COMPONENT}-service",
            metadata=meta.v1.ObjectMetaArgs(name="kube-dns", namespace=NAMESPACE, labels=identity.labels),
            spec=core.v1.ServiceSpecArgs(
                cluster_ip=str(layout.dns_service),
                selector=identity.selector,
                ports=[
                    core.v1.ServicePortArgs(name="dns", port=53, target_port="dns", protocol="UDP"),
                    core.v1.ServicePortArgs(name="dns-tcp", port=53, target_port="dns-tcp"),
                ],
            ),
            opts=child,
        )
        self.register_outputs({})
