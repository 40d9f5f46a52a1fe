"""The node leaves nothing behind, whatever end it comes to. A second node beside the running one, on its own link."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import psutil
import pytest
from traces_of_a_node import remains

from infra.local.cluster import node as node_module
from infra.local.cluster.layout import Layout
from infra.local.cluster.node import Node
from infra.local.toolchain.families import KUBERNETES

PORT = 18080


@pytest.fixture
def node(tmp_path, program) -> Iterator[Node]:
    # Not under pytest's own folder: its path is too long for Unix sockets.
    root = Path("/var/lib/llmp-test")
    layout = Layout(root, name="test", link=IPv4Network("10.200.0.4/30"))
    yield Node(layout, lambda name: program(KUBERNETES, name), "localhost/none:0", (("gateway", PORT, 30080),))
    node_module.remove(layout)


def wait_for_api(node: Node) -> None:
    deadline = time.monotonic() + 60
    while "kube-apiserver                   RUNNING" not in node.supervisor("status"):
        assert time.monotonic() < deadline, node.supervisor("status")
        time.sleep(0.5)


def start(node: Node) -> None:
    node.start()
    deadline = time.monotonic() + 30
    while not node.layout.supervisor_socket.exists():
        assert time.monotonic() < deadline, (node.layout.logs / "sandbox.log").read_text()
        time.sleep(0.1)
    wait_for_api(node)


def test_a_stopped_node_leaves_nothing(node):
    start(node)
    assert node.layout.root.stat().st_mode & 0o77 == 0, "volumes inside are writable for all: nobody else gets there"
    assert remains(node.layout), "this test can tell a running node from none"
    assert node.stop() is True
    assert remains(node.layout) == []
    assert node.stop() is False, "stopping again does nothing"


def test_a_killed_node_leaves_nothing(node):
    start(node)
    process = node.process()
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    node.stop()
    assert remains(node.layout) == []


def test_a_node_that_was_killed_while_it_started_leaves_nothing(node):
    node.start()
    time.sleep(0.3)
    node.stop()
    assert remains(node.layout) == []


def test_a_second_start_changes_nothing_and_a_changed_port_moves_only_its_door(node):
    start(node)
    assert node.start() is False
    before = {program.pid for program in psutil.process_iter() if program.name() == "kube-apiserver"}
    moved = Node(node.layout, node.binary, node.pause_image, (("gateway", PORT + 1, 30080),))
    assert moved.start() is True
    after = {program.pid for program in psutil.process_iter() if program.name() == "kube-apiserver"}
    assert before == after, "the control plane does not restart for a door"
    assert f":{PORT + 1}" in Path(moved.layout.config / "supervisord.conf").read_text()


def test_a_program_that_dies_is_started_again(node):
    start(node)
    victim = next(
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(node.layout.pki) in part for part in process.info["cmdline"] or ())
        and "kube-scheduler" in process.info["cmdline"][0]
    )
    victim.kill()
    deadline = time.monotonic() + 30
    while "kube-scheduler                   RUNNING" not in node.supervisor("status"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
