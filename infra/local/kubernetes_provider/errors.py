"""What this provider tells the person at the terminal when it cannot go on."""

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue


class ProviderError(Exception):
    """A refusal whose message names the object, the reason and the mend; nothing was changed in the cluster."""


class ClusterUnreachableError(ProviderError):
    """No answer from the API server."""


class UnknownKindError(ProviderError):
    """The API server does not serve this kind."""

    def __init__(self, api_version: str, kind: str, *, group_served: bool) -> None:
        self.api_version = api_version
        self.kind = kind
        why = "that version is served but has no such kind" if group_served else "that version is not served at all"
        super().__init__(
            f"the cluster has no kind {kind!r} in apiVersion {api_version!r} ({why}). "
            "Check the spelling and the cluster's version; for a custom resource, create its CustomResourceDefinition "
            "first (in the same program: opts=ResourceOptions(depends_on=[the CRD]))."
        )


class ApiRefusalError(ProviderError):
    """The API server answered with a failure Status."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.reason = str(status.get("reason") or "")
        self.api_message = str(status.get("message") or f"HTTP {code}")
        self.causes: Sequence[Mapping[str, Any]] = (status.get("details") or {}).get("causes") or []
        super().__init__(self.api_message)


class InitializationError(ProviderError):
    """The object exists but did not become ready. The engine keeps it, and goes on with it in the next update."""

    def __init__(
        self,
        resource_id: str,
        properties: dict[str, PropertyValue],
        inputs: dict[str, PropertyValue],
        reasons: Sequence[str],
    ) -> None:
        self.resource_id = resource_id
        self.properties = properties
        self.inputs = inputs
        self.reasons = list(reasons)
        super().__init__("\n".join(reasons))
