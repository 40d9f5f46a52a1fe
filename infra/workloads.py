"""Deployments and StatefulSets as every part of ours has them: named and labelled by the part's identity."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi
from pulumi_kubernetes import apps, core, meta

from infra.identity import Identity

# A rollout starts a new replica first and takes an old one away once it is ready: capacity never drops.
ONE_MORE = apps.v1.DeploymentStrategyArgs(
    rolling_update=apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
)
# For what keeps its data in memory: two at once would each know a half.
ONE_AT_MOST = apps.v1.DeploymentStrategyArgs(type="Recreate")


def _template(identity: Identity, pod: core.v1.PodSpecArgs) -> core.v1.PodTemplateSpecArgs:
    return core.v1.PodTemplateSpecArgs(metadata=meta.v1.ObjectMetaArgs(labels=identity.labels), spec=pod)


def deployment(
    identity: Identity,
    namespace: pulumi.Input[str],
    pod: core.v1.PodSpecArgs,
    opts: pulumi.ResourceOptions,
    *,
    replicas: int = 1,
    strategy: apps.v1.DeploymentStrategyArgs = ONE_MORE,
    progress_deadline_seconds: int | None = None,
) -> apps.v1.Deployment:
    """A Deployment of the part."""
    return apps.v1.Deployment(
        identity.component,
        metadata=meta.v1.ObjectMetaArgs(name=identity.component, namespace=namespace, labels=identity.labels),
        spec=apps.v1.DeploymentSpecArgs(
            replicas=replicas,
            strategy=strategy,
            progress_deadline_seconds=progress_deadline_seconds,
            selector=meta.v1.LabelSelectorArgs(match_labels=identity.selector),
            template=_template(identity, pod),
        ),
        opts=opts,
    )


def stateful_set(
    identity: Identity,
    namespace: pulumi.Input[str],
    pod: core.v1.PodSpecArgs,
    claims: Iterable[core.v1.PersistentVolumeClaimArgs],
    opts: pulumi.ResourceOptions,
) -> apps.v1.StatefulSet:
    """A StatefulSet of one replica with volumes of its own.

    `Parallel`, because with the default order an update waits for a pod that is not ready, and so for ever for the
    broken one that it was to mend.
    """
    return apps.v1.StatefulSet(
        identity.component,
        metadata=meta.v1.ObjectMetaArgs(name=identity.component, namespace=namespace, labels=identity.labels),
        spec=apps.v1.StatefulSetSpecArgs(
            replicas=1,
            service_name=identity.component,
            pod_management_policy="Parallel",
            selector=meta.v1.LabelSelectorArgs(match_labels=identity.selector),
            volume_claim_templates=list(claims),
            # A claim would outlive its set, and `destroy` promises to leave nothing.
            persistent_volume_claim_retention_policy=apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                when_deleted="Delete", when_scaled="Retain"
            ),
            template=_template(identity, pod),
        ),
        opts=opts,
    )
