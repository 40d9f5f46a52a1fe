"""The provider's decisions, as functions over plain objects."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pulumi.provider.experimental.property_value import PropertyValue

from infra.local.kubernetes_provider.autoname import named
from infra.local.kubernetes_provider.changes import changes_between
from infra.local.kubernetes_provider.configuration import configuration_problems, replacing_keys, settings_from
from infra.local.kubernetes_provider.drift import live_inputs
from infra.local.kubernetes_provider.errors import ApiRefusalError, ProviderError
from infra.local.kubernetes_provider.kinds import kind_of
from infra.local.kubernetes_provider.manifest import foreseen, manifest_of, recorded
from infra.local.kubernetes_provider.ownership import explained, leaving_to_others
from infra.local.kubernetes_provider.paths import format_path, parse_path
from infra.local.kubernetes_provider.patience import propagation, timeout_seconds
from infra.local.kubernetes_provider.values import UNKNOWN, from_plain, has_unknowns, to_plain, with_secrets_of

KEYS = st.text(st.characters(codec="ascii", exclude_characters='"\\'), min_size=1).filter(lambda key: key != "*")
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text()
OBJECTS = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15)


def inputs(api_version, kind, name="it", **fields):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "ns"}, **fields}


@pytest.mark.parametrize(
    ("api_version", "kind", "old", "new"),
    [
        ("v1", "ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2"}}),
        ("v1", "Secret", {"stringData": {"a": "1"}}, {"stringData": {"a": "1", "b": "2"}}),
        ("v1", "Secret", {"type": "Opaque"}, {"type": "kubernetes.io/tls"}),
        ("v1", "ConfigMap", {"immutable": True}, {}),
        ("v1", "Service", {"spec": {"clusterIP": "10.0.0.1"}}, {"spec": {"clusterIP": "10.0.0.2"}}),
        ("v1", "Service", {"spec": {"type": "ExternalName"}}, {"spec": {"type": "ClusterIP"}}),
        ("v1", "PersistentVolumeClaim", {"spec": {"storageClassName": "a"}}, {"spec": {"storageClassName": "b"}}),
        ("apps/v1", "Deployment", {"spec": {"selector": {"matchLabels": {"a": "b"}}}}, {"spec": {"selector": {}}}),
        ("apps/v1", "StatefulSet", {"spec": {"volumeClaimTemplates": [{}]}}, {"spec": {"volumeClaimTemplates": []}}),
        ("apps/v1", "StatefulSet", {"spec": {"serviceName": "a"}}, {"spec": {"serviceName": "b"}}),
        ("batch/v1", "Job", {"spec": {"template": {"a": 1}}}, {"spec": {"template": {"a": 2}}}),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", {"roleRef": {"name": "a"}}, {"roleRef": {"name": "b"}}),
        ("storage.k8s.io/v1", "StorageClass", {"provisioner": "a"}, {"provisioner": "b"}),
        ("scheduling.k8s.io/v1", "PriorityClass", {"value": 1}, {"value": 2}),
    ],
)
def test_a_change_that_the_api_refuses_replaces(api_version, kind, old, new):
    found = changes_between(inputs(api_version, kind, **old), inputs(api_version, kind, **new))
    assert found.replacing_paths, f"the API server refuses this change of a {kind}"
    assert found.delete_before_replace, "the name is given, so the old object must go first"


@pytest.mark.parametrize(
    ("api_version", "kind", "old", "new"),
    [
        ("v1", "ConfigMap", {}, {"immutable": True}),
        ("v1", "Service", {"spec": {"type": "ClusterIP"}}, {"spec": {"type": "NodePort"}}),
        (
            "v1",
            "PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
        ),
        ("apps/v1", "Deployment", {"spec": {"template": {"a": 1}}}, {"spec": {"template": {"a": 2}}}),
        ("policy/v1", "PodDisruptionBudget", {"spec": {"selector": {"a": "b"}}}, {"spec": {"selector": {"a": "c"}}}),
        ("batch/v1", "Job", {"spec": {"parallelism": 1}}, {"spec": {"parallelism": 2}}),
        ("v1", "Pod", {"spec": {"containers": [{"image": "a"}]}}, {"spec": {"containers": [{"image": "b"}]}}),
    ],
)
def test_a_change_that_the_api_takes_updates(api_version, kind, old, new):
    found = changes_between(inputs(api_version, kind, **old), inputs(api_version, kind, **new))
    assert found.items and not found.replacing_paths, f"a {kind} takes this change in place"


def test_another_version_of_the_same_group_is_the_same_object():
    versions = [inputs(f"autoscaling/{version}", "HorizontalPodAutoscaler") for version in ("v1", "v2")]
    assert not changes_between(*versions).replacing_paths, "the server keeps one object for both versions"
    moved = changes_between(inputs("extensions/v1beta1", "Ingress"), inputs("networking.k8s.io/v1", "Ingress"))
    assert moved.replacing_paths == ["apiVersion"], "another group is another kind"


def test_contents_may_change_in_place_where_the_provider_is_told_so():
    old, new = inputs("v1", "ConfigMap", data={"a": "1"}), inputs("v1", "ConfigMap", data={"a": "2"})
    mutable = frozenset({"ConfigMap"})
    assert not changes_between(old, new, mutable_contents=mutable).replacing_paths
    sealed = {**old, "immutable": True}
    assert changes_between(sealed, {**new, "immutable": True}, mutable_contents=mutable).replacing_paths, (
        "the API server refuses to change a sealed object, whatever the provider is told"
    )


def test_a_change_is_shown_at_its_own_path():
    old = inputs("v1", "Service", spec={"ports": [{"port": 80}], "selector": {"app.kubernetes.io/name": "a"}})
    new = inputs("v1", "Service", spec={"ports": [{"port": 81}, {"port": 82}], "selector": {}})
    assert changes_between(old, new).paths == [
        "spec.ports[0].port",
        "spec.ports[1]",
        'spec.selector["app.kubernetes.io/name"]',
    ], "a person reads these paths in the diff"


@given(st.lists(KEYS | st.integers(0, 99), min_size=1))
def test_a_path_survives_being_written_and_read(path):
    assert parse_path(format_path(tuple(path))) == tuple(path), "ignore_changes arrives in the written form"


@given(OBJECTS)
def test_a_value_survives_the_protocol(value):
    there_and_back = to_plain(PropertyValue.unmarshal(from_plain(value).marshal()))

    def without_nulls(item):
        if isinstance(item, dict):
            return {key: without_nulls(inner) for key, inner in item.items() if inner is not None}
        return [without_nulls(inner) for inner in item] if isinstance(item, list) else item

    assert there_and_back == without_nulls(value), "only null entries of objects are dropped"


def test_whole_numbers_reach_the_api_as_whole_numbers():
    assert repr(to_plain(PropertyValue(3.0))) == "3", "the API server refuses replicas: 3.0"
    assert repr(to_plain(PropertyValue(0.5))) == "0.5"


def test_a_secret_stays_secret_wherever_the_program_said_so():
    given_inputs = PropertyValue(
        {"env": PropertyValue([PropertyValue("open"), PropertyValue("hidden", is_secret=True)])}
    )
    same = with_secrets_of(from_plain({"env": ["open", "hidden"]}), given_inputs)
    assert [item.is_secret for item in same.value["env"].value] == [False, True], "item by item where that is possible"
    longer = with_secrets_of(from_plain({"env": ["injected", "open", "hidden"]}), given_inputs)
    assert longer.value["env"].is_secret, "a list that the server lengthened is secret as a whole, rather than shown"


def test_a_secrets_contents_are_secret_though_the_program_forgot():
    live = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "managedFields": []}, "data": {"a": "Yg=="}}
    state = recorded(live, {"data": from_plain({"a": "Yg=="})}, "manager", "v1")
    assert state["data"].is_secret and state["__inputs"].value["data"].is_secret
    assert "managedFields" not in to_plain(state["metadata"]), "who owns which field is no output"


def test_string_data_is_sent_as_data():
    sent = manifest_of({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"}, "data": {"c": "ZA=="}})
    assert sent["data"] == {"a": "Yg==", "c": "ZA=="} and "stringData" not in sent, "so that our manager owns every key"


def test_a_name_is_kept_generated_or_the_programs_own():
    bare = {"metadata": {"namespace": "ns"}}
    first = named(bare, {}, "Gateway", b"seed")
    assert first == named(bare, {}, "Gateway", b"seed"), "preview and update of one operation agree"
    assert first["metadata"]["name"].startswith("gateway-") and len(first["metadata"]["name"]) == 16
    assert named(bare, first, "Gateway", b"other") == first, "an update keeps the name"
    assert named(bare, {}, "Gateway", b"other") != first, "a replacement, which knows no previous name, gets its own"
    explicit = {"metadata": {"name": "mine"}}
    assert named(explicit, first, "Gateway", b"seed") == explicit
    prefixed = named({"metadata": {"generateName": "run-"}}, {}, "Gateway", b"seed")
    assert prefixed["metadata"]["name"].startswith("run-") and len(prefixed["metadata"]["name"]) == 12


def test_drift_is_seen_in_the_programs_fields_only():
    ours = inputs(
        "v1",
        "Pod",
        spec={
            "replicas": 2,
            "hostNetwork": False,
            "args": [],
            "nothing": {},
            "resources": {"limits": {"memory": "1024Mi"}},
        },
    )
    live = inputs(
        "v1",
        "Pod",
        spec={"replicas": 3, "theirs": 1, "nothing": None, "resources": {"limits": {"memory": "1Gi", "cpu": "1"}}},
        status={},
    )
    found = live_inputs(ours, live)
    assert found["spec"] == {
        "replicas": 3,
        "hostNetwork": False,
        "args": [],
        "nothing": {},
        "resources": {"limits": {"memory": "1024Mi"}},
    }, "a changed value shows; other people's fields, other spellings of a quantity and omitted empty values do not"
    text = live_inputs(inputs("v1", "ConfigMap", data={"a": "1"}), inputs("v1", "ConfigMap", data={"a": "1.0"}))
    assert text["data"] == {"a": "1.0"}, "in text, 1 and 1.0 are different"


def test_drift_in_string_data_is_read_from_data():
    ours = inputs("v1", "Secret", stringData={"a": "b", "gone": "x"})
    found = live_inputs(ours, inputs("v1", "Secret", data={"a": "Yw=="}))
    assert found["stringData"] == {"a": "c"}


def test_ignored_fields_stay_with_their_owner():
    live = inputs("apps/v1", "Deployment", spec={"replicas": 5, "paused": True})
    live["metadata"]["managedFields"] = [
        {"manager": "ours", "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}},
        {"manager": "autoscaler", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]
    sent = leaving_to_others(
        inputs("apps/v1", "Deployment", spec={"replicas": 1, "paused": False, "minReadySeconds": 1}),
        ["spec.replicas", "spec.paused", "spec.absent"],
        live,
        "ours",
    )
    assert sent["spec"] == {"paused": True, "minReadySeconds": 1}, (
        "the autoscaler's field is not sent, ours is sent as it is: left out, the server would remove it"
    )


def test_a_conflict_lists_each_field_with_its_manager():
    causes = [{"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": 'conflict with "hpa"'}]
    refusal = ApiRefusalError(409, {"message": "Apply failed", "reason": "Conflict", "details": {"causes": causes}})
    text = str(explained(refusal, inputs("apps/v1", "Deployment")))
    assert "Deployment ns/it (apps/v1)" in text and '.spec.replicas: conflict with "hpa"' in text
    assert 'pulumi.com/patchForce: "true"' in text


def test_a_preview_promises_nothing_that_the_update_chooses_anew():
    dry_run = inputs("v1", "Service", spec={"clusterIP": "10.0.0.9", "ports": [{"port": 80, "nodePort": 30001}]})
    dry_run["metadata"]["uid"] = "made-up"
    seen = foreseen(inputs("v1", "Service", spec={"ports": [{"port": 80}]}), dry_run)
    assert (seen["metadata"]["uid"], seen["spec"]["clusterIP"], seen["status"]) == (UNKNOWN, UNKNOWN, UNKNOWN)
    assert seen["spec"]["ports"] == [{"port": 80, "nodePort": UNKNOWN}]
    assert has_unknowns(seen)


def test_what_is_no_single_object_is_refused_with_an_alternative():
    assert kind_of("kubernetes:core/v1:ConfigMap", {}) == ("v1", "ConfigMap")
    assert kind_of("kubernetes:apps/v1:Deployment", {}) == ("apps/v1", "Deployment")
    for token in ("kubernetes:helm.sh/v3:Release", "kubernetes:yaml:ConfigFile", "kubernetes:apps/v1:DeploymentPatch"):
        with pytest.raises(ProviderError, match="install the published pulumi-kubernetes plugin"):
            kind_of(token, {})


def test_settings_are_those_of_the_published_provider():
    settings = settings_from(
        {"namespace": "serving", "enableSecretMutable": "true", "kubeClientSettings": '{"timeout": 5}'}
    )
    assert settings.namespace == "serving" and settings.mutable_contents == {"Secret"}
    assert settings.request_timeout_seconds == 5
    assert "no setting 'kubeconfg'" in configuration_problems({"kubeconfg": "x"})[0][1], "a slip of the pen is named"
    for values in (
        {"enableServerSideApply": "false"},
        {"renderYamlToDirectory": "x"},
        {"deleteUnreachable": "perhaps"},
    ):
        assert [key for key, _ in configuration_problems(values)] == list(values), "refused by its own name"


def test_another_cluster_is_told_by_its_identifier_or_its_address():
    def kubeconfig(server, token):
        return (
            "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
            f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\n"
            f"users: [{{name: u, user: {{token: {token}}}}}]\n"
        )

    old = {"kubeconfig": kubeconfig("https://a", "one")}
    assert replacing_keys(old, {"kubeconfig": kubeconfig("https://a", "two")}) == [], "a new token is no new cluster"
    assert replacing_keys(old, {"kubeconfig": kubeconfig("https://b", "one")}) == ["kubeconfig"]
    assert replacing_keys(old, {"kubeconfig": UNKNOWN}) == ["kubeconfig"], "one that is not known yet may be any"
    same = {"clusterIdentifier": "x"}
    assert replacing_keys({**old, **same}, {"kubeconfig": UNKNOWN, **same}) == [], "the identifier decides alone"


def test_the_wait_is_the_programs_to_choose():
    annotated = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "5"}}}
    assert [timeout_seconds(annotated, 7), timeout_seconds(annotated, 0), timeout_seconds({}, 0)] == [7, 5, 600]
    with pytest.raises(ProviderError, match="positive number of seconds"):
        timeout_seconds({"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "soon"}}}, 0)
    assert propagation({}, "apps") == "Foreground", "a workload is gone when its pods are"
    assert propagation({}, "") == "Background", "a ConfigMap owns nothing"
    orphan = {"metadata": {"annotations": {"pulumi.com/deletionPropagationPolicy": "orphan"}}}
    assert propagation(orphan, "apps") == "Orphan"
