"""Tests on the running local platform (`make up`, then `make test-cluster`)."""

from __future__ import annotations

import pytest
from kubernetes import client, config
from running_platform import Running

from infra.cli.context import bring_up
from infra.local.bring_up import BringUp


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in item.path.parts and not item.get_closest_marker("teardown"):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def work() -> BringUp:
    return bring_up("local")


@pytest.fixture(scope="session")
def platform(work: BringUp) -> Running:
    outputs = work.stack().outputs()
    if not outputs:
        pytest.fail("the local platform is not up: run `make up` first")
    api = config.new_client_from_config(str(work.node.layout.kubeconfig))
    return Running(outputs, client.AppsV1Api(api), client.CoreV1Api(api))
