"""Objects from their creation to their removal, through the real engine and a real API server."""

import re

import pulumi
import pulumi_kubernetes as k8s
from kubernetes import client

PLAIN_TEXT = "correct-horse-battery-staple"


def merged(in_cluster, **options):
    return pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(**options))


def deployment(namespace, labels=None, image="example:1"):
    def program(in_cluster):
        k8s.apps.v1.Deployment(
            "engine",
            metadata={"name": "engine", "namespace": namespace, "labels": labels or {}},
            spec={
                "replicas": 0,
                "selector": {"match_labels": {"app": "engine"}},
                "template": {
                    "metadata": {"labels": {"app": "engine"}},
                    "spec": {
                        "containers": [
                            # The API server writes this quantity as 1Gi, which is no change.
                            {"name": "main", "image": image, "resources": {"requests": {"memory": "1024Mi"}}}
                        ]
                    },
                },
            },
            opts=in_cluster,
        )

    return program


def test_an_object_is_previewed_created_kept_updated_refreshed_and_removed(stack, kubernetes, namespace):
    def read():
        return kubernetes.apps.read_namespaced_deployment("engine", namespace)

    old = deployment(namespace, labels={"tier": "silver", "team": "serving"})
    new = deployment(namespace, labels={"tier": "gold"}, image="example:2")

    foreseen, _ = stack.preview(old)
    assert foreseen == {"create": 3}, "the stack, the provider and the Deployment are to be created"
    assert not kubernetes.exists(kubernetes.apps.read_namespaced_deployment, "engine", namespace), "a preview is dry"

    stack.up(old)
    before = read()
    foreseen, _ = stack.preview(new)
    assert foreseen == {"same": 2, "update": 1}, "a label and an image change in place"
    assert read().metadata.resource_version == before.metadata.resource_version, "previewing an update writes nothing"
    assert stack.up(old) == {"same": 3}, "an unchanged program must not touch anything"

    stack.up(new)
    assert read().metadata.uid == before.metadata.uid, "the object is the same one"
    assert read().metadata.labels == {"tier": "gold"}, "a label that left the program leaves the object"

    inputs = stack.resource("Deployment")["inputs"]
    drift = {"metadata": {"labels": {"tier": "lead", "theirs": "x"}}}
    kubernetes.apps.patch_namespaced_deployment("engine", namespace, drift)
    stack.refresh()
    drifted = stack.resource("Deployment")["inputs"]
    assert drifted["metadata"].pop("labels") == {"tier": "lead"}, "drift in our label shows; their label is theirs"
    assert inputs["metadata"].pop("labels") == {"tier": "gold"} and drifted == inputs, "and nothing else has changed"

    stack.destroy()
    assert not kubernetes.exists(kubernetes.apps.read_namespaced_deployment, "engine", namespace), "destroy removes it"


def test_a_replacement_comes_first_under_a_generated_name_and_second_under_a_given_one(stack, kubernetes, namespace):
    def objects(level):
        def program(in_cluster):
            for name, metadata in (("Generated", {}), ("given", {"name": "given"})):
                k8s.core.v1.ConfigMap(
                    name, metadata={"namespace": namespace, **metadata}, data={"level": level}, opts=in_cluster
                )
            k8s.batch.v1.Job(
                "job",
                metadata={"namespace": namespace, "name": "job"},
                spec={
                    "suspend": True,
                    "template": {
                        "spec": {"restart_policy": "Never", "containers": [{"name": "main", "image": f"x:{level}"}]}
                    },
                },
                opts=in_cluster,
            )

        return program

    def read():
        items = kubernetes.core.list_namespaced_config_map(namespace).items
        return {item.metadata.name: item for item in items if item.metadata.name != "kube-root-ca.crt"}

    stack.up(objects("1"))
    before = read()
    generated = next(name for name in before if name != "given")
    assert re.fullmatch(r"generated-[0-9a-f]{8}", generated), "the resource's name and eight hexadecimal digits"
    assert before[generated].metadata.annotations == {"pulumi.com/autonamed": "true"}

    foreseen, _ = stack.preview(objects("2"))
    assert foreseen["replace"] == 3, "a Job's template is fixed; changed contents replace a ConfigMap, so readers roll"
    assert stack.up(objects("2"))["replace"] == 3, "what was foreseen is done"
    after = read()
    assert len(after) == 2 and generated not in after, "a new generated name, and the old object is gone"
    assert {item.data["level"] for item in after.values()} == {"2"}, "the new contents are there"
    assert after["given"].metadata.uid != before["given"].metadata.uid, "a given name passes to a new object"


