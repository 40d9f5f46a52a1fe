"""What a person reads when the cluster does not do what the program asks, and how the next run goes on."""

import re
import signal
import threading
import time

import psutil
import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi import automation


def merged(in_cluster, **options):
    return pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(**options))


def engine(namespace, replicas, seconds="1", **options):
    """A Deployment whose pods stay Pending, for the tests' cluster has no node."""

    def program(in_cluster):
        k8s.apps.v1.Deployment(
            "engine",
            metadata={
                "name": "engine",
                "namespace": namespace,
                "annotations": {"pulumi.com/timeoutSeconds": seconds},
            },
            spec={
                "replicas": replicas,
                "selector": {"match_labels": {"app": "engine"}},
                "template": {
                    "metadata": {"labels": {"app": "engine"}},
                    "spec": {"containers": [{"name": "main", "image": "example:1"}]},
                },
            },
            opts=merged(in_cluster, **options),
        )

    return program


def test_a_failed_readiness_tells_the_reason_is_kept_and_recovers(stack, kubernetes, namespace):
    failure = stack.failure(engine(namespace, replicas=1))
    told = rf"Deployment {namespace}/engine \(apps/v1\) not ready after \d+ s"
    assert re.search(told, failure), "the object and how long it waited"
    assert "0/1 replicas available" in failure, "what is missing"
    assert "no nodes available to schedule pods" in failure, "and why: the scheduler's own words"
    uid = kubernetes.apps.read_namespaced_deployment("engine", namespace).metadata.uid
    kept = stack.resource("Deployment")
    assert kept["id"] == f"{namespace}/engine" and kept["initErrors"], (
        "the half-made object is in the state, as unready"
    )

    again = stack.failure(engine(namespace, replicas=1))
    assert re.search(told, again), "an unchanged program waits again instead of calling it done"
    stack.up(engine(namespace, replicas=0))
    live = kubernetes.apps.read_namespaced_deployment("engine", namespace)
    assert live.metadata.uid == uid, "the next run goes on with the same object"
    assert not stack.resource("Deployment").get("initErrors"), "and it is whole again"


def test_a_cancelled_wait_ends_at_once_and_keeps_the_object(stack, kubernetes, namespace):
    outcome = []

    def run():
        try:
            stack.up(engine(namespace, replicas=1, seconds="60"))
        except automation.CommandError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while not kubernetes.exists(kubernetes.apps.read_namespaced_deployment, "engine", namespace):
        assert time.monotonic() < deadline, "the Deployment should exist within seconds"
        time.sleep(0.1)
    began = time.monotonic()
    for child in engine_processes(stack):
        child.send_signal(signal.SIGINT)
    thread.join(timeout=20)
    assert not thread.is_alive() and time.monotonic() - began < 10, "a cancelled run must not sit out its timeout"
    assert "cancelled" in outcome[0], "it says what happened"
    assert stack.resource("Deployment")["initErrors"], "the object is in the state, so the next run goes on with it"


def engine_processes(stack):
    """The `pulumi up` of this stack, found below this process."""
    below = psutil.Process().children(recursive=True)
    return [item for item in below if item.name() == "pulumi" and stack.stack.name in item.cmdline()]


def test_a_conflict_names_the_other_manager_and_the_mend(stack, kubernetes, namespace):
    stack.up(engine(namespace, replicas=0))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/engine"
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "engine"},
        "spec": {"minReadySeconds": 7, "replicas": 0},
    }
    kubernetes.apply(path, "autoscaler", {**theirs, "spec": {**theirs["spec"], "paused": True}})
    kubernetes.apply(
        path, "autoscaler", {**theirs, "spec": {**theirs["spec"], "paused": True, "replicas": 3}}, force=True
    )

    failure = stack.failure(engine(namespace, replicas=1))
    assert f"Deployment {namespace}/engine (apps/v1)" in failure, "the object"
    assert ".spec.replicas" in failure and '"autoscaler"' in failure, "the field and the other manager"
    assert "pulumi.com/patchForce" in failure and "ignore_changes" in failure, "both mends"

    stack.up(engine(namespace, replicas=0, seconds="5", ignore_changes=["spec.replicas"]))
    replicas = kubernetes.apps.read_namespaced_deployment("engine", namespace).spec.replicas
    assert replicas == 3, "an ignored field stays with the manager that owns it"


def test_an_interrupted_create_goes_on_with_its_own_object(stack, kubernetes, namespace):
    stack.up(engine(namespace, replicas=0))
    uid = kubernetes.apps.read_namespaced_deployment("engine", namespace).metadata.uid
    state = stack.stack.export_stack()
    resources = state.deployment["resources"]
    state.deployment["resources"] = [item for item in resources if not item["type"].endswith(":Deployment")]
    stack.stack.import_stack(state)

    stack.up(engine(namespace, replicas=0))
    assert kubernetes.apps.read_namespaced_deployment("engine", namespace).metadata.uid == uid, (
        "an object that this resource applied before, in a run whose state was lost, is taken up again"
    )


def test_a_service_waits_for_its_pods_and_a_finalizer_is_named(stack, kubernetes, namespace):
    def program(in_cluster):
        k8s.core.v1.Service(
            "api",
            metadata={"name": "api", "namespace": namespace},
            spec={"selector": {"app": "absent"}, "ports": [{"port": 80}]},
            opts=merged(in_cluster, custom_timeouts=pulumi.CustomTimeouts(create="1s")),
        )
        k8s.core.v1.ConfigMap(
            "held",
            metadata={"name": "held", "namespace": namespace, "finalizers": ["tests.example.com/held"]},
            opts=merged(in_cluster, custom_timeouts=pulumi.CustomTimeouts(delete="1s")),
        )

    failure = stack.failure(program)
    assert "no ready pod has the labels app=absent" in failure, "the Service tells what it waits for"
    with pytest.raises(automation.CommandError, match=r"held by finalizer tests\.example\.com/held"):
        stack.destroy()
    kubernetes.core.patch_namespaced_config_map("held", namespace, {"metadata": {"finalizers": []}})


def test_what_cannot_be_done_says_what_to_do_instead(stack, namespace):
    def program(in_cluster):
        def custom(name, api_version, kind, **spec):
            k8s.apiextensions.CustomResource(
                name,
                api_version=api_version,
                kind=kind,
                metadata={"name": name, "namespace": namespace},
                opts=in_cluster,
                **spec,
            )

        custom("typo", "v1", "Service", spec={"ports": [{"port": 80}], "sellector": {}})
        custom("monitor", "monitoring.coreos.com/v1", "PodMonitor")

    printed = stack.failure(program, continue_on_error=True)
    assert "sellector" in printed and "check its spelling" in printed, "an unknown field is named, with the mend"
    assert "no kind 'PodMonitor' in apiVersion 'monitoring.coreos.com/v1'" in printed, "an unknown kind is named"
    assert "create its CustomResourceDefinition" in printed, "with its mend"


def test_a_new_kubeconfig_of_the_same_cluster_replaces_nothing(make_stack, namespace):
    stack = make_stack(cluster_identifier="tests")

    def program(in_cluster):
        k8s.core.v1.ConfigMap("kept", metadata={"namespace": namespace}, data={"a": "1"}, opts=in_cluster)

    stack.up(program)
    stack.settings["context"] = "standalone"
    assert stack.preview(program)[0] == {"same": 2, "update": 1}, "only the provider is updated"
    stack.settings["cluster_identifier"] = "another"
    assert stack.preview(program)[0].get("replace") == 2, "another cluster means another provider and another object"
