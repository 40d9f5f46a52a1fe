"""The API server: one connection pool, one discovery cache, the verbs that this provider needs."""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes import client

from infra.local.kubernetes_provider.configuration import ProviderSettings
from infra.local.kubernetes_provider.errors import ApiRefusalError, ClusterUnreachableError, UnknownKindError
from infra.local.kubernetes_provider.kinds import ApiKind
from infra.local.kubernetes_provider.kubeconfig import client_configuration

_PARALLEL_REQUESTS = 16
_CONNECT_SECONDS = 5.0
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.5
# The API server publishes a custom resource's endpoints up to some seconds after its CRD is Established.
_CRD_SERVED_SECONDS = 15.0


class Cluster:
    """A Kubernetes API server. A failure it reports is an ApiRefusalError; no answer, a ClusterUnreachableError."""

    def __init__(self, settings: ProviderSettings) -> None:
        """Read the kubeconfig that `settings` names; nothing is sent yet."""
        configuration = client_configuration(settings.kubeconfig, settings.context, settings.cluster)
        configuration.connection_pool_maxsize = _PARALLEL_REQUESTS
        self._api = client.ApiClient(configuration)
        self._timeout = (_CONNECT_SECONDS, settings.request_timeout_seconds)
        # The official client blocks; threads keep the event loop free for the engine's parallel calls.
        self._threads = ThreadPoolExecutor(_PARALLEL_REQUESTS, thread_name_prefix="kubernetes")
        self._served: dict[str, dict[str, ApiKind] | None] = {}
        self._discovering: dict[str, asyncio.Lock] = {}
        self._announced: dict[tuple[str, str], bool] = {}

    @property
    def address(self) -> str:
        """The API server's URL."""
        return str(self._api.configuration.host)

    def announce(self, crd: Mapping[str, Any]) -> None:
        """Expect the kind that this CustomResourceDefinition (of this run) will serve."""
        spec = crd.get("spec") or {}
        names = spec.get("names") or {}
        self._announced[str(spec.get("group")), str(names.get("kind"))] = spec.get("scope") != "Cluster"

    def announced_as_namespaced(self, group: str, kind: str) -> bool | None:
        """Whether an announced kind is namespaced; None if no CRD of this run defines it."""
        return self._announced.get((group, kind))

    async def kind(self, api_version: str, kind: str, *, wait_for_announced: bool = False) -> ApiKind:
        """The kind as served, or UnknownKindError; `wait_for_announced` gives a CRD of this run seconds to appear."""
        deadline = asyncio.get_running_loop().time() + _CRD_SERVED_SECONDS
        expected = wait_for_announced and (api_version.rpartition("/")[0], kind) in self._announced
        refresh = False
        while True:
            served = await self._kinds(api_version, refresh=refresh)
            if served is not None and kind in served:
                return served[kind]
            # Looked up again once: the answer in the cache may be older than a CRD that came meanwhile.
            if refresh and not (expected and asyncio.get_running_loop().time() < deadline):
                raise UnknownKindError(api_version, kind, group_served=served is not None)
            if refresh:
                await asyncio.sleep(_FIRST_PAUSE_SECONDS)
            refresh = True

    async def get(self, kind: ApiKind, name: str, namespace: str | None) -> dict[str, Any] | None:
        """The object, or None where there is none."""
        try:
            return await self._json("GET", _path(kind, namespace, name))
        except ApiRefusalError as refusal:
            if refusal.code == 404:
                return None
            raise

    async def apply(
        self, kind: ApiKind, manifest: Mapping[str, Any], manager: str, *, force: bool, dry_run: bool
    ) -> dict[str, Any]:
        """Server-side apply under `manager`, with strict field validation; the object as it then is, or would be."""
        metadata = manifest["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        path = _path(kind, metadata.get("namespace"), metadata["name"])
        return await self._json("PATCH", path, query, body=manifest, content_type="application/apply-patch+yaml")

    async def delete(self, kind: ApiKind, name: str, namespace: str | None, propagation: str) -> None:
        """Ask for the object's removal; an object that is not there is no error."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        try:
            await self._json("DELETE", _path(kind, namespace, name), body=body)
        except ApiRefusalError as refusal:
            if refusal.code != 404:
                raise

    async def list(self, kind: ApiKind, namespace: str | None, **selectors: str) -> list[dict[str, Any]]:
        """The objects that `labelSelector` and `fieldSelector` choose."""
        items = (await self._json("GET", _path(kind, namespace), selectors)).get("items") or []
        # Lists leave out what all items share; verdicts and messages want whole objects.
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in items]

    async def log(self, namespace: str, pod: str, container: str, *, lines: int, previous: bool) -> str:
        """The end of a container's log; empty where the node cannot give it."""
        query = {"container": container, "tailLines": str(lines), "previous": str(previous).lower()}
        try:
            return await self._text("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", query)
        except (ApiRefusalError, ClusterUnreachableError):
            return ""

    def close(self) -> None:
        """Let go of the connections; calls under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _kinds(self, api_version: str, *, refresh: bool) -> dict[str, ApiKind] | None:
        async with self._discovering.setdefault(api_version, asyncio.Lock()):
            if refresh or api_version not in self._served:
                self._served[api_version] = await self._discover(api_version)
            return self._served[api_version]

    async def _discover(self, api_version: str) -> dict[str, ApiKind] | None:
        root = "/apis" if "/" in api_version else "/api"
        try:
            answer = await self._json("GET", f"{root}/{api_version}")
        except ApiRefusalError as refusal:
            if refusal.code == 404:
                return None
            raise
        return {
            entry["kind"]: ApiKind(api_version, entry["kind"], entry["name"], bool(entry["namespaced"]))
            for entry in answer.get("resources") or []
            if "/" not in entry["name"]
        }

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        text = await self._text(method, path, query, body, content_type)
        answer: dict[str, Any] = json.loads(text)
        return answer

    async def _text(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> str:
        for attempt in range(_ATTEMPTS):
            code, text = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._send, method, path, query, body, content_type
            )
            if code < 300:
                return text
            refusal = ApiRefusalError(code, _status(text))
            if attempt == _ATTEMPTS - 1 or not _passing(refusal):
                raise refusal
            await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None, content_type: str
    ) -> tuple[int, str]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        request = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        verb, url, sent_headers, _, _ = request
        try:
            response = self._api.call_api(verb, url, sent_headers, body, _request_timeout=self._timeout)
            return response.status, response.read().decode()  # type: ignore[no-untyped-call]
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise ClusterUnreachableError(
                f"no answer from the API server at {self.address}: {error}. "
                "Is the cluster up, and does the kubeconfig point at it?"
            ) from error


def _path(kind: ApiKind, namespace: str | None, name: str | None = None) -> str:
    root = "/apis" if "/" in kind.api_version else "/api"
    place = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    return f"{root}/{kind.api_version}{place}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def _status(text: str) -> dict[str, Any]:
    try:
        status = json.loads(text)
    except ValueError:
        return {"message": text.strip()}
    return status if isinstance(status, dict) else {"message": text.strip()}


def _passing(refusal: ApiRefusalError) -> bool:
    """A failure that ends by itself: an overloaded server, or an admission webhook whose pod is still starting."""
    return refusal.code in (429, 503, 504) or "failed calling webhook" in refusal.api_message
