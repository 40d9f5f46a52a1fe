"""Creating, updating, reading and deleting one object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue

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
    foreseen,
    guarded,
    manifest_of,
    recorded,
    recorded_inputs,
    recorded_text,
)
from infra.local.kubernetes_provider.ownership import (
    applied_by,
    explained,
    field_manager,
    forced,
    is_absent_namespace,
    leaving_to_others,
    refused_because_it_exists,
)
from infra.local.kubernetes_provider.patience import propagation, skips_await, timeout_seconds
from infra.local.kubernetes_provider.readiness import Readiness
from infra.local.kubernetes_provider.values import fields_of, from_plain, has_unknowns, to_plain_map, with_secrets_of
from infra.local.kubernetes_provider.waiting import NotReadyError, Waiter

Properties = dict[str, PropertyValue]

# Their names or addresses are part of what they are, so they cannot be tried under another name.
_NAME_BOUND = frozenset(
    {("", "Service"), ("apiextensions.k8s.io", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService")}
)
_TRIAL_PREFIX = 50  # of 63 characters, the shortest limit for a name


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource as the engine keeps it."""

    resource_id: str
    properties: Properties
    inputs: Properties


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An object that a program asks for; `plain` is `inputs` as JSON."""

    urn: str
    inputs: Properties
    plain: dict[str, Any]
    manager: str
    initial_api_version: str
    seconds: float

    @classmethod
    def of(cls, urn: str, inputs: Properties, state: Properties, custom_timeout_seconds: float) -> "_Wanted":
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

    def kept(self, live: Mapping[str, Any]) -> Properties:
        return recorded(live, self.inputs, self.manager, self.initial_api_version)


class Lifecycle:
    """The life of objects in one cluster. Methods raise ProviderError, naming the object and the mend."""

    def __init__(
        self, cluster: Cluster, settings: ProviderSettings, default_namespace: str, engine: Engine, waiter: Waiter
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._default_namespace = default_namespace
        self._engine = engine
        self._waiter = waiter

    async def create(self, urn: str, inputs: Properties, custom_timeout_seconds: float) -> Stored:
        """Apply a new object and wait for its readiness. Raises InitializationError where it is not ready in time."""
        wanted = _Wanted.of(urn, inputs, {}, custom_timeout_seconds)
        kind = await self._served(wanted)
        live = await self._present(kind, wanted)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            # On its way out, as after a replacement deleted in the background: its name is free in a moment.
            await self._waiter.until_gone(kind, live, wanted.seconds, urn)
        elif live is not None:
            self._refuse_strangers(live, wanted)
        return await self._settled(kind, await self._apply(kind, manifest_of(wanted.plain), wanted), wanted)

    async def preview_create(self, urn: str, inputs: Properties) -> Properties:
        """What `create` would give, from a dry run on the server; the inputs alone where none is possible yet."""
        wanted = _Wanted.of(urn, inputs, {}, 0)
        self._announce(wanted)
        dry_run = None
        if not has_unknowns(wanted.plain):
            try:
                kind = await self._cluster.kind(wanted.plain["apiVersion"], wanted.plain["kind"])
            except UnknownKindError as error:
                if self._cluster.announced_as_namespaced(group_of(error.api_version), error.kind) is None:
                    await self._engine.warn(urn, f"not checked against the API server: {error}")
            else:
                dry_run = await self._dry_run(kind, wanted)
        return wanted.kept(foreseen(wanted.plain, dry_run))

    async def update(
        self, urn: str, state: Properties, inputs: Properties, ignored: Sequence[str], custom_timeout_seconds: float
    ) -> Stored:
        """Apply new inputs to the object and wait for its readiness, as `create` does."""
        wanted = _Wanted.of(urn, inputs, state, custom_timeout_seconds)
        kind = await self._served(wanted)
        manifest = await self._honouring(ignored, kind, wanted)
        return await self._settled(kind, await self._apply(kind, manifest, wanted), wanted)

    async def preview_update(
        self, urn: str, state: Properties, inputs: Properties, ignored: Sequence[str]
    ) -> Properties:
        """What `update` would give, from a dry run on the server where all inputs are known."""
        wanted = _Wanted.of(urn, inputs, state, 0)
        self._announce(wanted)
        if has_unknowns(wanted.plain):
            return wanted.kept(foreseen(wanted.plain, None))
        kind = await self._cluster.kind(wanted.plain["apiVersion"], wanted.plain["kind"])
        manifest = await self._honouring(ignored, kind, wanted)
        return wanted.kept(await self._apply(kind, manifest, wanted, dry_run=True))

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

    async def _served(self, wanted: _Wanted) -> ApiKind:
        return await self._cluster.kind(wanted.plain["apiVersion"], wanted.plain["kind"], wait_for_announced=True)

    async def _present(self, kind: ApiKind, wanted: _Wanted) -> dict[str, Any] | None:
        metadata = wanted.plain["metadata"]
        return await self._cluster.get(kind, metadata["name"], metadata.get("namespace"))

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

    def _refuse_strangers(self, live: Mapping[str, Any], wanted: _Wanted) -> None:
        """Refuse to create over somebody else's object.

        An object that our own manager has applied before is ours: an earlier run was interrupted between the apply and
        the engine's note of it. The manager's name follows from the URN, so no other resource of the stack bears it.
        """
        allowed = self._settings.upsert_existing_objects or forced(wanted.plain, default=False)
        if not allowed and not applied_by(live, wanted.manager):
            raise refused_because_it_exists(live)

    async def _apply(
        self, kind: ApiKind, manifest: Mapping[str, Any], wanted: _Wanted, *, dry_run: bool = False
    ) -> dict[str, Any]:
        force = forced(wanted.plain, self._settings.patch_force)
        try:
            return await self._cluster.apply(kind, manifest, wanted.manager, force=force, dry_run=dry_run)
        except ApiRefusalError as refusal:
            if dry_run and is_absent_namespace(refusal):
                raise
            raise explained(refusal, manifest) from refusal

    async def _dry_run(self, kind: ApiKind, wanted: _Wanted) -> dict[str, Any] | None:
        """The object that a create would make; None where its namespace is yet to be created, or no trial is possible."""
        live = await self._present(kind, wanted)
        manifest = manifest_of(wanted.plain)
        if live is not None and not live["metadata"].get("deletionTimestamp"):
            self._refuse_strangers(live, wanted)
            return await self._trial_of_replacement(kind, manifest, wanted)
        try:
            return await self._apply(kind, manifest, wanted, dry_run=True)
        except ApiRefusalError:
            return None

    async def _trial_of_replacement(
        self, kind: ApiKind, manifest: Mapping[str, Any], wanted: _Wanted
    ) -> dict[str, Any] | None:
        """A dry run beside our own object of that name, which the update deletes first.

        Applied to that object, the changes would be refused as impossible; without any trial, a slip in the new
        version would show only after the old one is gone. So it is tried under another name.
        """
        if (kind.group, kind.kind) in _NAME_BOUND:
            return None
        name = wanted.plain["metadata"]["name"]
        trial = {**manifest, "metadata": {**manifest["metadata"], "name": f"{name[:_TRIAL_PREFIX]}-preview"}}
        try:
            force = forced(wanted.plain, self._settings.patch_force)
            seen = await self._cluster.apply(kind, trial, wanted.manager, force=force, dry_run=True)
        except ApiRefusalError as refusal:
            # Two of them may not be allowed side by side, by a quota for one; one after the other they are.
            if refusal.code == 403:
                return None
            raise explained(refusal, manifest) from refusal
        return {**seen, "metadata": {**seen["metadata"], "name": name}}

    async def _honouring(self, ignored: Sequence[str], kind: ApiKind, wanted: _Wanted) -> dict[str, Any]:
        manifest = manifest_of(wanted.plain)
        live = await self._present(kind, wanted) if ignored else None
        return manifest if live is None else leaving_to_others(manifest, ignored, live, wanted.manager)

    async def _settled(self, kind: ApiKind, live: dict[str, Any], wanted: _Wanted) -> Stored:
        self._announce(wanted)
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

    def _announce(self, wanted: _Wanted) -> None:
        if wanted.plain.get("kind") == "CustomResourceDefinition":
            self._cluster.announce(wanted.plain)
