"""What differs between the inputs of the last update and those of this one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pulumi.provider.experimental.provider import PropertyDiff, PropertyDiffKind

from infra.local.kubernetes_provider.autoname import is_autonamed
from infra.local.kubernetes_provider.immutability import must_replace
from infra.local.kubernetes_provider.kinds import group_of
from infra.local.kubernetes_provider.paths import Path, format_path, value_at


class Edit(Enum):
    """How a field changed."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Change:
    """One changed field."""

    path: Path
    edit: Edit
    replaces: bool

    def as_property_diff(self) -> PropertyDiff:
        """The protocol's form of this change."""
        name = self.edit.name + ("_REPLACE" if self.replaces else "")
        return PropertyDiff(kind=PropertyDiffKind[name], input_diff=True)


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes of a resource, and in which order a replacement must go."""

    items: tuple[Change, ...]
    delete_before_replace: bool

    @property
    def paths(self) -> list[str]:
        """The changed fields, as Pulumi writes paths."""
        return [format_path(change.path) for change in self.items]

    @property
    def properties(self) -> list[str]:
        """The changed top-level properties: what the engine shows on one line."""
        return sorted({str(change.path[0]) for change in self.items})

    @property
    def replacing_paths(self) -> list[str]:
        """The fields whose change needs a new object."""
        return [format_path(change.path) for change in self.items if change.replaces]


def changes_between(
    old: Mapping[str, Any], new: Mapping[str, Any], *, mutable_contents: frozenset[str] = frozenset()
) -> Changes:
    """The changes from `old` to `new` inputs (plain values; an unknown value counts as changed).

    A replacement under the same explicit name must delete first, because two objects cannot share a name; with a name
    of our own choosing the new object comes first.
    """
    group, kind = group_of(str(new.get("apiVersion", ""))), str(new.get("kind", ""))
    items = tuple(
        Change(path, edit, must_replace(path, group, kind, old, new, mutable_contents=mutable_contents))
        for path, edit in _edits((), old, new)
    )
    replaces = any(change.replaces for change in items)
    same_place = all(
        value_at(old, path) == value_at(new, path) for path in (("metadata", "name"), ("metadata", "namespace"))
    )
    return Changes(items, delete_before_replace=replaces and same_place and not is_autonamed(new))


def _edits(path: Path, old: Any, new: Any) -> Iterator[tuple[Path, Edit]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            if key not in new:
                yield (*path, key), Edit.DELETE
            elif key not in old:
                yield (*path, key), Edit.ADD
            else:
                yield from _edits((*path, key), old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            if index >= len(new):
                yield (*path, index), Edit.DELETE
            elif index >= len(old):
                yield (*path, index), Edit.ADD
            else:
                yield from _edits((*path, index), old[index], new[index])
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, Edit.UPDATE
