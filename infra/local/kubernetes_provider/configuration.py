"""The provider's own configuration: the published provider's keys, checked."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.kubernetes_provider.errors import ProviderError
from infra.local.kubernetes_provider.kubeconfig import cluster_server
from infra.local.kubernetes_provider.values import UNKNOWN

_TEXT_KEYS = ("kubeconfig", "context", "cluster", "namespace", "clusterIdentifier")
_SWITCHES = {
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "skipUpdateUnreachable": "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
    "enableServerSideApply": "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY",
}
# Without effect here: no charts are rendered, and the API server's deprecation warnings are not relayed.
_IGNORED = ("helmReleaseSettings", "suppressDeprecationWarnings", "suppressHelmHookWarnings", "alwaysRender")
_OF_THE_ENGINE = ("version", "pluginDownloadURL", "pluginChecksums")
_KNOWN = (*_TEXT_KEYS, *_SWITCHES, "kubeClientSettings", *_IGNORED, *_OF_THE_ENGINE, "renderYamlToDirectory")
_CLIENT_KEYS = ("burst", "qps", "timeout")
_DEFAULT_REQUEST_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What a `kubernetes.Provider`, or the `kubernetes:` keys of a stack, ask for."""

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    patch_force: bool = False
    upsert_existing_objects: bool = False
    mutable_contents: frozenset[str] = frozenset()
    request_timeout_seconds: float = _DEFAULT_REQUEST_SECONDS


def configuration_problems(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, reason) for each entry that cannot be honoured; empty when all can."""
    problems = [
        (key, f"the kubernetes provider has no setting {key!r}; it has: {', '.join(sorted(_KNOWN))}")
        for key in values
        if key not in _KNOWN and not key.startswith("__")
    ]
    problems += [
        (key, f"{key} must be true or false, not {values[key]!r}")
        for key in _SWITCHES
        if key in values and values[key] != UNKNOWN and _switch(values[key]) is None
    ]
    if _switch(values.get("enableServerSideApply")) is False:
        problems.append(
            (
                "enableServerSideApply",
                "the built-in kubernetes provider applies on the server only; "
                "leave enableServerSideApply out, or install the published pulumi-kubernetes plugin",
            )
        )
    if values.get("renderYamlToDirectory"):
        problems.append(
            (
                "renderYamlToDirectory",
                "the built-in kubernetes provider renders no YAML; install the published pulumi-kubernetes plugin",
            )
        )
    client = _client_settings(values)
    problems += [
        ("kubeClientSettings", f"unknown entry {key!r}; known: {', '.join(_CLIENT_KEYS)}")
        for key in client
        if key not in _CLIENT_KEYS
    ]
    return problems


def settings_from(values: Mapping[str, Any]) -> ProviderSettings:
    """The settings in `values` (plain), with the published provider's environment variables for absent switches.

    Raises ProviderError when `configuration_problems` finds any.
    """
    problems = configuration_problems(values)
    if problems:
        raise ProviderError("; ".join(reason for _, reason in problems))

    def switched_on(key: str) -> bool:
        value = values.get(key, os.environ.get(_SWITCHES[key]))
        return bool(_switch(value))

    mutable = {"ConfigMap": "enableConfigMapMutable", "Secret": "enableSecretMutable"}
    texts = {key: str(values[key]) for key in _TEXT_KEYS if values.get(key)}
    return ProviderSettings(
        kubeconfig=texts.get("kubeconfig"),
        context=texts.get("context"),
        cluster=texts.get("cluster"),
        namespace=texts.get("namespace"),
        delete_unreachable=switched_on("deleteUnreachable"),
        skip_update_unreachable=switched_on("skipUpdateUnreachable"),
        patch_force=switched_on("enablePatchForce"),
        upsert_existing_objects=switched_on("upsertExistingObjects"),
        mutable_contents=frozenset(kind for kind, key in mutable.items() if switched_on(key)),
        request_timeout_seconds=float(_client_settings(values).get("timeout") or _DEFAULT_REQUEST_SECONDS),
    )


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The configuration keys whose values differ; what the engine adds for itself is not counted."""
    keys = (old.keys() | new.keys()) - set(_OF_THE_ENGINE)
    return sorted(key for key in keys if not key.startswith("__") and old.get(key) != new.get(key))


def replacing_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The changed keys that mean another cluster, so that the provider and all its objects must be replaced.

    With a `clusterIdentifier` only its change means that. Without one the address of the kubeconfig's cluster decides,
    and a kubeconfig that is not known yet counts as another cluster.
    """
    if old.get("clusterIdentifier") or new.get("clusterIdentifier"):
        return ["clusterIdentifier"] if old.get("clusterIdentifier") != new.get("clusterIdentifier") else []
    keys = [key for key in ("kubeconfig", "context", "cluster") if old.get(key) != new.get(key)]
    if any(new.get(key) == UNKNOWN for key in keys):
        return [key for key in keys if new.get(key) == UNKNOWN]
    servers = [
        cluster_server(values.get("kubeconfig"), values.get("context"), values.get("cluster")) for values in (old, new)
    ]
    return keys if keys and servers[0] != servers[1] else []


def _switch(value: Any) -> bool | None:
    """True or False, as a JSON value or in the text form that the SDK sends; None for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).lower())


def _client_settings(values: Mapping[str, Any]) -> Mapping[str, Any]:
    given = values.get("kubeClientSettings") or {}
    if isinstance(given, str) and given != UNKNOWN:
        given = json.loads(given)
    return given if isinstance(given, Mapping) else {}
