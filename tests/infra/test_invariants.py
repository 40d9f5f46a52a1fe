"""Rules that hold over everything the program declares, in preview and in update."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from recording_engine import SECRET, SIGNATURE, Declared, declare

from infra import program
from infra.identity import Identity
from infra.local import platform as local
from infra.local.cluster.layout import Layout
from infra.local.images.catalogue import BINARY_IMAGES, CONTAINERFILE_IMAGES
from infra.platform import Platform
from infra.secrets import Secrets
from infra.settings import read_stack_file

REPOSITORY = Path(__file__).parents[2]
IMAGES = ("base", *(image.name for image in (*BINARY_IMAGES, *CONTAINERFILE_IMAGES)))


@cache
def declared(preview: bool) -> list[Declared]:
    settings = read_stack_file(REPOSITORY / "Pulumi.local.yaml")

    def environment(identity: Identity) -> Platform:
        images = {name: f"localhost/llmp/{name}:0123456789abcdef" for name in IMAGES}
        return local.embedded(identity, Layout(Path("/var/lib/llmp/node")), "{}", settings.cluster.ports, images)

    return declare(
        lambda: program.run(settings, Secrets.from_seed("a seed for tests that is long enough", "local"), environment),
        stack="local",
        preview=preview,
    )


@pytest.fixture(params=[True, False], ids=["preview", "update"])
def objects(request: pytest.FixtureRequest) -> list[Declared]:
    return declared(request.param)


def pods(objects: list[Declared]) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in objects:
        template = each.inputs.get("spec", {}).get("template") if isinstance(each.inputs.get("spec"), dict) else None
        if template:
            yield f"{each.kind} {each.name}", template["spec"]


def containers(objects: list[Declared]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods(objects):
        for container in pod["containers"]:
            yield f"{name}/{container['name']}", container


def test_a_preview_shows_all_that_an_update_makes():
    planned, made = (Counter((each.type, each.name) for each in declared(preview)) for preview in (True, False))
    assert planned == made, "objects made inside an apply are invisible to whoever reviews the preview"


def test_no_two_objects_share_a_name_and_type(objects):
    twice = [key for key, count in Counter((each.type, each.name) for each in objects).items() if count > 1]
    assert not twice, "the engine refuses a URN that is there twice"


def test_everything_says_what_it_belongs_to(objects):
    for each in objects:
        labels = each.inputs["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/part-of") == "llmp", f"{each.kind} {each.name} has no owner"
        assert labels.get("app.kubernetes.io/instance") == "local", f"{each.kind} {each.name} has no stack"


def test_every_container_has_requests_and_a_memory_limit(objects):
    for name, container in containers(objects):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), f"{name} is scheduled blind"
        assert "memory" in resources["limits"], f"{name} could take the node's memory"


def test_every_pod_is_unprivileged(objects):
    for name, pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, f"{name}/{container['name']} can change its program"
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"]["drop"] == ["ALL"], name


def test_a_pod_without_rights_mounts_no_token(objects):
    for name, pod in pods(objects):
        has_account = "serviceAccountName" in pod
        assert has_account or pod.get("automountServiceAccountToken") is False, f"{name} holds a token it never needs"


def test_no_image_floats(objects):
    for name, container in containers(objects):
        assert re.search(r":[0-9a-f]{16}$|@sha256:[0-9a-f]{64}$", container["image"]), f"{name}: {container['image']}"


def test_every_server_tells_when_it_is_ready(objects):
    silent = {"Deployment local-path-provisioner/provisioner", "Job weights-smollm2/weights"}
    for name, container in containers(objects):
        assert "readinessProbe" in container or name in silent, f"{name} gets traffic before it can answer"


def test_secrets_stand_in_secrets_only(objects):
    for each in objects:
        holds = any(_secrets(each.inputs))
        assert not holds or each.kind == "Secret", f"{each.kind} {each.name} would show a secret in plain text"


def test_no_output_became_text(objects):
    for each in objects:
        assert "Output[T]" not in str(each.inputs), f"{each.kind} {each.name} holds the text of an unresolved value"


def test_every_namespace_starts_with_all_traffic_denied(objects):
    ours = {each.name for each in objects if each.kind == "Namespace"} - {"local-path-storage"}
    denied = {each.name.removesuffix("-default-deny") for each in objects if each.name.endswith("-default-deny")}
    assert denied == ours


def test_every_serving_and_monitoring_workload_has_a_policy_of_its_own(objects):
    workloads = {
        each.inputs["metadata"]["name"]
        for each in objects
        if each.kind in {"Deployment", "StatefulSet"}
        and each.inputs["metadata"].get("namespace") not in {"kube-system", "local-path-storage"}
    }
    policies = {each.name.removesuffix("-traffic") for each in objects if each.name.endswith("-traffic")}
    in_system = {"coredns", "metrics-server", "local-path-provisioner"}
    assert workloads - in_system <= policies, "a part without a policy can talk to nobody"


def _secrets(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            yield value
        else:
            for item in value.values():
                yield from _secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)
