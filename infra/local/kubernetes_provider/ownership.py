"""Who owns which field of an object: server-side apply's managers."""

import copy
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.kubernetes_provider.errors import ApiRefusalError, ProviderError
from infra.local.kubernetes_provider.kinds import describe, object_id
from infra.local.kubernetes_provider.paths import Path, parse_path, value_at

PATCH_FORCE = "pulumi.com/patchForce"
_MANAGER_PREFIX = "pulumi-kubernetes-"
_MESSAGE_END = 500  # characters


def field_manager(urn: str) -> str:
    """The manager under which the resource with this URN applies its object: the same in every run."""
    return f"{_MANAGER_PREFIX}{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def applied_by(live: Mapping[str, Any], manager: str) -> bool:
    """Whether `manager` has applied this object before."""
    return any(
        entry.get("manager") == manager and entry.get("operation") == "Apply"
        for entry in live["metadata"].get("managedFields") or []
    )


def refused_because_it_exists(live: Mapping[str, Any]) -> ProviderError:
    """The error for a create that meets somebody else's object."""
    managers = sorted({str(entry.get("manager")) for entry in live["metadata"].get("managedFields") or []})
    renamed = "If it is this program's under an earlier resource name, say so: opts=ResourceOptions(aliases=[...]). "
    return ProviderError(
        f"{describe(live)} already exists and is not this resource's (managers: {', '.join(managers) or 'none'}). "
        + (renamed if any(name.startswith(_MANAGER_PREFIX) for name in managers) else "")
        + f"To take it over, import it: opts=ResourceOptions(import_={object_id(live)!r}), or `pulumi import`; "
        "to leave it alone, choose another metadata.name (or none, for a generated one); "
        "or delete the object. The provider option upsertExistingObjects overwrites existing objects."
    )


def explained(refusal: ApiRefusalError, manifest: Mapping[str, Any]) -> ProviderError:
    """The API server's refusal of `manifest`, with the object's name and the mend."""
    conflicts = [cause for cause in refusal.causes if cause.get("reason") == "FieldManagerConflict"]
    if conflicts:
        lines = "".join(f"\n  {cause.get('field')}: {cause.get('message')}" for cause in conflicts)
        return ProviderError(
            f"{describe(manifest)}: another manager owns fields that this program sets:{lines}\n"
            "Leave the field to its owner (remove it here, or opts=ResourceOptions(ignore_changes=[...])), "
            f'or take it over with the annotation {PATCH_FORCE}: "true".'
        )
    mend = ""
    if "unknown field" in refusal.api_message or "field not declared in schema" in refusal.api_message:
        mend = " The API server knows no such field: check its spelling, its place and the object's apiVersion."
    elif refusal.code == 403:
        mend = " The credentials in the kubeconfig may not do this: grant the verb, or use other credentials."
    elif is_absent_namespace(refusal):
        mend = " Create the namespace first (in the same program: take metadata.namespace from the Namespace resource)."
    return ProviderError(f"{describe(manifest)}: {_shortened(refusal.api_message)}{mend}")


def _shortened(message: str) -> str:
    """A refused pod template is printed by the server in full; what is wrong stands at the beginning and the end."""
    if len(message) <= 2 * _MESSAGE_END:
        return message
    return f"{message[:_MESSAGE_END]} ... {message[-_MESSAGE_END:]}"


def is_absent_namespace(refusal: ApiRefusalError) -> bool:
    """Whether the API server refused an object because its namespace does not exist."""
    return refusal.code == 404 and refusal.api_message.startswith("namespaces ")


def forced(inputs: Mapping[str, Any], default: bool) -> bool:
    """Whether an apply overrides other managers: the object's annotation, else the provider's `enablePatchForce`."""
    annotation = value_at(inputs, ("metadata", "annotations", PATCH_FORCE))
    return default if annotation is None else str(annotation).lower() == "true"


def leaving_to_others(
    manifest: Mapping[str, Any], ignored: Iterable[str], live: Mapping[str, Any], manager: str
) -> dict[str, Any]:
    """`manifest` without the ignored fields (`ignore_changes`) that `manager` does not own in `live`.

    An ignored field of ours is sent with its live value: left out, server-side apply would remove it; sent with another
    manager's field, it would be a conflict with, say, an autoscaler that owns `spec.replicas`.
    """
    kept: dict[str, Any] = copy.deepcopy(dict(manifest))
    owned = _owned_fields(live, manager)
    for text in ignored:
        path = parse_path(text)
        parent = value_at(kept, path[:-1])
        present = isinstance(parent, dict) and path[-1] in parent
        if not present:
            continue
        current = value_at(live, path)
        if current is not None and _owns(owned, path):
            parent[path[-1]] = current
        else:
            del parent[path[-1]]
    return kept


def _owned_fields(live: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            return fields
    return {}


def _owns(fields: Mapping[str, Any], path: Path) -> bool:
    for step in path:
        if isinstance(step, int):
            return True  # items are owned by their keys, not positions; the list's owner stands for them
        child = fields.get(f"f:{step}")
        if child is None:
            return False
        fields = child
    return True
