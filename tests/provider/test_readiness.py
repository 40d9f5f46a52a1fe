"""When an object counts as ready, and what is told of one that does not."""

import pytest

from infra.local.kubernetes_provider.errors import ProviderError
from infra.local.kubernetes_provider.evidence import crashed_containers, log_lines, pod_selector, pod_troubles, warnings
from infra.local.kubernetes_provider.readiness import Readiness, Surroundings, verdict

READY, WAITING, FAILED = Readiness.READY, Readiness.WAITING, Readiness.FAILED


def judged(api_version, kind, spec=None, status=None, generation=1, **surroundings):
    obj = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "it", "namespace": "ns", "generation": generation},
        "spec": spec or {},
        "status": status or {},
    }
    return verdict(obj, Surroundings(**surroundings))


def condition(kind, status="True", reason="", message=""):
    return {"conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]}


SEEN = {"observedGeneration": 1}
TWO = {"replicas": 2}


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        (TWO, {}, WAITING),
        (TWO, {**SEEN, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, READY),
        (TWO, {**SEEN, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, WAITING),
        (TWO, {**SEEN, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}, WAITING),
        ({"replicas": 0}, SEEN, READY),
        ({"paused": True}, SEEN, READY),
        (TWO, {**SEEN, **condition("Progressing", "False", "ProgressDeadlineExceeded")}, FAILED),
    ],
)
def test_a_deployment_is_ready_when_only_available_pods_of_the_new_version_are_left(spec, status, expected):
    assert judged("apps/v1", "Deployment", spec, status).readiness is expected


def test_a_deployment_that_may_create_no_pods_says_why():
    status = {**SEEN, **condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: compute")}
    assert "exceeded quota: compute" in judged("apps/v1", "Deployment", TWO, status).reason


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        (TWO, {**SEEN, "readyReplicas": 1}, WAITING),
        (TWO, {**SEEN, "readyReplicas": 2, "updateRevision": "b", "currentRevision": "a"}, WAITING),
        (TWO, {**SEEN, "readyReplicas": 2, "updateRevision": "b", "currentRevision": "b"}, READY),
        ({**TWO, "updateStrategy": {"type": "OnDelete"}}, {**SEEN, "readyReplicas": 2, "updateRevision": "b"}, READY),
        (
            {**TWO, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {**SEEN, "readyReplicas": 2, "updatedReplicas": 1, "updateRevision": "b"},
            READY,
        ),
    ],
)
def test_a_stateful_set_is_ready_when_its_rollout_is_through(spec, status, expected):
    assert judged("apps/v1", "StatefulSet", spec, status).readiness is expected


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "status", "expected"),
    [
        ("apps/v1", "DaemonSet", {}, {**SEEN, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1}, WAITING),
        ("apps/v1", "DaemonSet", {}, {**SEEN, "desiredNumberScheduled": 0}, READY),
        ("batch/v1", "Job", {}, {"active": 1}, WAITING),
        ("batch/v1", "Job", {}, condition("Complete"), READY),
        ("batch/v1", "Job", {}, condition("Failed", "True", "BackoffLimitExceeded"), FAILED),
        ("batch/v1", "Job", {"suspend": True}, {}, READY),
        ("v1", "Pod", {}, {"phase": "Pending"}, WAITING),
        ("v1", "Pod", {}, {"phase": "Running", **condition("Ready")}, READY),
        ("v1", "Pod", {}, {"phase": "Failed", "reason": "Evicted"}, FAILED),
        ("v1", "Namespace", {}, {"phase": "Active"}, READY),
        ("v1", "PersistentVolumeClaim", {}, {"phase": "Lost"}, FAILED),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, {}, WAITING),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, condition("Established"), READY),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, condition("NamesAccepted", "False"), FAILED),
        ("apiregistration.k8s.io/v1", "APIService", {}, condition("Available", "False", "FailedDiscovery"), WAITING),
        ("v1", "ConfigMap", {}, {}, READY),
    ],
)
def test_other_kinds_are_judged_by_their_own_status(api_version, kind, spec, status, expected):
    assert judged(api_version, kind, spec, status).readiness is expected


