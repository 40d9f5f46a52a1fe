"""Names for objects whose program gives none."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from infra.local.kubernetes_provider.values import UNKNOWN

AUTONAMED = "pulumi.com/autonamed"
_SUFFIX_DIGITS = 8
_MAXIMUM_LENGTH = 253  # of a DNS subdomain, the longest name that any kind takes


def is_autonamed(inputs: Mapping[str, Any]) -> bool:
    """Whether this provider chose the name in `inputs`."""
    annotations = (inputs.get("metadata") or {}).get("annotations")
    return isinstance(annotations, dict) and annotations.get(AUTONAMED) == "true"


def named(
    inputs: Mapping[str, Any], previous: Mapping[str, Any], resource_name: str, random_seed: bytes
) -> dict[str, Any]:
    """`inputs` with a name: the program's own, else the one chosen before, else `<prefix>-<8 hexadecimal digits>`.

    The prefix is `metadata.generateName`, or the Pulumi resource's name in lower case. The digits follow from
    `random_seed`, so that the preview and the update of one operation agree; without a seed they are random.
    """
    metadata = inputs.get("metadata") or {}
    if metadata == UNKNOWN or metadata.get("name"):
        return dict(inputs)
    annotations = metadata.get("annotations") or {}
    if annotations == UNKNOWN:
        annotations = {}
    name = (previous.get("metadata") or {}).get("name") if is_autonamed(previous) else None
    if not name:
        generate_name = metadata.get("generateName")
        prefix = str(generate_name) if generate_name and generate_name != UNKNOWN else f"{resource_name.lower()}-"
        seed = random_seed or os.urandom(32)
        suffix = hashlib.sha256(seed + prefix.encode()).hexdigest()[:_SUFFIX_DIGITS]
        name = prefix[: _MAXIMUM_LENGTH - _SUFFIX_DIGITS] + suffix
    return {
        **inputs,
        "metadata": {**metadata, "name": name, "annotations": {**annotations, AUTONAMED: "true"}},
    }