def test_secrets_are_encrypted_in_the_state_and_plain_in_the_cluster(stack, kubernetes, namespace):
    def program(in_cluster):
        metadata = {"name": "keys", "namespace": namespace}
        k8s.core.v1.Secret("keys", metadata=metadata, string_data={"api": PLAIN_TEXT}, opts=in_cluster)
        hint = {"hint": pulumi.Output.secret(f"{PLAIN_TEXT}-2")}
        k8s.core.v1.ConfigMap("hint", metadata={"name": "hint", "namespace": namespace}, data=hint, opts=in_cluster)

    stack.up(program)
    live = kubernetes.core.read_namespaced_secret("keys", namespace)
    assert live.data == {"api": "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ=="}, "stringData reaches the cluster as data"
    written = stack.state_text()
    assert PLAIN_TEXT not in written, "no secret may lie in the state as text"
    assert live.data["api"] not in written, "nor in base64, which hides nothing"
    assert stack.up(program) == {"same": 4}, "a secret compares equal to itself"


def test_a_custom_resource_and_its_definition_come_in_one_program(stack, kubernetes, namespace):
    group = f"g{namespace.replace('-', '')}.example.com"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"layers": {"type": "integer"}}}},
    }

    def program(in_cluster):
        definition = k8s.apiextensions.v1.CustomResourceDefinition(
            "definition",
            metadata={"name": f"models.{group}"},
            spec={
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": "Model", "plural": "models", "singular": "model"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"open_apiv3_schema": schema}},
                ],
            },
            opts=in_cluster,
        )
        k8s.apiextensions.CustomResource(
            "model",
            api_version=f"{group}/v1",
            kind="Model",
            metadata={"name": "small", "namespace": namespace},
            spec={"layers": 12},
            opts=merged(in_cluster, depends_on=[definition]),
        )

    foreseen, printed = stack.preview(program)
    assert foreseen == {"create": 4} and "not checked against" not in printed, "the definition is known to come"
    stack.up(program)
    objects = client.CustomObjectsApi(kubernetes.api)
    live = objects.get_namespaced_custom_object(group, "v1", namespace, "models", "small")
    assert live["spec"] == {"layers": 12}, "a whole number arrives as one, though the protocol knows only floats"


def test_an_existing_object_is_refused_can_be_imported_and_is_forgotten_when_it_vanishes(stack, kubernetes, namespace):
    kubernetes.core.create_namespaced_config_map(namespace, {"metadata": {"name": "theirs"}, "data": {"level": "1"}})

    def program(**options):
        def run(in_cluster):
            metadata = {"name": "theirs", "namespace": namespace}
            k8s.core.v1.ConfigMap("ours", metadata=metadata, data={"level": "1"}, opts=merged(in_cluster, **options))

        return run

    refused = stack.failure(program())
    assert f"ConfigMap {namespace}/theirs (v1) already exists" in refused, "the message names the object"
    assert f"import_='{namespace}/theirs'" in refused, "and the mend"
    assert stack.up(program(import_=f"{namespace}/theirs"))["import"] == 1, "which works"
    assert stack.up(program()) == {"same": 3}, "and afterwards the object is the stack's own"

    kubernetes.core.delete_namespaced_config_map("theirs", namespace)
    assert stack.refresh().get("delete") == 1, "an object that somebody deleted leaves the state"
