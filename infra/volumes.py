"""Configuration and claims as volumes."""

from __future__ import annotations

from pulumi_kubernetes import core, meta


def config_volume(name: str, config: core.v1.ConfigMap) -> core.v1.VolumeArgs:
    """A ConfigMap's files. Its name carries a random suffix, so a changed file rolls the pods that mount it."""
    return core.v1.VolumeArgs(name=name, config_map=core.v1.ConfigMapVolumeSourceArgs(name=config.metadata.name))


def claim(name: str, gibibytes: int, storage_class: str | None) -> core.v1.PersistentVolumeClaimArgs:
    """A claim template of a StatefulSet; `storage_class` None takes the cluster's default."""
    return core.v1.PersistentVolumeClaimArgs(
        metadata=meta.v1.ObjectMetaArgs(name=name),
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{gibibytes}Gi"}),
        ),
    )
