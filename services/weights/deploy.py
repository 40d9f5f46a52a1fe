"""The weights on a volume: a claim and the Job that fills it once. Engines mount it read-only."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import batch, core, meta

from infra.platform import Platform
from infra.pods import Size, container_security, pod, scratch
from services.engine.model import GIB, ModelSpec

COMPONENT = "weights"
_ROOT = "/models"
# Two copies fit while a damaged one is replaced.
_COPIES = 2


class Weights(pulumi.ComponentResource):
    """`claim` is the name of the volume claim that holds the model's folder once `job` is done: depend on it."""

    def __init__(
        self, platform: Platform, namespace: pulumi.Input[str], spec: ModelSpec, opts: pulumi.ResourceOptions
    ) -> None:
        name = f"{COMPONENT}-{spec.served_name}"
        super().__init__("llmp:services:Weights", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = platform.identity.of(COMPONENT)
        size = max(1, -(-_COPIES * spec.weight_bytes // GIB))
        claim = core.v1.PersistentVolumeClaim(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=name, namespace=namespace, labels=identity.labels),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=platform.storage_class,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{size}Gi"}),
            ),
            opts=child,
        )
        self.job = batch.v1.Job(
            name,
            metadata=meta.v1.ObjectMetaArgs(namespace=namespace, labels=identity.labels),
            spec=batch.v1.JobSpecArgs(
                backoff_limit=3,
                template=core.v1.PodTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(labels=identity.labels),
                    spec=pod(
                        restart_policy="Never",
                        containers=[
                            core.v1.ContainerArgs(
                                name=COMPONENT,
                                image=platform.images[COMPONENT],
                                args=["--target", spec.folder],
                                resources=Size(cpu_milli=200, memory_mib=1024, memory_limit_mib=2048).requirements(),
                                security_context=container_security(),
                                volume_mounts=[
                                    core.v1.VolumeMountArgs(name="weights", mount_path=_ROOT),
                                    core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
                                ],
                            )
                        ],
                        volumes=[
                            core.v1.VolumeArgs(
                                name="weights",
                                persistent_volume_claim=core.v1.PersistentVolumeClaimVolumeSourceArgs(
                                    claim_name=claim.metadata.name
                                ),
                            ),
                            scratch("tmp", 512),
                        ],
                    ),
                ),
            ),
            opts=child,
        )
        self.claim = claim.metadata.apply(lambda metadata: str(metadata.name))
        self.register_outputs({"claim": self.claim})
