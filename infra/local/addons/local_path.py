"""The default StorageClass: volumes are folders of the node, made by local-path-provisioner."""

from __future__ import annotations

import json

import pulumi
from pulumi_kubernetes import core, meta, storage

from infra.accounts import cluster_account, rule
from infra.identity import AlertTier, Identity
from infra.local.cluster.layout import Layout
from infra.pods import Size, container_security, pod
from infra.volumes import config_volume
from infra.workloads import deployment

COMPONENT = "local-path-provisioner"
STORAGE_CLASS = "local-path"
_NAMESPACE = "local-path-storage"
_LAST_VOLUMES_SECONDS = 15
_MANAGE = ("get", "list", "watch", "create", "patch", "update", "delete")


class LocalPathStorage(pulumi.ComponentResource):
    """`image` is the provisioner's, `helper` one with a shell, in which folders are made and removed."""

    def __init__(
        self, identity: Identity, layout: Layout, image: str, helper: str, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("llmp:local:LocalPathStorage", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = identity.of(COMPONENT, AlertTier.NOTIFY)
        namespace = core.v1.Namespace(
            _NAMESPACE,
            metadata=meta.v1.ObjectMetaArgs(
                name=_NAMESPACE,
                # The pods that make and remove a volume's folder mount the node's: nothing else runs here.
                labels={**identity.labels, "pod-security.kubernetes.io/enforce": "privileged"},
            ),
            opts=child,
        ).metadata.name
        binding = cluster_account(
            identity,
            namespace,
            [
                rule("", ("nodes", "persistentvolumeclaims")),
                rule("", ("persistentvolumes",), _MANAGE),
                rule("", ("events",), ("create", "patch")),
                rule("storage.k8s.io", ("storageclasses",)),
            ],
            child,
            # Pods of this namespace may mount the node: nobody else's namespace is its business.
            at_home=[
                rule("", ("configmaps", "pods/log")),
                rule("", ("pods", "endpoints"), _MANAGE),
                rule("coordination.k8s.io", ("leases",), _MANAGE),
            ],
        )
        config = core.v1.ConfigMap(
            f"{COMPONENT}-config",
            metadata=meta.v1.ObjectMetaArgs(name="local-path-config", namespace=namespace, labels=identity.labels),
            data={
                "config.json": json.dumps(
                    {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(layout.volumes)]}]}
                ),
                "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
                "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
                "helperPod.yaml": json.dumps(_helper_pod(helper)),
            },
            opts=child,
        )
        container = core.v1.ContainerArgs(
            name="provisioner",
            image=image,
            args=["start", "--config", "/etc/config/config.json"],
            env=[
                core.v1.EnvVarArgs(name="SERVICE_ACCOUNT_NAME", value=COMPONENT),
                core.v1.EnvVarArgs(
                    name="POD_NAMESPACE",
                    value_from=core.v1.EnvVarSourceArgs(
                        field_ref=core.v1.ObjectFieldSelectorArgs(field_path="metadata.namespace")
                    ),
                ),
            ],
            # The claims are gone when this is deleted, their volumes not yet: go on until they are.
            lifecycle=core.v1.LifecycleArgs(
                pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=_LAST_VOLUMES_SECONDS))
            ),
            resources=Size(cpu_milli=10, memory_mib=48, memory_limit_mib=128).requirements(),
            security_context=container_security(),
            volume_mounts=[core.v1.VolumeMountArgs(name="config", mount_path="/etc/config", read_only=True)],
        )
        deployment(
            identity,
            namespace,
            pod(
                account=COMPONENT,
                containers=[container],
                volumes=[config_volume("config", config)],
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[binding]),
        )
        storage.v1.StorageClass(
            "local-path-class",
            metadata=meta.v1.ObjectMetaArgs(
                name=STORAGE_CLASS,
                labels=identity.labels,
                annotations={"storageclass.kubernetes.io/is-default-class": "true"},
            ),
            provisioner="rancher.io/local-path",
            volume_binding_mode="WaitForFirstConsumer",
            reclaim_policy="Delete",
            opts=child,
        )
        self.register_outputs({})


def _helper_pod(image: str) -> dict[str, object]:
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
    container = {
        "name": "helper-pod",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {"containers": [container]},
    }
