"""Creating, updating, reading and deleting one object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue

from infra.local.kubernetes_provider.applying import Applier
from infra.local.kubernetes_provider.cluster import Cluster
from infra.local.kubernetes_provider.configuration import ProviderSettings
from infra.local.kubernetes_provider.drift import live_inputs, without_server_fields
from infra.local.kubernetes_provider.engine import Engine
from infra.local.kubernetes_provider.errors import (
    ApiRefusalError,
    ClusterUnreachableError,
    InitializationError,
    ProviderError,
    UnknownKindError,
)
from infra.local.kubernetes_provider.kinds import ApiKind, describe, group_of, object_id, split_id
from infra.local.kubernetes_provider.manifest import (
    FIELD_MANAGER,
    INITIAL_API_VERSION,
    INPUTS,
    guarded,
    manifest_of,
    recorded,
    recorded_inputs,
    recorded_text,
)
from infra.local.kubernetes_provider.ownership import field_manager
from infra.local.kubernetes_provider.patience import propagation, skips_await, timeout_seconds
from infra.local.kubernetes_provider.readiness import Readiness
from infra.local.kubernetes_provider.values import fields_of, from_plain, to_plain_map, with_secrets_of
from infra.local.kubernetes_provider.waiting import NotReadyError, Waiter
from infra.local.kubernetes_provider.wanted import Properties, Wanted


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as the engine keeps it."""

    resource_id: str
    properties: Properties
    inputs: Properties


