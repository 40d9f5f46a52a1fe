"""With a kubeconfig named, the same program goes to that cluster, and none is made here."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from infra.local.bring_up import BringUp
from infra.local.home import Home
from infra.settings import read_stack_file

REPOSITORY = Path(__file__).parents[2]
FILE = REPOSITORY / "Pulumi.local.yaml"


@pytest.fixture
def work(tmp_path, kubeconfig) -> BringUp:
    settings = read_stack_file(FILE)
    cluster = msgspec.structs.replace(settings.cluster, kubeconfig=str(kubeconfig), context="standalone")
    settings = msgspec.structs.replace(settings, cluster=cluster)
    return BringUp("elsewhere", settings, FILE, Home(Home.from_environment().cache, tmp_path))


def test_no_step_of_it_makes_a_node_or_an_image(work):
    names = {step.name for step in work.graph().steps}
    assert names <= {"fetch-pulumi", "compile-pulumi", "plugin", "deploy"}


@pytest.mark.timeout(180)
def test_a_preview_against_a_real_api_server_plans_all_of_it_and_none_of_the_local_add_ons(work, tmp_path):
    report = work.stack().preview(lambda _: None)
    assert set(report.counts) == {"create"}, "nothing stands there yet"
    planned = {change.name for change in report.changes}
    assert {"gateway", "engine-smollm2", "valkey", "prometheus", "alertmanager", "jaeger"} <= planned
    assert not planned & {"coredns", "metrics-server", "local-path-provisioner"}, "the cluster brings its own"
    assert not Home(tmp_path, tmp_path).node.exists(), "no local node was prepared"
