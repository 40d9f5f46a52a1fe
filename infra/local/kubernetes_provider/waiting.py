"""Waiting for an object to become ready, or to be gone."""

import asyncio
from collections.abc import Mapping
from typing import Any

from infra.local.kubernetes_provider.cluster import Cluster
from infra.local.kubernetes_provider.engine import Engine
from infra.local.kubernetes_provider.errors import ClusterUnreachableError, ProviderError
from infra.local.kubernetes_provider.evidence import (
    crashed_containers,
    is_pod_ready,
    log_lines,
    pod_selector,
    pod_troubles,
    warnings,
)
from infra.local.kubernetes_provider.kinds import ApiKind, describe
from infra.local.kubernetes_provider.readiness import (
    Readiness,
    Surroundings,
    Verdict,
    verdict,
    waits_for_endpoints,
)

_POD = ApiKind("v1", "Pod", "pods", namespaced=True)
_EVENT = ApiKind("v1", "Event", "events", namespaced=True)
_ENDPOINT_SLICE = ApiKind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", namespaced=True)
_STORAGE_CLASS = ApiKind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

# Polling, not watching: one GET of one object costs the API server about a millisecond, and a poll has no stream to
# lose, resume or fall behind on. The pauses grow from the first to the longest.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_STATUS_EVERY_SECONDS = 2.0
_UNREACHABLE_SECONDS = 30
_PODS_TOLD = 3
_LOG_LINES = 5


class NotReadyError(Exception):
    """The wait is over and the object (`last`) is not ready; `reasons` are for the person at the terminal."""

    def __init__(self, last: dict[str, Any], reasons: list[str]) -> None:
        self.last = last
        self.reasons = reasons
        super().__init__("\n".join(reasons))


