"""What an update would do, found out without doing it: dry runs on the server."""

from collections.abc import Sequence
from typing import Any

from infra.local.kubernetes_provider.applying import Applier
from infra.local.kubernetes_provider.cluster import Cluster
from infra.local.kubernetes_provider.engine import Engine
from infra.local.kubernetes_provider.errors import ApiRefusalError, UnknownKindError
from infra.local.kubernetes_provider.kinds import ApiKind, group_of
from infra.local.kubernetes_provider.manifest import foreseen, manifest_of
from infra.local.kubernetes_provider.ownership import explained, is_absent_namespace
from infra.local.kubernetes_provider.values import has_unknowns
from infra.local.kubernetes_provider.wanted import Properties, Wanted

# Their names or addresses are part of what they are, so they cannot be tried under another name.
_NAME_BOUND = frozenset(
    {("", "Service"), ("apiextensions.k8s.io", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService")}
)
_TRIAL_PREFIX = 50  # of 63 characters, the shortest limit for a name


class Previews:
    """The outputs that a create or an update would have. Methods raise ProviderError for what would be refused."""

    def __init__(self, cluster: Cluster, applier: Applier, engine: Engine) -> None:
        self._cluster = cluster
        self._applier = applier
        self._engine = engine

    async def create(self, urn: str, inputs: Properties) -> Properties:
        """What a create would give, from a dry run on the server; the inputs alone where none is possible yet."""
        wanted = Wanted.of(urn, inputs, {})
        self._applier.announce(wanted)
        dry_run = None
        if not has_unknowns(wanted.plain):
            try:
                kind = await self._cluster.kind(wanted.api_version, wanted.kind)
            except UnknownKindError as error:
                if self._cluster.announced_as_namespaced(group_of(error.api_version), error.kind) is None:
                    await self._engine.warn(urn, f"not checked against the API server: {error}")
            else:
                dry_run = await self._created(kind, wanted)
        return wanted.kept(foreseen(wanted.plain, dry_run))

    async def update(self, urn: str, state: Properties, inputs: Properties, ignored: Sequence[str]) -> Properties:
        """What an update would give, from a dry run on the server where all inputs are known."""
        wanted = Wanted.of(urn, inputs, state)
        self._applier.announce(wanted)
        if has_unknowns(wanted.plain):
            return wanted.kept(foreseen(wanted.plain, None))
        kind = await self._cluster.kind(wanted.api_version, wanted.kind)
        manifest = await self._applier.manifest(kind, wanted, ignored)
        try:
            return wanted.kept(await self._applier.unexplained(kind, manifest, wanted, dry_run=True))
        except ApiRefusalError as refusal:
            raise explained(refusal, manifest) from refusal

    async def _created(self, kind: ApiKind, wanted: Wanted) -> dict[str, Any] | None:
        """The object that a create would make; None where its namespace is yet to come, or no trial is possible."""
        live = await self._applier.present(kind, wanted)
        if live is not None and not live["metadata"].get("deletionTimestamp"):
            self._applier.refuse_strangers(live, wanted)
            return await self._created_instead(kind, wanted)
        manifest = manifest_of(wanted.plain)
        try:
            return await self._applier.unexplained(kind, manifest, wanted, dry_run=True)
        except ApiRefusalError as refusal:
            if is_absent_namespace(refusal):
                return None
            raise explained(refusal, manifest) from refusal

    async def _created_instead(self, kind: ApiKind, wanted: Wanted) -> dict[str, Any] | None:
        """A dry run beside our own object of that name, which the update deletes first.

        Applied to that object, the changes would be refused as impossible; without any trial, a slip in the new
        version would show only after the old one is gone. So it is tried under another name.
        """
        if (kind.group, kind.kind) in _NAME_BOUND:
            return None
        manifest = manifest_of(wanted.plain)
        trial = {**manifest, "metadata": {**manifest["metadata"], "name": f"{wanted.name[:_TRIAL_PREFIX]}-preview"}}
        try:
            seen = await self._applier.unexplained(kind, trial, wanted, dry_run=True)
        except ApiRefusalError as refusal:
            # Two of them may not be allowed side by side, by a quota for one; one after the other they are.
            if refusal.code == 403:
                return None
            raise explained(refusal, manifest) from refusal
        return {**seen, "metadata": {**seen["metadata"], "name": wanted.name}}
