"""The provider that the Pulumi engine talks to."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pulumi.provider.experimental import provider as protocol
from pulumi.provider.experimental.property_value import PropertyValue

from infra.local.kubernetes_provider.applying import Applier
from infra.local.kubernetes_provider.autoname import named
from infra.local.kubernetes_provider.changes import Changes, changes_between
from infra.local.kubernetes_provider.cluster import Cluster
from infra.local.kubernetes_provider.configuration import (
    ProviderSettings,
    changed_keys,
    configuration_problems,
    replacing_keys,
    settings_from,
)
from infra.local.kubernetes_provider.drift import live_inputs
from infra.local.kubernetes_provider.engine import Engine
from infra.local.kubernetes_provider.errors import ProviderError
from infra.local.kubernetes_provider.kinds import kind_of
from infra.local.kubernetes_provider.kubeconfig import context_namespace
from infra.local.kubernetes_provider.lifecycle import Lifecycle
from infra.local.kubernetes_provider.manifest import guarded, recorded_inputs
from infra.local.kubernetes_provider.paths import format_path
from infra.local.kubernetes_provider.previews import Previews
from infra.local.kubernetes_provider.values import UNKNOWN, fields_of, from_plain, to_plain_map, with_secrets_of
from infra.local.kubernetes_provider.waiting import Waiter

# The SDK whose programs this provider serves; the engine compares it with the version that the program asks for.
VERSION = version("pulumi-kubernetes")


@dataclass(frozen=True, slots=True)
class _Connection:
    """What serves objects once the settings are known."""

    cluster: Cluster
    default_namespace: str
    waiter: Waiter
    lifecycle: Lifecycle
    previews: Previews

    @classmethod
    def to(cls, settings: ProviderSettings, engine: Engine) -> "_Connection":
        cluster = Cluster(settings)
        namespace = settings.namespace or context_namespace(settings.kubeconfig, settings.context)
        waiter, applier = Waiter(cluster, engine), Applier(cluster, settings)
        lifecycle = Lifecycle(cluster, applier, settings, namespace, engine=engine, waiter=waiter)
        return cls(cluster, namespace, waiter, lifecycle, Previews(cluster, applier, engine))


class KubernetesProvider(protocol.Provider):
    """`kubernetes` for the Pulumi engine: each method is the protocol's call of that name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._settings = ProviderSettings()
        self._opened: _Connection | None = None

    async def get_schema(self, request: protocol.GetSchemaRequest) -> protocol.GetSchemaResponse:  # noqa: ARG002
        """The package's name and version: a program that uses the SDK needs no more, its types are in the SDK."""
        return protocol.GetSchemaResponse(f'{{"name": "kubernetes", "version": "{VERSION}"}}')

    async def check_config(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        """Refuse settings that do not exist or cannot be honoured."""
        problems = configuration_problems(to_plain_map(request.new_inputs))
        failures = [protocol.CheckFailure(key, reason) for key, reason in problems]
        return protocol.CheckResponse(inputs=request.new_inputs, failures=failures)

    async def diff_config(self, request: protocol.DiffRequest) -> protocol.DiffResponse:
        """Whether changed settings mean another cluster (replace everything) or the same one (update)."""
        old, new = to_plain_map(request.old_state), to_plain_map(request.new_inputs)
        changed = changed_keys(old, new)
        return protocol.DiffResponse(changes=bool(changed), diffs=changed, replaces=replacing_keys(old, new))

    async def configure(self, request: protocol.ConfigureRequest) -> protocol.ConfigureResponse:
        """Take the settings; the cluster is first spoken to when an object needs it."""
        self._settings = settings_from(to_plain_map(request.args))
        # Outputs and resources as values are declined: this version of the experimental API cannot read unknown ones.
        return protocol.ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=False, accept_outputs=False
        )

    async def check(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        """The inputs with apiVersion, kind, a name and a namespace; a Secret's contents marked as secret."""
        given = to_plain_map(request.new_inputs)
        api_version, kind = kind_of(request.type, given)
        inputs: dict[str, Any] = {**given, "apiVersion": api_version, "kind": kind}
        metadata = inputs.get("metadata") or {}
        if metadata != UNKNOWN:
            if not isinstance(metadata, dict):
                return protocol.CheckResponse(
                    request.new_inputs, [protocol.CheckFailure("metadata", "must be an object")]
                )
            inputs["metadata"] = metadata
            inputs = named(inputs, to_plain_map(request.old_inputs), request.name, request.random_seed)
            connection = self._connection()
            if not metadata.get("namespace") and await connection.lifecycle.is_namespaced(api_version, kind):
                inputs["metadata"] = {**inputs["metadata"], "namespace": connection.default_namespace}
        checked = with_secrets_of(from_plain(inputs), PropertyValue(dict(request.new_inputs)))
        return protocol.CheckResponse(inputs=guarded(fields_of(checked), kind))

    async def diff(self, request: protocol.DiffRequest) -> protocol.DiffResponse:
        """The changes since the inputs of the last update; of an imported resource, against the live object it was
        imported as.
        """
        new = to_plain_map(request.new_inputs)
        recorded = recorded_inputs(request.old_state)
        old = to_plain_map(recorded) if recorded is not None else live_inputs(new, to_plain_map(request.old_state))
        return _diff_response(changes_between(old, new, mutable_contents=self._settings.mutable_contents))

    async def create(self, request: protocol.CreateRequest) -> protocol.CreateResponse:
        """Create the object, or foresee it."""
        if request.preview:
            return protocol.CreateResponse(
                properties=await self._connection().previews.create(request.urn, request.properties)
            )
        stored = await self._connection().lifecycle.create(request.urn, request.properties, request.timeout)
        return protocol.CreateResponse(stored.resource_id, stored.properties)

    async def update(self, request: protocol.UpdateRequest) -> protocol.UpdateResponse:
        """Update the object in place, or foresee it."""
        ignored = list(request.ignore_changes)
        if request.preview:
            return protocol.UpdateResponse(
                await self._connection().previews.update(request.urn, request.olds, request.news, ignored)
            )
        stored = await self._connection().lifecycle.update(
            request.urn, request.olds, request.news, ignored, request.timeout
        )
        return protocol.UpdateResponse(stored.properties)

    async def read(self, request: protocol.ReadRequest) -> protocol.ReadResponse:
        """The object for a refresh, an import or a `get`; an empty answer where there is none."""
        token_kind = kind_of(request.type, to_plain_map(request.inputs or request.properties))
        stored = await self._connection().lifecycle.read(
            request.urn, request.resource_id, request.properties, request.inputs, token_kind=token_kind
        )
        if stored is None:
            return protocol.ReadResponse()
        return protocol.ReadResponse(stored.resource_id, stored.properties, stored.inputs)

    async def delete(self, request: protocol.DeleteRequest) -> None:
        """Delete the object and see it gone."""
        token_kind = kind_of(request.type, to_plain_map(request.properties))
        await self._connection().lifecycle.delete(
            request.urn, request.resource_id, request.properties, request.timeout, token_kind=token_kind
        )

    async def invoke(self, request: protocol.InvokeRequest) -> protocol.InvokeResponse:
        """No function is offered."""
        raise ProviderError(
            f"the built-in kubernetes provider offers no functions, so {request.tok} cannot be called. "
            "Declare the objects as typed resources, or install the published pulumi-kubernetes plugin."
        )

    async def construct(self, request: protocol.ConstructRequest) -> protocol.ConstructResponse:
        """No component is offered."""
        kind_of(request.resource_type, {})
        raise ProviderError(
            f"the built-in kubernetes provider offers no components, so {request.resource_type} cannot be made."
        )

    async def cancel(self) -> None:
        """End all waits; objects that are not ready yet are kept in the state as such."""
        if self._opened is not None:
            self._opened.waiter.cancel()

    def close(self) -> None:
        """Let go of the cluster."""
        if self._opened is not None:
            self._opened.cluster.close()

    def _connection(self) -> _Connection:
        if self._opened is None:
            self._opened = _Connection.to(self._settings, self._engine)
        return self._opened


def _diff_response(changes: Changes) -> protocol.DiffResponse:
    return protocol.DiffResponse(
        changes=bool(changes.items),
        replaces=changes.replacing_paths,
        delete_before_replace=changes.delete_before_replace,
        diffs=changes.properties,
        detailed_diff={format_path(change.path): change.as_property_diff() for change in changes.items},
    )
