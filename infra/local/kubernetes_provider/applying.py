"""Applying objects on the server, by the rules of who may own what."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.local.kubernetes_provider.cluster import Cluster
from infra.local.kubernetes_provider.configuration import ProviderSettings
from infra.local.kubernetes_provider.errors import ApiRefusalError
from infra.local.kubernetes_provider.kinds import ApiKind
from infra.local.kubernetes_provider.manifest import manifest_of
from infra.local.kubernetes_provider.ownership import (
    applied_by,
    explained,
    forced,
    leaving_to_others,
    refused_because_it_exists,
)
from infra.local.kubernetes_provider.wanted import Wanted


class Applier:
    """Server-side apply for real and for rehearsal. Refusals are raised as ProviderError, naming object and mend."""

    def __init__(self, cluster: Cluster, settings: ProviderSettings) -> None:
        self._cluster = cluster
        self._settings = settings

    async def apply(self, kind: ApiKind, manifest: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
        """Apply `manifest`; the object as it then is."""
        try:
            return await self.unexplained(kind, manifest, wanted, dry_run=False)
        except ApiRefusalError as refusal:
            raise explained(refusal, manifest) from refusal

    async def unexplained(
        self, kind: ApiKind, manifest: Mapping[str, Any], wanted: Wanted, *, dry_run: bool
    ) -> dict[str, Any]:
        """Apply, with the API server's own refusal (ApiRefusalError) for callers that can make something of it."""
        force = forced(wanted.plain, self._settings.patch_force)
        return await self._cluster.apply(kind, manifest, wanted.manager, force=force, dry_run=dry_run)

    async def present(self, kind: ApiKind, wanted: Wanted) -> dict[str, Any] | None:
        """The object that bears the wanted one's name now."""
        return await self._cluster.get(kind, wanted.name, wanted.namespace)

    def refuse_strangers(self, live: Mapping[str, Any], wanted: Wanted) -> None:
        """Refuse to create over somebody else's object.

        An object that our own manager has applied before is ours: an earlier run was interrupted between the apply and
        the engine's note of it. The manager's name follows from the URN, so no other resource of the stack bears it.
        """
        allowed = self._settings.upsert_existing_objects or forced(wanted.plain, default=False)
        if not allowed and not applied_by(live, wanted.manager):
            raise refused_because_it_exists(live)

    async def manifest(self, kind: ApiKind, wanted: Wanted, ignored: Sequence[str]) -> dict[str, Any]:
        """The manifest for an update that honours `ignored` (ignore_changes)."""
        manifest = manifest_of(wanted.plain)
        live = await self.present(kind, wanted) if ignored else None
        return manifest if live is None else leaving_to_others(manifest, ignored, live, wanted.manager)

    def announce(self, wanted: Wanted) -> None:
        """Let later resources of this run count on the kind that a CustomResourceDefinition brings."""
        if wanted.kind == "CustomResourceDefinition":
            self._cluster.announce(wanted.plain)
