"""Kubeconfigs: the given one, or that of the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from infra.local.kubernetes_provider.errors import ProviderError

_DEFAULT_NAMESPACE = "default"


def client_configuration(kubeconfig: str | None, context: str | None, cluster: str | None) -> client.Configuration:
    """How to reach the API server: from `kubeconfig` (its content, or a path to it), else KUBECONFIG or ~/.kube/config,
    else the pod this process runs in. `context` and `cluster` override the current ones. Raises ProviderError where
    none of these serves.
    """
    configuration = client.Configuration()
    try:
        content = _content(kubeconfig)
        if content is not None:
            config.load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                _with_cluster(content, context, cluster),
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        elif _ambient_contexts() is not None:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                context=context, client_configuration=configuration, persist_config=False
            )
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ProviderError(
            f"no usable kubeconfig: {error}. Set the provider's `kubeconfig` (content or path) or KUBECONFIG."
        ) from error
    return configuration


def context_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace of the active context; `default` where it names none."""
    content = _content(kubeconfig)
    if content is not None:
        found = _entry(content, "contexts", context or content.get("current-context")).get("context") or {}
        return str(found.get("namespace") or _DEFAULT_NAMESPACE)
    ambient = _ambient_contexts()
    if ambient is None:
        token_folder = Path("/var/run/secrets/kubernetes.io/serviceaccount")
        return (token_folder / "namespace").read_text().strip()
    contexts, active = ambient
    chosen = next((item for item in contexts if item["name"] == context), active) if context else active
    return str(((chosen or {}).get("context") or {}).get("namespace") or _DEFAULT_NAMESPACE)


def cluster_server(kubeconfig: str | None, context: str | None, cluster: str | None) -> str | None:
    """The API server's address in `kubeconfig`; None where it cannot be told (none given, or not readable any more)."""
    try:
        content = _content(kubeconfig)
    except ProviderError:
        return None
    if content is None:
        return None
    named = _entry(content, "contexts", context or content.get("current-context")).get("context") or {}
    server = (_entry(content, "clusters", cluster or named.get("cluster")).get("cluster") or {}).get("server")
    return str(server) if server else None


def _content(kubeconfig: str | None) -> dict[str, Any] | None:
    if not kubeconfig:
        return None
    text = kubeconfig
    if "\n" not in text and not text.lstrip().startswith("{"):
        path = Path(text).expanduser()
        if not path.is_file():
            raise ProviderError(f"kubeconfig: {text!r} is neither the content of a kubeconfig nor the path of one")
        text = path.read_text()
    parsed = yaml.safe_load(text)
    if not isinstance(parsed, dict):
        raise ProviderError("kubeconfig: not a YAML or JSON mapping with clusters, contexts and users")
    return parsed


def _with_cluster(content: dict[str, Any], context: str | None, cluster: str | None) -> dict[str, Any]:
    if cluster is None:
        return content
    active = context or content.get("current-context")
    contexts = [
        {**item, "context": {**item["context"], "cluster": cluster}} if item.get("name") == active else item
        for item in content.get("contexts") or []
    ]
    return {**content, "contexts": contexts}


def _entry(content: Mapping[str, Any], section: str, name: str | None) -> Mapping[str, Any]:
    return next((item for item in content.get(section) or [] if item.get("name") == name), {})


def _ambient_contexts() -> tuple[list[dict[str, Any]], dict[str, Any] | None] | None:
    try:
        contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        return None
    return contexts, active