class Lifecycle:
    """The life of objects in one cluster. Methods raise ProviderError, naming the object and the mend."""

    def __init__(
        self,
        cluster: Cluster,
        applier: Applier,
        settings: ProviderSettings,
        default_namespace: str,
        *,
        engine: Engine,
        waiter: Waiter,
    ) -> None:
        self._cluster = cluster
        self._applier = applier
        self._settings = settings
        self._default_namespace = default_namespace
        self._engine = engine
        self._waiter = waiter

    async def create(self, urn: str, inputs: Properties, custom_timeout_seconds: float) -> Stored:
        """Apply a new object and wait for its readiness. Raises InitializationError where it is not ready in time."""
        wanted = Wanted.of(urn, inputs, {}, custom_timeout_seconds)
        kind = await self._cluster.kind(wanted.api_version, wanted.kind, wait_for_announced=True)
        live = await self._applier.present(kind, wanted)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            # On its way out, as after a replacement deleted in the background: its name is free in a moment.
            await self._waiter.until_gone(kind, live, wanted.seconds, urn)
        elif live is not None:
            self._applier.refuse_strangers(live, wanted)
        return await self._settled(kind, await self._applier.apply(kind, manifest_of(wanted.plain), wanted), wanted)

    async def update(
        self, urn: str, state: Properties, inputs: Properties, ignored: Sequence[str], custom_timeout_seconds: float
    ) -> Stored:
        """Apply new inputs to the object and wait for its readiness, as `create` does."""
        wanted = Wanted.of(urn, inputs, state, custom_timeout_seconds)
        kind = await self._cluster.kind(wanted.api_version, wanted.kind, wait_for_announced=True)
        manifest = await self._applier.manifest(kind, wanted, ignored)
        return await self._settled(kind, await self._applier.apply(kind, manifest, wanted), wanted)

    async def read(
        self, urn: str, resource_id: str, state: Properties, inputs: Properties, *, token_kind: tuple[str, str]
    ) -> Stored | None:
        """The object as it is, None if it is gone; drift shows in the inputs. Without recorded inputs this is an
        import.

        Raises InitializationError for an object of ours that is not ready, so that the next update waits for it again.
        """
        source = recorded_inputs(state)
        known = to_plain_map(source if source is not None else inputs)
        try:
            live = await self._live(resource_id, known, token_kind)
        except ClusterUnreachableError:
            if self._settings.skip_update_unreachable and state:
                return Stored(resource_id, state, inputs)
            if not self._settings.delete_unreachable:
                raise
            live = None
        if live is None:
            return None
        manager = recorded_text(state, FIELD_MANAGER) or field_manager(urn)
        initial = recorded_text(state, INITIAL_API_VERSION) or str(live["apiVersion"])
        if source is None:
            imported = fields_of(from_plain(without_server_fields(live)))
            properties = recorded(live, imported, manager, initial)
            # The next diff then compares the program with the live object, in the fields that the program names.
            del properties[INPUTS]
            return Stored(object_id(live), properties, guarded(imported, str(live["kind"])))
        found = fields_of(with_secrets_of(from_plain(live_inputs(known, live)), PropertyValue(source)))
        stored = Stored(object_id(live), recorded(live, found, manager, initial), found)
        if not skips_await(known):
            verdict = await self._waiter.judge(live)
            if verdict.readiness is not Readiness.READY:
                reasons = await self._waiter.reasons(live, verdict)
                raise InitializationError(stored.resource_id, stored.properties, stored.inputs, reasons)
        return stored

    async def delete(
        self,
        urn: str,
        resource_id: str,
        state: Properties,
        custom_timeout_seconds: float,
        *,
        token_kind: tuple[str, str],
    ) -> None:
        """Delete the object and wait until it is gone; an object that is gone already is fine."""
        source = recorded_inputs(state)
        known = to_plain_map(source if source is not None else state)
        seconds = timeout_seconds(known, custom_timeout_seconds)
        try:
            live = await self._live(resource_id, known, token_kind)
            if live is None:
                return
            kind = await self._cluster.kind(live["apiVersion"], live["kind"])
            metadata = live["metadata"]
            # A second deletion of a namespace on its way out is refused as a conflict.
            if not metadata.get("deletionTimestamp"):
                policy = propagation(known, kind.group)
                await self._cluster.delete(kind, metadata["name"], metadata.get("namespace"), policy)
        except ClusterUnreachableError as error:
            if not self._settings.delete_unreachable:
                raise
            await self._engine.warn(urn, f"{error} Dropped from the state unseen, as deleteUnreachable asks.")
            return
        except ApiRefusalError as refusal:
            raise ProviderError(f"{token_kind[1]} {resource_id} ({token_kind[0]}): {refusal}") from refusal
        if not skips_await(known):
            await self._waiter.until_gone(kind, live, seconds, urn)

    async def is_namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind live in a namespace; true for a kind that neither the server nor a CRD of this
        run knows.
        """
        try:
            return (await self._cluster.kind(api_version, kind)).namespaced
        except UnknownKindError:
            announced = self._cluster.announced_as_namespaced(group_of(api_version), kind)
            return True if announced is None else announced

    async def _live(
        self, resource_id: str, known: Mapping[str, Any], token_kind: tuple[str, str]
    ) -> dict[str, Any] | None:
        """The object with this id. A kind whose CustomResourceDefinition is gone has no objects any more."""
        api_version = str(known.get("apiVersion") or token_kind[0])
        kind_name = str(known.get("kind") or token_kind[1])
        try:
            kind = await self._cluster.kind(api_version, kind_name)
        except UnknownKindError:
            return None
        namespace, name = split_id(resource_id)
        if kind.namespaced and namespace is None:
            namespace = self._default_namespace
        return await self._cluster.get(kind, name, namespace)

    async def _settled(self, kind: ApiKind, live: dict[str, Any], wanted: Wanted) -> Stored:
        self._applier.announce(wanted)
        try:
            if not skips_await(wanted.plain):
                live = await self._waiter.until_ready(kind, live, wanted.seconds, wanted.urn)
        except NotReadyError as failure:
            kept = wanted.kept(failure.last)
            raise InitializationError(object_id(live), kept, wanted.inputs, failure.reasons) from failure
        except ProviderError as error:
            # The object exists: whatever stopped the wait, the state must keep it.
            reason = f"{describe(live)}: the wait for its readiness broke off: {error}"
            raise InitializationError(object_id(live), wanted.kept(live), wanted.inputs, [reason]) from error
        return Stored(object_id(live), wanted.kept(live), wanted.inputs)
