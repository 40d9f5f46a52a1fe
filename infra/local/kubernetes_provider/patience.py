"""How long to wait for an object, and whether to."""

import re
from collections.abc import Mapping
from typing import Any

from infra.local.kubernetes_provider.errors import ProviderError
from infra.local.kubernetes_provider.paths import value_at

SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
DELETION_PROPAGATION = "pulumi.com/deletionPropagationPolicy"
_DEFAULT_SECONDS = 600.0
_OWNING_GROUPS = frozenset({"apps", "batch"})
_PROPAGATIONS = {"foreground": "Foreground", "background": "Background", "orphan": "Orphan"}


def _annotation(inputs: Mapping[str, Any], name: str) -> str | None:
    value = value_at(inputs, ("metadata", "annotations", name))
    return None if value is None else str(value)


def skips_await(inputs: Mapping[str, Any]) -> bool:
    """Whether the program asks not to wait for this object's readiness or removal."""
    return (_annotation(inputs, SKIP_AWAIT) or "").lower() == "true"


def timeout_seconds(inputs: Mapping[str, Any], custom_timeout_seconds: float) -> float:
    """Seconds to wait: the resource's customTimeouts (0 where it has none), else the annotation, else ten minutes."""
    if custom_timeout_seconds > 0:
        return custom_timeout_seconds
    text = _annotation(inputs, TIMEOUT_SECONDS)
    if text is None:
        return _DEFAULT_SECONDS
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise ProviderError(f"annotation {TIMEOUT_SECONDS} must be a positive number of seconds, not {text!r}")
    return float(text)


def propagation(inputs: Mapping[str, Any], group: str) -> str:
    """How a delete treats dependents: the annotation's foreground, background or orphan; else what suits the API group.

    Workloads and custom resources go foreground: gone only when their pods are, so that the next object of that name
    does not meet the old one's. What owns nothing goes background, which saves the garbage collector's round trip.
    """
    text = _annotation(inputs, DELETION_PROPAGATION)
    if text is None:
        return "Foreground" if group in _OWNING_GROUPS or _is_custom(group) else "Background"
    if text.lower() not in _PROPAGATIONS:
        raise ProviderError(
            f"annotation {DELETION_PROPAGATION} must be one of {', '.join(sorted(_PROPAGATIONS))}, not {text!r}"
        )
    return _PROPAGATIONS[text.lower()]


def _is_custom(group: str) -> bool:
    return "." in group and not group.endswith(".k8s.io")
