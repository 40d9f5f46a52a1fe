"""The annotation `pulumi.com/waitFor`: a program's own words for when an object, mostly a custom resource, is ready."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.kubernetes_provider.errors import ProviderError
from infra.local.kubernetes_provider.paths import parse_path, value_at

WAIT_FOR = "pulumi.com/waitFor"
_CONDITION = re.compile(r"condition=([^=]+)(?:=(\w+))?")
_FIELD = re.compile(r"jsonpath=\{\.(.+?)\}(?:=(.*))?")


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing to become true: a condition with a status, or a field with a value (None: any value)."""

    text: str
    condition: str | None
    field: str | None
    wanted: str | None

    def is_met_by(self, obj: Mapping[str, Any]) -> bool:
        """Whether `obj`, as last read, fulfils it."""
        if self.condition is not None:
            conditions = (obj.get("status") or {}).get("conditions") or []
            return any(
                item.get("type") == self.condition
                and str(item.get("status")).lower() == (self.wanted or "true").lower()
                for item in conditions
            )
        found = value_at(obj, parse_path(self.field or ""))
        return found is not None and (self.wanted is None or _as_text(found) == self.wanted)


def asked_for(obj: Mapping[str, Any]) -> list[Wish] | None:
    """What the object's annotation asks for, all of which must hold; None without the annotation.

    As in the published provider it is `condition=Ready`, `condition=Ready=False`, `jsonpath={.status.phase}=Running`,
    `jsonpath={.status.phase}`, or a JSON list of these. Raises ProviderError for anything else; of JSONPath, only plain
    paths are understood.
    """
    text = value_at(obj, ("metadata", "annotations", WAIT_FOR))
    if text is None:
        return None
    texts = json.loads(text) if str(text).startswith("[") else [text]
    return [_parsed(str(each)) for each in texts]


def _parsed(text: str) -> Wish:
    if match := _CONDITION.fullmatch(text):
        return Wish(text, match[1], None, match[2])
    if match := _FIELD.fullmatch(text):
        try:
            parse_path(match[1])
        except ValueError as error:
            raise ProviderError(f"annotation {WAIT_FOR}: {text!r}: only plain paths are understood") from error
        return Wish(text, None, match[1], match[2])
    raise ProviderError(
        f"annotation {WAIT_FOR}: {text!r} is neither `condition=Ready`, `condition=Ready=False`, "
        "`jsonpath={.status.phase}=Running` nor a JSON list of these"
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
