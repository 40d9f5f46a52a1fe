"""What the cluster holds in the fields that a program sets."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity

# The API server writes quantities in its own canonical form ("1024Mi" becomes "1Gi"); below these keys equal amounts
# are equal.
_QUANTITY_HOLDERS = frozenset(
    {
        "requests",
        "limits",
        "hard",
        "capacity",
        "sizeLimit",
        "averageValue",
        "default",
        "defaultRequest",
        "min",
        "max",
    }
)
_SERVER_METADATA = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
    "ownerReferences",
)


def without_server_fields(live: Mapping[str, Any]) -> dict[str, Any]:
    """What a person would have written to get `live`: no status, no metadata that only the server sets."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _SERVER_METADATA}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def live_inputs(inputs: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """`inputs` with each value replaced by what `live` holds there, so that a difference is drift in a field of ours.

    Values that the server merely writes in another form, and empty values that it leaves out, count as unchanged.
    A Secret's `stringData`, which the server folds into `data`, is read back from there.
    """
    found: dict[str, Any] = _observed(inputs, live, "")
    if inputs.get("kind") == "Secret" and isinstance(inputs.get("stringData"), Mapping):
        data = live.get("data") or {}
        found["stringData"] = {key: _decoded(data[key]) for key in inputs["stringData"] if key in data}
    return found


def _observed(value: Any, live: Any, key: str) -> Any:
    if isinstance(value, Mapping) and isinstance(live, Mapping):
        return {
            # The server leaves an empty value out, or writes null for it.
            name: item if live.get(name) is None else _observed(item, live[name], _holder(key, name))
            for name, item in value.items()
            if live.get(name) is not None or not item
        }
    if isinstance(value, list) and isinstance(live, list) and len(value) == len(live):
        return [_observed(a, b, key) for a, b in zip(value, live, strict=True)]
    if key in _QUANTITY_HOLDERS and _same_quantity(value, live):
        return value
    return live


def _holder(parent: str, key: str) -> str:
    return parent if parent in _QUANTITY_HOLDERS else key


def _same_quantity(value: Any, live: Any) -> bool:
    if not isinstance(value, str | int | float) or not isinstance(live, str | int | float):
        return False
    try:
        return bool(parse_quantity(value) == parse_quantity(live))  # type: ignore[no-untyped-call]
    except ValueError:
        return False


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return data
