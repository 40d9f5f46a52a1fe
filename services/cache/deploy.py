"""Valkey in the cluster, with its data on a volume; on AWS ElastiCache takes its place."""

from __future__ import annotations

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
from infra.settings import CacheSettings
from infra.volumes import claim
from infra.workloads import stateful_set

COMPONENT = "valkey"
PORT = 6379
EXPORTER_PORT = 9121
# The process needs more than its data: buffers of clients, and the copy of changed pages while a snapshot is written.
_OVERHEAD_MIB = 64


def target(identity: Identity) -> Target:
    """What Prometheus scrapes of it."""
    return Target(identity.of(COMPONENT, AlertTier.NOTIFY), SERVING, "metrics", EXPORTER_PORT)


class Valkey(pulumi.ComponentResource):
    """One replica with an append-only file, synced each second: a crash loses a second of limits and cached answers,
    which both can bear. Nobody is paged for it, because the gateway fails open without it."""

    def __init__(
        self,
        platform: Platform,
        namespace: pulumi.Input[str],
        settings: CacheSettings,
        password: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("llmp:services:Valkey", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT, AlertTier.NOTIFY)
        secret = core.v1.Secret(
            f"{COMPONENT}-secret",
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=identity.labels),
            string_data={
                "password": password,
                # In a file of its own, because arguments of a process can be read by all who can list processes.
                "auth.conf": pulumi.Output.concat("requirepass ", password, "\n"),
            },
            opts=child,
        )
        service(identity, namespace, {"valkey": PORT}, child)
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=[Allow(Peer(SERVING, "gateway"), PORT), Allow(Peer(MONITORING, "prometheus"), EXPORTER_PORT)],
        )
        auth = core.v1.SecretVolumeSourceArgs(
            secret_name=secret.metadata.name, items=[core.v1.KeyToPathArgs(key="auth.conf", path="auth.conf")]
        )
        stateful_set(
            identity,
            namespace,
            pod(
                containers=[self._server(platform, settings), self._exporter(platform, secret)],
                volumes=[core.v1.VolumeArgs(name="auth", secret=auth)],
            ),
            [claim("data", settings.volume_gib, platform.storage_class)],
            child,
        )
        self.register_outputs({})

    def _server(self, platform: Platform, settings: CacheSettings) -> core.v1.ContainerArgs:
        return core.v1.ContainerArgs(
            name=COMPONENT,
            image=platform.images[COMPONENT],
            args=[
                "/etc/valkey/auth.conf",
                *("--dir", "/data"),
                *("--appendonly", "yes", "--appendfsync", "everysec"),
                *("--maxmemory", f"{settings.memory_mib}mb", "--maxmemory-policy", "volatile-lru"),
                *("--tcp-keepalive", "60"),
            ],
            ports=[core.v1.ContainerPortArgs(name="valkey", container_port=PORT)],
            resources=Size(
                cpu_milli=20, memory_mib=64, memory_limit_mib=2 * settings.memory_mib + _OVERHEAD_MIB
            ).requirements(),
            security_context=container_security(),
            volume_mounts=[
                core.v1.VolumeMountArgs(name="auth", mount_path="/etc/valkey", read_only=True),
                core.v1.VolumeMountArgs(name="data", mount_path="/data"),
            ],
            # The port opens once the file is loaded.
            startup_probe=core.v1.ProbeArgs(
                tcp_socket=core.v1.TCPSocketActionArgs(port=COMPONENT), period_seconds=1, failure_threshold=300
            ),
            readiness_probe=core.v1.ProbeArgs(tcp_socket=core.v1.TCPSocketActionArgs(port=COMPONENT), period_seconds=5),
        )

    def _exporter(self, platform: Platform, secret: core.v1.Secret) -> core.v1.ContainerArgs:
        return core.v1.ContainerArgs(
            name="exporter",
            image=platform.images["services"],
            args=["services.valkey_exporter"],
            env=[
                core.v1.EnvVarArgs(name="VALKEY_ADDRESS", value=f"127.0.0.1:{PORT}"),
                core.v1.EnvVarArgs(name="PORT", value=str(EXPORTER_PORT)),
                core.v1.EnvVarArgs(
                    name="VALKEY_PASSWORD",
                    value_from=core.v1.EnvVarSourceArgs(
                        secret_key_ref=core.v1.SecretKeySelectorArgs(name=secret.metadata.name, key="password")
                    ),
                ),
            ],
            ports=[core.v1.ContainerPortArgs(name="metrics", container_port=EXPORTER_PORT)],
            resources=Size(cpu_milli=10, memory_mib=48, memory_limit_mib=96).requirements(),
            security_context=container_security(),
            readiness_probe=http_probe("/metrics", "metrics", period=10),
        )
