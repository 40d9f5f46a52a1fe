"""The end: `destroy` leaves no object, `down` leaves nothing at all. Ends the running platform, so it runs last and by
its own marker (`make test-teardown`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client, config
from traces_of_a_node import remains

from infra.local.bring_up import BringUp

pytestmark = [pytest.mark.teardown, pytest.mark.timeout(600)]
LLMP = Path(sys.executable).with_name("llmp")
OURS = "app.kubernetes.io/part-of=llmp"


def llmp(*arguments: str) -> str:
    done = subprocess.run([LLMP, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_destroy_leaves_no_object_and_the_cluster_running(work: BringUp):
    llmp("destroy")
    api = config.new_client_from_config(str(work.node.layout.kubeconfig))
    core = client.CoreV1Api(api)
    left = [
        *core.list_namespace(label_selector=OURS).items,
        *core.list_pod_for_all_namespaces(label_selector=OURS).items,
        *core.list_persistent_volume().items,
        *client.RbacAuthorizationV1Api(api).list_cluster_role(label_selector=OURS).items,
        *client.StorageV1Api(api).list_storage_class(label_selector=OURS).items,
    ]
    assert [each.metadata.name for each in left] == []
    assert work.node.process() is not None, "destroy deletes the stack's objects, not the cluster"


def test_down_leaves_nothing(work: BringUp):
    layout = work.node.layout
    assert remains(layout), "the node runs until now"
    llmp("down")
    assert remains(layout) == []
    assert not layout.root.exists()
