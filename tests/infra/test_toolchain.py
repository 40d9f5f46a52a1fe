"""Programs are built once a pin, verified on reuse and rebuilt when damaged; on the smallest family, really built."""

from __future__ import annotations

import re
import subprocess

import pytest

from infra.errors import BuildError
from infra.local.images.archive import StaticImage, write_archive
from infra.local.toolchain.build import Toolchain
from infra.local.toolchain.families import FAMILIES, KUBERNETES, PAUSE, PULUMI, Family
from infra.local.toolchain.go import find_go
from infra.versions import PULUMI as PULUMI_VERSION


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory) -> Toolchain:
    folder = tmp_path_factory.mktemp("toolchain")
    return Toolchain(folder / "programs", folder / "cache", find_go(folder))


def test_a_family_is_built_once_and_rebuilt_when_a_program_is_damaged(toolchain):
    assert toolchain.ensure(PAUSE) is True
    assert toolchain.ensure(PAUSE) is False, "what is whole is not built again"
    path = toolchain.path(PAUSE, "pause")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert toolchain.ensure(PAUSE) is True, "one changed byte shows"
    assert path.read_bytes() == whole, "builds are reproducible"


def test_a_build_that_was_cut_off_leaves_nothing_that_is_taken_for_whole(toolchain):
    toolchain.ensure(PAUSE)
    folder = toolchain.folder(PAUSE)
    folder.rename(folder.with_suffix(".part"))
    assert toolchain.ensure(PAUSE) is True


def test_a_family_that_cannot_be_built_names_it_and_the_mend(toolchain):
    broken = Family(name="pause", programs={"nothing": "llmp/toolchain/nothing"})
    with pytest.raises(BuildError, match="building pause") as caught:
        toolchain.ensure(broken)
    assert "run again" in caught.value.mend


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_is_pinned_with_sums_and_builds_what_its_go_mod_names(family):
    module = (family.folder / "go.mod").read_text()
    if family is PAUSE:
        return
    assert (family.folder / "go.sum").stat().st_size > 0
    tools = set(re.findall(r"^(?:tool |\t)([\w./-]+)$", module, re.MULTILINE))
    assert set(family.programs.values()) <= tools


def test_versions_that_programs_report_come_from_their_go_mod():
    assert f"gitVersion={KUBERNETES.version('k8s.io/kubernetes')}" in KUBERNETES.linker_flags
    assert f"Version=v{PULUMI_VERSION}" in PULUMI.linker_flags, "the engine and the SDK are of one version"


def test_the_same_program_gives_the_same_archive(toolchain, tmp_path):
    toolchain.ensure(PAUSE)
    image = StaticImage("localhost/llmp/pause:1", {"/pause": toolchain.path(PAUSE, "pause")}, ("/pause",))
    for name in ("one.tar", "two.tar"):
        write_archive(image, tmp_path / name)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    listing = subprocess.run(["tar", "tf", tmp_path / "one.tar"], capture_output=True, text=True, check=True).stdout
    assert "manifest.json" in listing
    assert not list(tmp_path.glob(".*")), "no scratch file stays"