def test_a_service_wants_a_ready_pod_unless_it_is_not_its_own_to_find():
    selecting = {"selector": {"app": "x"}, "clusterIP": "10.0.0.1"}
    unready = [{"endpoints": [{"conditions": {"ready": False}}]}]
    ready = [{"endpoints": [{"conditions": {"ready": True}}]}]
    assert judged("v1", "Service", selecting, endpoint_slices=unready).readiness is WAITING
    assert judged("v1", "Service", selecting, endpoint_slices=ready).readiness is READY
    assert judged("v1", "Service", {"clusterIP": "10.0.0.1"}).readiness is READY, "without a selector others fill it"
    assert judged("v1", "Service", {**selecting, "type": "ExternalName"}).readiness is READY
    assert judged("v1", "Service", {**selecting, "clusterIP": "None"}).readiness is READY, (
        "a StatefulSet needs its name"
    )
    balanced = {**selecting, "type": "LoadBalancer"}
    assert judged("v1", "Service", balanced, endpoint_slices=ready).readiness is WAITING, "it has no address yet"


def test_a_claim_may_wait_for_its_first_pod():
    pending = {"phase": "Pending"}
    late = {"volumeBindingMode": "WaitForFirstConsumer"}
    assert judged("v1", "PersistentVolumeClaim", {}, pending, storage_class=late).readiness is READY
    assert judged("v1", "PersistentVolumeClaim", {}, pending, storage_class={}).readiness is WAITING


def pod(**status):
    return {"kind": "Pod", "metadata": {"name": "engine-abc", "namespace": "ns"}, "status": status}


def container(state, last=None, **more):
    return {"name": "main", "state": state, "lastState": last or {}, **more}


def test_an_unready_pod_tells_the_kubelets_own_reason():
    pulling = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}
    assert pod_troubles(pod(containerStatuses=[container(pulling)])) == [
        'pod engine-abc: container main: ImagePullBackOff: Back-off pulling image "x"'
    ]
    unscheduled = condition(
        "PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    )
    assert pod_troubles(pod(phase="Pending", **unscheduled)) == [
        "pod engine-abc: Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    ]
    probing = container({"running": {}}, ready=False)
    assert "readiness probe has not passed" in pod_troubles(pod(containerStatuses=[probing]))[0]


def test_a_crashed_container_tells_its_exit_and_which_log_to_read():
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    looping = container({"waiting": {"reason": "CrashLoopBackOff"}}, last=ended)
    crashed = pod(containerStatuses=[looping])
    assert crashed_containers(crashed) == [("main", True)], "the log of the run that ended, not of the one to come"
    assert any("ended before: Error (exit code 1)" in line for line in pod_troubles(crashed))
    assert crashed_containers(pod(containerStatuses=[container(ended)])) == [("main", False)]
    assert log_lines("main", "one\ntwo\nthree\n", 2) == ["last log lines of container main:", "  two", "  three"]
    assert log_lines("main", "", 2) == [], "no log, no heading"


def test_only_the_last_warnings_are_told_each_once():
    def event(reason, when, kind="Warning"):
        return {"type": kind, "reason": reason, "message": "m", "lastTimestamp": when, "metadata": {}}

    events = [
        event("D", "4"),
        event("A", "1"),
        event("B", "2"),
        event("C", "3"),
        event("D", "5"),
        event("N", "9", "Normal"),
    ]
    assert warnings(events) == ["event B: m", "event C: m", "event D: m"]


def test_the_pods_behind_an_object_are_found_by_its_selector():
    expressions = [{"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]
    selector = {"matchLabels": {"app": "x"}, "matchExpressions": expressions}
    assert pod_selector({"kind": "Deployment", "spec": {"selector": selector}}) == "app=x,tier in (a,b),!old"
    assert pod_selector({"kind": "Service", "spec": {"selector": {"app": "x"}}}) == "app=x"
    assert pod_selector({"kind": "ConfigMap"}) is None


def test_a_program_may_say_itself_what_to_wait_for():
    def custom(wait_for, **status):
        metadata = {"name": "group", "annotations": {"pulumi.com/waitFor": wait_for}}
        obj = {"apiVersion": "x.example.com/v1", "kind": "Group", "metadata": metadata, "status": status}
        return verdict(obj, Surroundings())

    available = condition("Available")
    assert custom("condition=Available").readiness is WAITING, "nothing is reported yet"
    assert custom("condition=Available", **available).readiness is READY
    assert custom("condition=Available=False", **available).readiness is WAITING
    assert custom("jsonpath={.status.phase}=Running", phase="Running").readiness is READY
    both = '["condition=Available", "jsonpath={.status.replicas}=2"]'
    assert "jsonpath={.status.replicas}=2" in custom(both, replicas=1, **available).reason, "what is missing is named"
    assert custom(both, replicas=2, **available).readiness is READY
    with pytest.raises(ProviderError, match="is neither"):
        custom("ready please")