class Waiter:
    """Waits on behalf of one provider process; `cancel` ends every wait at once."""

    def __init__(self, cluster: Cluster, engine: Engine) -> None:
        self._cluster = cluster
        self._engine = engine
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """End all present and future waits."""
        self._cancelled.set()

    async def until_ready(self, kind: ApiKind, obj: dict[str, Any], seconds: float, urn: str) -> dict[str, Any]:
        """Wait up to `seconds`; the object as it was when found ready. Raises NotReadyError."""
        clock = asyncio.get_running_loop().time
        start, pause, told_at = clock(), _FIRST_PAUSE_SECONDS, clock()
        while True:
            found = await self.judge(obj)
            if found.readiness is Readiness.READY:
                return obj
            waited = clock() - start
            if found.readiness is Readiness.FAILED:
                raise NotReadyError(obj, await self._explained(obj, f"failed after {waited:.0f} s", found))
            if waited >= seconds:
                raise NotReadyError(obj, await self._explained(obj, f"not ready after {waited:.0f} s", found))
            if clock() - told_at >= _STATUS_EVERY_SECONDS:
                told_at = clock()
                await self._engine.status(urn, await self._status_line(obj, found))
            if await self._paused(min(pause, max(seconds - waited, 0))):
                raise NotReadyError(
                    obj, await self._explained(obj, f"the wait was cancelled after {waited:.0f} s", found)
                )
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            latest = await self._latest(kind, obj, urn)
            if latest is None:
                raise NotReadyError(
                    obj, [f"{describe(obj)} was deleted by someone else while this program waited for it"]
                )
            obj = latest

    async def until_gone(self, kind: ApiKind, obj: dict[str, Any], seconds: float, urn: str) -> None:
        """Wait until this very object (by its uid) is gone; after `seconds`, a ProviderError names what holds it."""
        clock = asyncio.get_running_loop().time
        start, pause, told_at = clock(), _FIRST_PAUSE_SECONDS, clock()
        metadata = obj["metadata"]
        while True:
            latest = await self._latest(kind, obj, urn)
            if latest is None or latest["metadata"].get("uid") != metadata.get("uid"):
                return
            waited = clock() - start
            if waited >= seconds:
                raise ProviderError(
                    f"{describe(obj)} is still there {waited:.0f} s after its deletion: {_holders(latest)}"
                )
            if clock() - told_at >= _STATUS_EVERY_SECONDS:
                told_at = clock()
                await self._engine.status(urn, f"waiting for its removal: {_holders(latest)}")
            if await self._paused(min(pause, max(seconds - waited, 0))):
                raise ProviderError(f"{describe(obj)}: the wait for its removal was cancelled after {waited:.0f} s")
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)

    async def judge(self, obj: dict[str, Any]) -> Verdict:
        """The readiness of `obj` now, with what its kind's rule needs to know besides."""
        if obj["apiVersion"] == "v1" and obj["kind"] == "Service" and waits_for_endpoints(obj):
            selector = f"kubernetes.io/service-name={obj['metadata']['name']}"
            slices = await self._cluster.list(_ENDPOINT_SLICE, obj["metadata"]["namespace"], labelSelector=selector)
            return verdict(obj, Surroundings(endpoint_slices=slices))
        if obj["apiVersion"] == "v1" and obj["kind"] == "PersistentVolumeClaim":
            return verdict(obj, Surroundings(storage_class=await self._storage_class(obj)))
        return verdict(obj, Surroundings())

    async def reasons(self, obj: dict[str, Any], found: Verdict) -> list[str]:
        """What is known of why `obj` is not ready, the verdict first."""
        return await self._explained(obj, "not ready", found)

    async def _latest(self, kind: ApiKind, obj: Mapping[str, Any], urn: str) -> dict[str, Any] | None:
        """The object now. An API server that restarts must not end a wait of minutes, one that is gone must."""
        metadata = obj["metadata"]
        for _ in range(_UNREACHABLE_SECONDS):
            try:
                return await self._cluster.get(kind, metadata["name"], metadata.get("namespace"))
            except ClusterUnreachableError as error:
                await self._engine.status(urn, str(error))
                if await self._paused(1):
                    raise
        return await self._cluster.get(kind, metadata["name"], metadata.get("namespace"))

    async def _paused(self, seconds: float) -> bool:
        """Sleep; True as soon as the waits are cancelled."""
        try:
            await asyncio.wait_for(self._cancelled.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _storage_class(self, claim: Mapping[str, Any]) -> dict[str, Any] | None:
        name = (claim.get("spec") or {}).get("storageClassName")
        if name:
            return await self._cluster.get(_STORAGE_CLASS, name, None)
        classes = await self._cluster.list(_STORAGE_CLASS, None)
        return next(
            (item for item in classes if (item["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"),
            None,
        )

    async def _unready_pods(self, obj: Mapping[str, Any]) -> list[dict[str, Any]]:
        if obj["kind"] == "Pod":
            return [dict(obj)]
        selector = pod_selector(obj)
        if selector is None or not obj["metadata"].get("namespace"):
            return []
        pods = await self._cluster.list(_POD, obj["metadata"]["namespace"], labelSelector=selector)
        newest_first = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
        return [pod for pod in newest_first if not is_pod_ready(pod)]

    async def _status_line(self, obj: Mapping[str, Any], found: Verdict) -> str:
        troubles = [line for pod in (await self._unready_pods(obj))[:1] for line in pod_troubles(pod)]
        return "; ".join([found.reason, *troubles[:1]])

    async def _explained(self, obj: Mapping[str, Any], outcome: str, found: Verdict) -> list[str]:
        lines = [f"{describe(obj)} {outcome}: {found.reason}"]
        try:
            lines += await self._events_of(obj)
            for pod in (await self._unready_pods(obj))[:_PODS_TOLD]:
                lines += pod_troubles(pod)
                if obj["kind"] != "Pod":
                    lines += await self._events_of(pod)
                for container, previous in crashed_containers(pod):
                    metadata = pod["metadata"]
                    log = await self._cluster.log(
                        metadata["namespace"], metadata["name"], container, lines=_LOG_LINES, previous=previous
                    )
                    lines += log_lines(container, log, _LOG_LINES)
        except ProviderError as error:
            lines.append(f"(the reason could not be read: {error})")
        # One text: the engine shows each reason as a diagnostic of its own.
        return ["\n  ".join(lines)]

    async def _events_of(self, obj: Mapping[str, Any]) -> list[str]:
        metadata = obj["metadata"]
        if not metadata.get("namespace"):
            return []
        events = await self._cluster.list(
            _EVENT, metadata["namespace"], fieldSelector=f"involvedObject.uid={metadata.get('uid')}"
        )
        return warnings(events)


def _holders(obj: Mapping[str, Any]) -> str:
    metadata = obj["metadata"]
    held = [f"finalizer {name}" for name in metadata.get("finalizers") or []]
    held += [
        f"finalizer {name}"
        for name in (obj.get("spec") or {}).get("finalizers") or []
        if obj.get("kind") == "Namespace"
    ]
    held += [
        f"{condition.get('reason')}: {condition.get('message')}"
        for condition in (obj.get("status") or {}).get("conditions") or []
        if obj.get("kind") == "Namespace" and condition.get("status") == "True"
    ]
    if held:
        return "held by " + "; ".join(held)
    grace = metadata.get("deletionGracePeriodSeconds")
    return f"it is ending, with a grace period of {grace} s" if grace else "it is ending"
