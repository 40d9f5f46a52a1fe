"""Which Kubernetes kind a Pulumi resource stands for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.kubernetes_provider.errors import ProviderError

_COMPONENT_PACKAGES = ("helm.sh", "yaml", "kustomize")


@dataclass(frozen=True, slots=True)
class ApiKind:
    """A kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def group(self) -> str:
        """The API group; the core group is the empty string."""
        return group_of(self.api_version)


def group_of(api_version: str) -> str:
    """`apps` of `apps/v1`; the empty string of `v1`."""
    return api_version.rpartition("/")[0]


def kind_of(token: str, inputs: Mapping[str, Any]) -> tuple[str, str]:
    """(apiVersion, kind) of a resource with the Pulumi type `token`.

    The SDK writes both into the inputs; the token speaks where it did not. Raises ProviderError for what is no single
    object: charts, YAML and kustomize components, Patch resources, lists.
    """
    _, module, name = token.split(":", 2)
    if module.split("/")[0] in _COMPONENT_PACKAGES:
        raise ProviderError(
            f"{token} is not supported by the built-in kubernetes provider: it renders no charts, YAML files or "
            "kustomizations. "
            "Write the objects as typed resources (pulumi_kubernetes.apps.v1.Deployment, ...), "
            "or install the published pulumi-kubernetes plugin."
        )
    api_version = str(inputs.get("apiVersion") or module.removeprefix("core/"))
    kind = str(inputs.get("kind") or name)
    if name in (f"{kind}Patch", "CustomResourcePatch") or (
        name == kind and name.endswith("Patch") and _is_built_in(module)
    ):
        raise ProviderError(
            f"{token} is not supported by the built-in kubernetes provider: it manages whole objects, "
            "not patches of other people's. Manage the object itself (import it), "
            "or install the published pulumi-kubernetes plugin."
        )
    if kind.endswith("List") and "items" in inputs:
        raise ProviderError(f"{token}: a list is no object of its own; declare its items as resources.")
    return api_version, kind


def _is_built_in(module: str) -> bool:
    group = module.partition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def object_id(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` for an object without a namespace."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def split_id(resource_id: str) -> tuple[str | None, str]:
    """(namespace or None, name) of an id as `object_id` writes it."""
    namespace, _, name = resource_id.rpartition("/")
    return namespace or None, name


def describe(obj: Mapping[str, Any]) -> str:
    """`Deployment serving/engine (apps/v1)`: how messages name an object."""
    return f"{obj.get('kind')} {object_id(obj)} ({obj.get('apiVersion')})"
