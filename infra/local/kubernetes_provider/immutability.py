"""Which changes the Kubernetes API refuses on an existing object, so that it must be replaced.

Source: the update validation of the API server (`ValidateXUpdate` in k8s.io/kubernetes/pkg/apis/*/validation, v1.36)
for each kind below. Two rows are stricter than the API on purpose, as the published provider is: the contents of
ConfigMaps and Secrets are replaced by default, because a new name rolls the pods that read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.kubernetes_provider.paths import Path, value_at

_EXTERNAL_NAME = "ExternalName"


@dataclass(frozen=True, slots=True)
class Fixed:
    """Dotted field prefixes that cannot change, and exceptions below them that can; list positions are not counted."""

    fields: tuple[str, ...]
    but: tuple[str, ...] = ()

    def holds(self, path: Path) -> bool:
        """Whether the field at `path` cannot change."""
        keys = tuple(step for step in path if isinstance(step, str))
        return any(_covers(field, keys) for field in self.fields) and not any(
            _covers(field, keys) for field in self.but
        )


def _covers(field: str, keys: tuple[str, ...]) -> bool:
    prefix = tuple(field.split("."))
    return keys[: len(prefix)] == prefix


# `kind` and the group of `apiVersion` are compared apart: another version of one group serves the same object.
_EVERY_KIND = Fixed(("metadata.name", "metadata.namespace", "kind"))

_SELECTOR = Fixed(("spec.selector",))
_ROLE_REFERENCE = Fixed(("roleRef",))

_BY_KIND: dict[tuple[str, str], Fixed] = {
    ("", "ConfigMap"): Fixed(("data", "binaryData", "immutable")),
    ("", "Secret"): Fixed(("data", "stringData", "type", "immutable")),
    ("", "Service"): Fixed(("spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.loadBalancerClass")),
    ("", "PersistentVolumeClaim"): Fixed(("spec",), but=("spec.resources.requests", "spec.volumeAttributesClassName")),
    ("", "PersistentVolume"): Fixed(
        ("spec",),
        but=(
            "spec.capacity",
            "spec.accessModes",
            "spec.persistentVolumeReclaimPolicy",
            "spec.mountOptions",
            "spec.claimRef",
            "spec.storageClassName",
            "spec.volumeAttributesClassName",
        ),
    ),
    ("", "Pod"): Fixed(
        ("spec",),
        but=(
            "spec.containers.image",
            "spec.initContainers.image",
            "spec.activeDeadlineSeconds",
            "spec.tolerations",
        ),
    ),
    ("", "ResourceQuota"): Fixed(("spec.scopes", "spec.scopeSelector")),
    ("apps", "Deployment"): _SELECTOR,
    ("apps", "DaemonSet"): _SELECTOR,
    ("apps", "ReplicaSet"): _SELECTOR,
    ("apps", "StatefulSet"): Fixed(
        ("spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates")
    ),
    ("apps", "ControllerRevision"): Fixed(("data",)),
    ("batch", "Job"): Fixed(
        (
            "spec.selector",
            "spec.template",
            "spec.completions",
            "spec.completionMode",
            "spec.podFailurePolicy",
            "spec.successPolicy",
            "spec.backoffLimitPerIndex",
            "spec.maxFailedIndexes",
            "spec.managedBy",
        )
    ),
    ("rbac.authorization.k8s.io", "RoleBinding"): _ROLE_REFERENCE,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _ROLE_REFERENCE,
    ("storage.k8s.io", "StorageClass"): Fixed(("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")),
    ("storage.k8s.io", "VolumeAttachment"): Fixed(("spec",)),
    ("storage.k8s.io", "VolumeAttributesClass"): Fixed(("driverName", "parameters")),
    ("storage.k8s.io", "CSIDriver"): Fixed(("spec.attachRequired", "spec.volumeLifecycleModes")),
    ("scheduling.k8s.io", "PriorityClass"): Fixed(("value", "preemptionPolicy")),
    ("networking.k8s.io", "IngressClass"): Fixed(("spec.controller",)),
    ("node.k8s.io", "RuntimeClass"): Fixed(("handler",)),
    ("discovery.k8s.io", "EndpointSlice"): Fixed(("addressType",)),
    ("resource.k8s.io", "ResourceClaim"): Fixed(("spec",)),
    ("resource.k8s.io", "ResourceClaimTemplate"): Fixed(("spec",)),
    ("certificates.k8s.io", "CertificateSigningRequest"): Fixed(("spec",)),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Fixed(
        ("spec.group", "spec.scope", "spec.names.kind", "spec.names.plural")
    ),
}

_CONTENTS = ("data", "stringData", "binaryData")


def must_replace(
    path: Path,
    group: str,
    kind: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    mutable_contents: frozenset[str] = frozenset(),
) -> bool:
    """Whether a change at `path` from `old` to `new` (whole inputs) needs a new object.

    `mutable_contents` names the kinds among ConfigMap and Secret whose contents may change in place (the provider's
    `enableConfigMapMutable` and `enableSecretMutable`); an object with `immutable: true` is replaced all the same.
    """
    if _EVERY_KIND.holds(path):
        return True
    if path == ("apiVersion",):
        return str(old.get("apiVersion")).rpartition("/")[0] != str(new.get("apiVersion")).rpartition("/")[0]
    fixed = _BY_KIND.get((group, kind))
    if kind in mutable_contents and group == "" and path[0] in _CONTENTS and not old.get("immutable"):
        return False
    if (group, kind) == ("", "Service") and path == ("spec", "type"):
        # Becoming an ExternalName, or ceasing to be one, loses or gains the address: clients see another Service.
        return _EXTERNAL_NAME in (value_at(old, path), value_at(new, path))
    if group == "" and kind in ("ConfigMap", "Secret") and path == ("immutable",) and not old.get("immutable"):
        return False  # sealing an open object is an ordinary update; only opening a sealed one is refused
    return fixed is not None and fixed.holds(path)
