"""The engine as a Deployment: every number of its pods follows from its ModelSpec."""

from __future__ import annotations

from dataclasses import replace

import pulumi
from pulumi_kubernetes import core, meta, policy

from infra import network_policy
from infra.identity import AlertTier, Identity
from infra.inventory import Target
from infra.namespaces import MONITORING, SERVING
from infra.network_policy import Allow, Peer
from infra.platform import Platform
from infra.pods import container_security, pod, scratch
from infra.service import service
from infra.settings import EngineSettings
from infra.workloads import deployment
from monitoring.jaeger import OTLP_GRPC, OTLP_GRPC_PORT
from services.engine.argv import WRITABLE, argv, environment
from services.engine.model import SMOLLM2, Cpu, ModelSpec
from services.engine.probes import (
    Probe,
    drain,
    liveness_probe,
    pulumi_timeout_seconds,
    readiness_probe,
    startup_probe,
)
from services.engine.resources import pod_resources

_MODELS = {"smollm2": SMOLLM2}
_PORT = "http"
# Half a core each, so that a rollout's extra replica fits beside the old one on a node of two; under load each takes
# what is idle.
_LOCAL_CORES = 0.5


def model_spec(settings: EngineSettings) -> ModelSpec:
    """The served model, with what the stack file says of it. Raises InvalidModelError when the values do not fit."""
    return replace(
        _MODELS[settings.model],
        hardware=Cpu(cores=_LOCAL_CORES, kv_cache_gib=settings.kv_cache_gib),
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        drain_seconds=settings.drain_seconds,
        otlp_endpoint=OTLP_GRPC,
    )


def component(spec: ModelSpec) -> str:
    """Name of the engine's objects."""
    return f"engine-{spec.served_name}"


def replicas_dns(spec: ModelSpec) -> str:
    """A name that resolves to the address of every ready replica."""
    return f"{component(spec)}.{SERVING}.svc.cluster.local"


def target(identity: Identity, spec: ModelSpec) -> Target:
    """What Prometheus scrapes of it."""
    return Target(identity.of(component(spec), AlertTier.PAGE), SERVING, _PORT, spec.port)


class Engine(pulumi.ComponentResource):
    """`replicas` pods of one model behind a headless Service; the gateway chooses among them by itself."""

    def __init__(
        self,
        platform: Platform,
        namespace: pulumi.Input[str],
        spec: ModelSpec,
        replicas: int,
        weights_claim: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        name = component(spec)
        super().__init__("llmp:services:Engine", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(name, AlertTier.PAGE)
        # Ready replicas only: one that still loads its weights must get no request.
        service(identity, namespace, {_PORT: spec.port}, child, headless=True)
        network_policy.allow(
            identity,
            namespace,
            child,
            ingress=[Allow(Peer(SERVING, "gateway"), spec.port), Allow(Peer(MONITORING, "prometheus"), spec.port)],
            egress=[Allow(Peer(MONITORING, "jaeger"), OTLP_GRPC_PORT)],
        )
        if replicas > 1:
            policy.v1.PodDisruptionBudget(
                f"{name}-budget",
                metadata=meta.v1.ObjectMetaArgs(name=name, namespace=namespace, labels=identity.labels),
                spec=policy.v1.PodDisruptionBudgetSpecArgs(
                    max_unavailable=1, selector=meta.v1.LabelSelectorArgs(match_labels=identity.selector)
                ),
                opts=child,
            )
        timeout = f"{pulumi_timeout_seconds(spec) * max(replicas, 1)}s"
        deployment(
            identity,
            namespace,
            _pod(platform, spec, weights_claim),
            pulumi.ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout)),
            replicas=replicas,
            # Kubernetes' own patience is 600 s and would call a slow start failed before its probe does.
            progress_deadline_seconds=pulumi_timeout_seconds(spec),
        )
        self.register_outputs({})


def _pod(platform: Platform, spec: ModelSpec, weights_claim: pulumi.Input[str]) -> core.v1.PodSpecArgs:
    resources, stop = pod_resources(spec), drain(spec)
    limits = {"memory": f"{resources.memory_limit_gib}Gi"}
    requests = {"cpu": str(resources.cpu), "memory": f"{resources.memory_request_gib}Gi"}
    if resources.gpus:
        limits["nvidia.com/gpu"] = requests["nvidia.com/gpu"] = str(resources.gpus)
    return pod(
        grace_seconds=stop.termination_grace_seconds,
        containers=[
            core.v1.ContainerArgs(
                name="engine",
                image=platform.images["engine-cpu"],
                command=argv(spec),
                env=[core.v1.EnvVarArgs(name=key, value=value) for key, value in environment(spec).items()],
                ports=[core.v1.ContainerPortArgs(name=_PORT, container_port=spec.port)],
                resources=core.v1.ResourceRequirementsArgs(requests=requests, limits=limits),
                security_context=container_security(),
                volume_mounts=[
                    core.v1.VolumeMountArgs(name="weights", mount_path="/models", read_only=True),
                    core.v1.VolumeMountArgs(name="tmp", mount_path=WRITABLE),
                    core.v1.VolumeMountArgs(name="shm", mount_path="/dev/shm"),  # noqa: S108
                ],
                startup_probe=_probe(startup_probe(spec)),
                readiness_probe=_probe(readiness_probe(spec)),
                liveness_probe=_probe(liveness_probe(spec)),
                lifecycle=core.v1.LifecycleArgs(
                    pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=stop.pre_stop_seconds))
                ),
            )
        ],
        volumes=[
            core.v1.VolumeArgs(
                name="weights",
                persistent_volume_claim=core.v1.PersistentVolumeClaimVolumeSourceArgs(
                    claim_name=weights_claim, read_only=True
                ),
            ),
            scratch("tmp", resources.tmp_gib * 1024),
            scratch("shm", resources.shm_gib * 1024, memory=True),
        ],
    )


def _probe(probe: Probe) -> core.v1.ProbeArgs:
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=probe.path, port=probe.port),
        period_seconds=probe.period_seconds,
        timeout_seconds=probe.timeout_seconds,
        failure_threshold=probe.failure_threshold,
    )
