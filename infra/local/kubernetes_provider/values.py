"""Pulumi property values and plain JSON values, into each other, without losing what is secret or unknown."""

from collections.abc import Mapping
from typing import Any

from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN

# The experimental API leaves the wire's marker for "known after the update" as this string and cannot marshal its own
# `Computed`; the string therefore stands for an unknown value everywhere in this package.
__all__ = [
    "UNKNOWN",
    "fields_of",
    "from_plain",
    "has_unknowns",
    "secret_at",
    "to_plain",
    "to_plain_map",
    "with_secrets_of",
]


def to_plain(value: PropertyValue) -> Any:
    """The JSON value inside `value`: integral numbers as int, null entries left out, unknowns as `UNKNOWN`."""
    inner = value.value
    if inner is None or isinstance(inner, bool | str):
        return inner
    if isinstance(inner, float):
        return int(inner) if inner.is_integer() else inner
    if isinstance(inner, Computed):
        return UNKNOWN
    if isinstance(inner, Mapping):
        return to_plain_map(inner)
    if isinstance(inner, tuple):
        return [to_plain(item) for item in inner]
    raise TypeError(f"a Kubernetes object cannot hold a {type(inner).__name__}; give its text or number instead")


def to_plain_map(values: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """`to_plain` for the top level of a resource."""
    return {key: to_plain(item) for key, item in values.items() if item.value is not None}


def from_plain(value: Any) -> PropertyValue:
    """The property value of a JSON value; nothing in it is secret."""
    if isinstance(value, Mapping):
        return PropertyValue({key: from_plain(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return PropertyValue([from_plain(item) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)


def fields_of(value: PropertyValue) -> dict[str, PropertyValue]:
    """The entries of an object. Raises TypeError for anything else."""
    if not isinstance(value.value, Mapping):
        raise TypeError(f"expected an object, not {value.type.value}")
    return dict(value.value)


def has_unknowns(value: Any) -> bool:
    """Whether a plain value holds something that is only known after the update."""
    if isinstance(value, Mapping):
        return any(has_unknowns(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknowns(item) for item in value)
    return bool(value == UNKNOWN)


def with_secrets_of(value: PropertyValue, *sources: PropertyValue | None) -> PropertyValue:
    """`value`, secret wherever one of `sources` is secret at the same path.

    A list whose length differs from its source's cannot be matched item by item; it is then secret as a whole if any
    item was.
    """
    for source in sources:
        if source is not None:
            value = _with_secrets(value, source)
    return value


def _with_secrets(value: PropertyValue, source: PropertyValue) -> PropertyValue:
    if source.is_secret:
        return value.with_secret(True)
    if isinstance(value.value, Mapping) and isinstance(source.value, Mapping):
        marked = dict(value.value)
        for key, item in source.value.items():
            if key in marked:
                marked[key] = _with_secrets(marked[key], item)
        return value.with_value(marked)
    if isinstance(value.value, tuple) and isinstance(source.value, tuple):
        if len(value.value) != len(source.value):
            return value.with_secret(value.is_secret or source.contains_secret())
        return value.with_value([_with_secrets(a, b) for a, b in zip(value.value, source.value, strict=True)])
    return value


def secret_at(value: PropertyValue, *path: str) -> PropertyValue:
    """`value` with the entry at `path` made secret, if there is one."""
    if not path:
        return value.with_secret(True)
    if not isinstance(value.value, Mapping) or path[0] not in value.value:
        return value
    return value.with_value({**value.value, path[0]: secret_at(value.value[path[0]], *path[1:])})
