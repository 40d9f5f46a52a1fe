"""How every pod of ours is hardened and sized, said once: non-root, read-only, no capabilities, limits everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from pulumi_kubernetes import core

_USER_ID = 10001


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Requests and limits of a container: CPU in millicores, memory in MiB.

    A memory limit equals its request unless `memory_limit_mib` says more. CPU has a limit only where `cpu_limit_milli`
    is set: throttling a latency-bound server does more harm than a neighbour that waits.
    """

    cpu_milli: int
    memory_mib: int
    memory_limit_mib: int | None = None
    cpu_limit_milli: int | None = None

    def requirements(self) -> core.v1.ResourceRequirementsArgs:
        limits = {"memory": f"{self.memory_limit_mib or self.memory_mib}Mi"}
        if self.cpu_limit_milli:
            limits["cpu"] = f"{self.cpu_limit_milli}m"
        return core.v1.ResourceRequirementsArgs(
            requests={"cpu": f"{self.cpu_milli}m", "memory": f"{self.memory_mib}Mi"}, limits=limits
        )


def container_security() -> core.v1.SecurityContextArgs:
    """What Pod Security level `restricted` asks of a container, and a read-only root besides."""
    return core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
    )


def _pod_security() -> core.v1.PodSecurityContextArgs:
    """What Pod Security level `restricted` asks of a pod. Volumes belong to the group of the same number."""
    return core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=_USER_ID,
        run_as_group=_USER_ID,
        fs_group=_USER_ID,
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def pod(
    containers: list[core.v1.ContainerArgs],
    *,
    volumes: list[core.v1.VolumeArgs] | None = None,
    account: str | None = None,
    grace_seconds: int | None = None,
    priority_class: str | None = None,
    dns_policy: str | None = None,
    restart_policy: str | None = None,
) -> core.v1.PodSpecArgs:
    """A pod of ours. One without an `account` talks to no API server and mounts no token.

    No service links: a Service called `vllm` would set VLLM_PORT=tcp://… in every pod, which stops the engine.
    """
    return core.v1.PodSpecArgs(
        containers=containers,
        volumes=volumes,
        service_account_name=account,
        automount_service_account_token=None if account else False,
        enable_service_links=False,
        security_context=_pod_security(),
        termination_grace_period_seconds=grace_seconds,
        priority_class_name=priority_class,
        dns_policy=dns_policy,
        restart_policy=restart_policy,
    )


def scratch(name: str, mebibytes: int, *, memory: bool = False) -> core.v1.VolumeArgs:
    """An empty folder of the pod's own, bounded; `memory` makes it a tmpfs that counts as the container's memory."""
    return core.v1.VolumeArgs(
        name=name,
        empty_dir=core.v1.EmptyDirVolumeSourceArgs(
            size_limit=f"{mebibytes}Mi", **({"medium": "Memory"} if memory else {})
        ),
    )


def http_probe(
    path: str, port: str, *, period: int = 5, failures: int = 3, timeout: int = 3, delay: int | None = None
) -> core.v1.ProbeArgs:
    """An HTTP probe; times in seconds."""
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=path, port=port),
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=timeout,
        initial_delay_seconds=delay,
    )
