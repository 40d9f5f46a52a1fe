"""Which programs are built, and how. Versions stand in each family's go.mod alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


def _no_flags(version: Callable[[str], str]) -> str:
    del version
    return ""


def _kubernetes_flags(version: Callable[[str], str]) -> str:
    """The version that clients negotiate with; an unset one reads v0.0.0 and breaks feature gates and kubelet skew."""
    release = version("k8s.io/kubernetes")
    major, minor = release.removeprefix("v").split(".")[:2]
    package = "k8s.io/component-base/version"
    return " ".join(
        f"-X {package}.{name}={value}"
        for name, value in (
            ("gitVersion", release),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
        )
    )


def _pulumi_flags(version: Callable[[str], str]) -> str:
    """The version the SDK compares with its own."""
    release = version("github.com/pulumi/pulumi/pkg/v3")
    return f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={release}"


@dataclass(frozen=True, slots=True)
class Family:
    """Programs that share one go.mod. `programs` maps the name we use to the package that is built."""

    name: str
    programs: dict[str, str]
    tags: str = ""
    flags: Callable[[Callable[[str], str]], str] = _no_flags

    @property
    def folder(self) -> Path:
        """Where its go.mod and go.sum are."""
        return _HERE / self.name

    def version(self, module: str) -> str:
        """The pinned version of a module of this family's go.mod."""
        text = (self.folder / "go.mod").read_text()
        found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", text, re.MULTILINE)
        if found is None:
            raise LookupError(f"{self.folder}/go.mod does not require {module}")
        return found[1]

    @property
    def linker_flags(self) -> str:
        """Stripped, with the versions that programs report about themselves."""
        return f"-s -w {self.flags(self.version)}".strip()


KUBERNETES = Family(
    name="kubernetes",
    programs={
        **{name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager")},
        **{name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-scheduler", "kube-proxy", "kubelet")},
        "etcd": "go.etcd.io/etcd/server/v3",
    },
    flags=_kubernetes_flags,
)
PULUMI = Family(
    name="pulumi",
    programs={"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
    tags="osusergo,grpcnotrace",
    flags=_pulumi_flags,
)
PAUSE = Family(name="pause", programs={"pause": "llmp/toolchain/pause"})
# Together, so that the client library which all of them are built on is compiled once.
ADDONS = Family(
    name="addons",
    programs={
        "coredns": "llmp/toolchain/addons/coredns",
        "local-path-provisioner": "github.com/rancher/local-path-provisioner",
        "metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server",
    },
)
# By itself: its newest release does not compile against the client library of the others.
KUBE_STATE_METRICS = Family(name="kube-state-metrics", programs={"kube-state-metrics": "k8s.io/kube-state-metrics/v2"})
PROMETHEUS = Family(
    name="prometheus",
    programs={name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
    tags="netgo,remove_all_sd,enable_kubernetes_sd",
)
ALERTMANAGER = Family(
    name="alertmanager", programs={"alertmanager": "github.com/prometheus/alertmanager/cmd/alertmanager"}
)
JAEGER = Family(name="jaeger", programs={"jaeger": "github.com/jaegertracing/jaeger/cmd/jaeger"})

# In the order of building: the node first, so that it starts while the rest is still compiled.
FAMILIES = (KUBERNETES, PAUSE, PULUMI, PROMETHEUS, ADDONS, KUBE_STATE_METRICS, ALERTMANAGER, JAEGER)
