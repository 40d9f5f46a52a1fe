"""What a program asks for: one object, with all that decides how it is applied and waited for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue

from infra.local.kubernetes_provider.manifest import FIELD_MANAGER, INITIAL_API_VERSION, recorded, recorded_text
from infra.local.kubernetes_provider.ownership import field_manager
from infra.local.kubernetes_provider.patience import timeout_seconds
from infra.local.kubernetes_provider.values import to_plain_map

Properties = dict[str, PropertyValue]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that a program asks for; `plain` is `inputs` as JSON, `seconds` how long to wait for its readiness."""

    urn: str
    inputs: Properties
    plain: dict[str, Any]
    manager: str
    initial_api_version: str
    seconds: float

    @classmethod
    def of(cls, urn: str, inputs: Properties, state: Properties, custom_timeout_seconds: float = 0) -> "Wanted":
        """The request for `inputs`, whose object was last recorded as `state` (empty for a new one)."""
        plain = to_plain_map(inputs)
        return cls(
            urn,
            inputs,
            plain,
            # As recorded, for an alias changes the URN and must not change the owner of the fields.
            manager=recorded_text(state, FIELD_MANAGER) or field_manager(urn),
            initial_api_version=recorded_text(state, INITIAL_API_VERSION) or str(plain["apiVersion"]),
            seconds=timeout_seconds(plain, custom_timeout_seconds),
        )

    @property
    def api_version(self) -> str:
        """The object's apiVersion."""
        return str(self.plain["apiVersion"])

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.plain["kind"])

    @property
    def name(self) -> str:
        """The object's name, which check has made sure of."""
        return str(self.plain["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        """The object's namespace; None for an object outside all."""
        namespace = self.plain["metadata"].get("namespace")
        return None if namespace is None else str(namespace)

    def kept(self, live: Mapping[str, Any]) -> Properties:
        """The state to record for the object as it is."""
        return recorded(live, self.inputs, self.manager, self.initial_api_version)
