"""Objects as they are sent to the API server, and resources as they are recorded in the state."""

import base64
from collections.abc import Mapping
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue

from infra.local.kubernetes_provider.paths import value_at
from infra.local.kubernetes_provider.values import UNKNOWN, fields_of, from_plain, secret_at, to_plain, with_secrets_of

INPUTS = "__inputs"
FIELD_MANAGER = "__fieldManager"
INITIAL_API_VERSION = "__initialApiVersion"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SECRET_FIELDS = (("data",), ("stringData",), ("metadata", "annotations", _LAST_APPLIED))


def manifest_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The object to apply for `inputs`.

    A Secret's `stringData` is folded into `data` here: the server would do it too, but then no manager owned the keys
    in `data`, and a key that the program drops would stay.
    """
    manifest = {key: value for key, value in inputs.items() if not key.startswith("__")}
    if manifest.get("kind") == "Secret" and manifest.get("apiVersion") == "v1" and "stringData" in manifest:
        texts = manifest.pop("stringData") or {}
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
        manifest["data"] = {**(manifest.get("data") or {}), **encoded}
    return manifest


def guarded(values: Mapping[str, PropertyValue], kind: str) -> dict[str, PropertyValue]:
    """`values` with what is secret by nature marked: the contents of Secrets, whatever the program said of them."""
    if kind != "Secret":
        return dict(values)
    whole = PropertyValue(dict(values))
    for path in _SECRET_FIELDS:
        whole = secret_at(whole, *path)
    return fields_of(whole)


def recorded(
    live: Mapping[str, Any], inputs: Mapping[str, PropertyValue], manager: str, initial_api_version: str
) -> dict[str, PropertyValue]:
    """The state to keep: the live object without its managers, and `inputs`, against which the next diff compares."""
    shown = {**live, "metadata": {key: value for key, value in live["metadata"].items() if key != "managedFields"}}
    kind = str(live.get("kind"))
    outputs = with_secrets_of(from_plain(shown), PropertyValue(dict(inputs)))
    return {
        **guarded(fields_of(outputs), kind),
        INPUTS: PropertyValue(guarded(inputs, kind)),
        FIELD_MANAGER: PropertyValue(manager),
        INITIAL_API_VERSION: PropertyValue(initial_api_version),
    }


def recorded_inputs(state: Mapping[str, PropertyValue]) -> dict[str, PropertyValue] | None:
    """The inputs kept by `recorded`; None for a state that holds none (an imported resource)."""
    kept = state.get(INPUTS)
    return dict(kept.value) if kept is not None and isinstance(kept.value, Mapping) else None


def recorded_text(state: Mapping[str, PropertyValue], key: str) -> str | None:
    """A text entry of the state, such as the field manager."""
    value = state.get(key)
    text = to_plain(value) if value is not None else None
    return text if isinstance(text, str) else None


def foreseen(inputs: Mapping[str, Any], dry_run: Mapping[str, Any] | None) -> dict[str, Any]:
    """The outputs that a preview of a create can promise: all that the real run chooses anew is unknown."""
    seen = dict(dry_run or inputs)
    metadata = {key: value for key, value in seen.get("metadata", {}).items() if key != "managedFields"}
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation"):
        metadata[key] = UNKNOWN
    seen["metadata"] = metadata
    if "spec" in seen:
        seen["status"] = UNKNOWN
    if seen.get("kind") == "Service" and isinstance(seen.get("spec"), dict):
        seen["spec"] = _foreseen_service(seen["spec"], value_at(inputs, ("spec",)) or {})
    return seen


def _foreseen_service(spec: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    seen = dict(spec)
    for key in ("clusterIP", "clusterIPs", "healthCheckNodePort"):
        if key not in wanted:
            seen[key] = UNKNOWN
    wanted_ports = wanted.get("ports") or []
    ports = []
    for index, port in enumerate(spec.get("ports") or []):
        asked = wanted_ports[index] if index < len(wanted_ports) else {}
        ports.append({**port, "nodePort": UNKNOWN} if "nodePort" in port and "nodePort" not in asked else port)
    if ports:
        seen["ports"] = ports
    return seen
