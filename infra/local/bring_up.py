"""From nothing to a running platform on this machine: the steps, what each needs, and the order that follows."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from infra.errors import ClusterError
from infra.local import system
from infra.local.cluster.layout import Layout
from infra.local.cluster.node import Node, wait_until
from infra.local.home import Home
from infra.local.images.builder import ImageBuilder
from infra.local.images.catalogue import (
    BINARY_IMAGES,
    CONTAINERFILE_IMAGES,
    PAUSE_IMAGE,
    BinaryImage,
    ContainerfileImage,
    references,
)
from infra.local.images.node_store import NodeStore
from infra.local.kubernetes_plugin import Plugin, choose
from infra.local.platform import doorways
from infra.local.steps import Graph, Step
from infra.local.toolchain.build import Toolchain
from infra.local.toolchain.families import FAMILIES, KUBERNETES, PROMETHEUS, PULUMI, Family
from infra.local.toolchain.go import find_go
from infra.settings import Settings
from infra.stack import Report, Stack, command_link
from infra.versions import PULUMI as PULUMI_VERSION

Say = Callable[[str], None]
_READY_SECONDS = 120.0


@dataclass
class BringUp:
    """One `llmp up` of the local platform. Build the graph, run it, then read `report`."""

    name: str
    settings: Settings
    file: Path
    home: Home
    report: Report | None = None
    plugin: Plugin | None = None

    @cached_property
    def toolchain(self) -> Toolchain:
        return Toolchain(self.home.programs, self.home.cache / "go-build", find_go(self.home.cache))

    @cached_property
    def images(self) -> Mapping[str, str]:
        return references(self.toolchain)

    @cached_property
    def builder(self) -> ImageBuilder:
        return ImageBuilder(self.home.images, self.home.cache / "buildah", self.toolchain, self.images)

    @cached_property
    def node(self) -> Node:
        ports = tuple((door.name, door.port, door.node_port) for door in doorways(self.settings.cluster.ports))
        return Node(
            Layout(self.home.node), lambda name: self.toolchain.path(KUBERNETES, name), self.images["pause"], ports
        )

    @cached_property
    def pulumi(self) -> Path:
        """The engine: the user's own when its version is ours, else the one that is built."""
        found = shutil.which("pulumi")
        if found:
            version = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout.strip()
            if version == f"v{PULUMI_VERSION}":
                return Path(found)
        return self.toolchain.path(PULUMI, "pulumi")

    @property
    def stack_folder(self) -> Path:
        """Where the stack's state lies: with the cluster of ours that it describes, or by itself."""
        return self.home.node / "pulumi" if self.makes_cluster else self.home.state / "stacks" / self.name

    def stack(self) -> Stack:
        """The stack with the engine and plugin of this machine. ClusterError before there is an engine."""
        if not self.pulumi.exists():
            raise ClusterError("nothing has been built yet", mend=f"llmp up -s {self.file_name}")
        plugin = self.plugin or choose(self.pulumi, self.home)
        return Stack(self.name, self.settings, self.file, self.stack_folder, self.home, self.pulumi, plugin)

    def outputs(self) -> dict[str, Any]:
        """The outputs of the last `up`; empty before it. Needs the engine that `up` ran with, and nothing else."""
        link = command_link(self.stack_folder)
        if not link.exists():
            return {}
        unused = Plugin("reading outputs asks no provider")
        folder = self.stack_folder
        return Stack(self.name, self.settings, self.file, folder, self.home, link.resolve(), unused).outputs()

    @property
    def file_name(self) -> str:
        """The stack as `-s` names it."""
        return self.file.name.removeprefix("Pulumi.").removesuffix(".yaml")

    @property
    def makes_cluster(self) -> bool:
        """Whether the stack runs on a cluster of ours, and not on one that a kubeconfig names."""
        return not (self.settings.cluster.context or self.settings.cluster.kubeconfig)

    def graph(self) -> Graph:
        """Every step of the way."""
        graph = Graph()
        builds_pulumi = self._builds_pulumi()
        wanted = [family for family in FAMILIES if (builds_pulumi if family is PULUMI else self.makes_cluster)]
        graph.add(step for family in wanted for step in self._program_steps(family))
        graph.add([Step("plugin", "Kubernetes provider", self._choose_plugin, self._pulumi_needs())])
        loads: tuple[str, ...] = ()
        if self.makes_cluster:
            graph.add(self._cluster_steps())
            loads = tuple(step.name for step in graph.steps if step.name.startswith("load-"))
            graph.add([Step("tidy", "Drop the compiler's cache", self._tidy, ("node", *self._compiles(graph)))])
        graph.add([Step("deploy", f"Pulumi stack {self.name}", self._deploy, ("plugin", *loads))])
        return graph

    def build_graph(self, *, images: bool) -> Graph:
        """What can be made without starting anything: with `images` all of it, else the programs that tests run."""
        graph = Graph()
        wanted = FAMILIES if images else (KUBERNETES, PULUMI, PROMETHEUS)
        graph.add(step for family in wanted for step in self._program_steps(family))
        if images:
            made = [step for step in self._cluster_steps() if step.name.startswith(("packages", "base", "image-"))]
            graph.add(made)
        return graph

    def _builds_pulumi(self) -> bool:
        return self.pulumi == self.toolchain.path(PULUMI, "pulumi")

    def _pulumi_needs(self) -> tuple[str, ...]:
        return ("compile-pulumi",) if self._builds_pulumi() else ()

    @staticmethod
    def _compiles(graph: Graph) -> tuple[str, ...]:
        return tuple(step.name for step in graph.steps if step.compiles)

    def _program_steps(self, family: Family) -> list[Step]:
        """Modules are fetched beside the compiles of other families."""

        def fetch(say: Say) -> bool:
            del say
            return self.toolchain.fetch(family)

        def build(say: Say) -> bool:
            del say
            return self.toolchain.ensure(family)

        name = family.name
        return [
            Step(f"fetch-{name}", f"Fetch modules of {name}", fetch),
            Step(f"compile-{name}", f"Compile {name}", build, (f"fetch-{name}",), compiles=True),
        ]

    def _cluster_steps(self) -> list[Step]:
        steps = [
            Step("packages", "Debian packages", system.install_packages),
            Step("base", "Image base", self.builder.base, ("packages",)),
            Step("node", "Kubernetes node", self._start_node, ("packages", "compile-kubernetes", "image-pause")),
        ]
        steps += [self._binary_image(image) for image in BINARY_IMAGES]
        steps += [self._containerfile_image(image) for image in CONTAINERFILE_IMAGES]
        steps.append(self._load("base", needs="base"))
        steps += [
            self._load(image.name, needs=f"image-{image.name}") for image in BINARY_IMAGES if image != PAUSE_IMAGE
        ]
        steps += [self._load(image.name, needs=f"image-{image.name}") for image in CONTAINERFILE_IMAGES]
        return steps

    def _binary_image(self, image: BinaryImage) -> Step:
        def run(say: Say) -> bool:
            del say
            return self.builder.binary(image)

        return Step(f"image-{image.name}", f"Image {image.name}", run, (f"compile-{image.family.name}",))

    def _containerfile_image(self, image: ContainerfileImage) -> Step:
        def run(say: Say) -> bool:
            return self.builder.containerfile(image, say)

        return Step(f"image-{image.name}", f"Image {image.name}", run, ("base",))

    def _load(self, name: str, *, needs: str) -> Step:
        def run(say: Say) -> bool:
            del say
            return self._store.load(self.images[name], self.builder.archive(name))

        return Step(f"load-{name}", f"Load image {name}", run, (needs, "node"))

    @property
    def _store(self) -> NodeStore:
        return NodeStore(self.node.layout.containerd_socket)

    def _start_node(self, say: Say) -> bool:
        started = self.node.start()
        layout = self.node.layout
        hint = f"see the logs in {layout.logs}"
        say("waiting for the API server")
        with _client(layout) as api:
            wait_until("the API server's start", lambda: self._serves(api), seconds=_READY_SECONDS, hint=hint)
            say("waiting for containerd")
            wait_until("containerd's start", layout.containerd_socket.exists, seconds=_READY_SECONDS, hint=hint)
            self._store.load(self.images["pause"], self.builder.archive("pause"))
            say("waiting for the node")
            wait_until("the node's readiness", lambda: _node_ready(api, layout.name), seconds=_READY_SECONDS, hint=hint)
        return started

    def _serves(self, api: httpx.Client) -> bool:
        """Whether the API server answers; ClusterError with the reason when the node ended as it began."""
        if self.node.process() is None:
            log = self.node.layout.logs / "sandbox.log"
            last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise ClusterError(f"the local node ended at once: {last}", mend="mend what it says, then run again")
        return _ok(api, "/readyz")

    def _choose_plugin(self, say: Say) -> bool:
        del say
        self.plugin = choose(self.pulumi, self.home)
        return False

    def _tidy(self, say: Say) -> bool:
        """Gigabytes that only a compile needs, and programs of earlier pins, which the node no longer runs."""
        del say
        forgotten = [self.toolchain.forget_older(family) for family in FAMILIES]
        cache = self.home.cache / "go-build"
        if cache.exists():
            shutil.rmtree(cache, ignore_errors=True)
            return True
        return any(forgotten)

    def _deploy(self, say: Say) -> bool:
        self.report = self.stack().up(say)
        return bool(self.report.changes)


def _client(layout: Layout) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    context.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
    return httpx.Client(base_url=layout.api_url, verify=context, timeout=5.0, trust_env=False)


def _ok(api: httpx.Client, path: str) -> bool:
    try:
        return api.get(path).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _node_ready(api: httpx.Client, name: str) -> bool:
    try:
        answer = api.get(f"/api/v1/nodes/{name}")
    except httpx.HTTPError:
        return False
    conditions = answer.json().get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
