"""What the node's enforcer makes of NetworkPolicies."""

from __future__ import annotations

import re

import pytest

from infra.local.cluster.network_policies.rules import matches, ruleset, world


def pod(name, address, namespace="serving", **ports):
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"containers": [{"ports": [{"name": key, "containerPort": number} for key, number in ports.items()]}]},
        "status": {"podIP": address, "phase": "Running"},
    }


def policy(selector, namespace="serving", **spec):
    return {"metadata": {"namespace": namespace}, "spec": {"podSelector": selector, **spec}}


PODS = [
    pod("gateway", "10.0.0.1"),
    pod("engine", "10.0.0.2", http=8000),
    pod("prometheus", "10.0.0.3", namespace="monitoring"),
]
NAMESPACES = [{"metadata": {"name": name, "labels": {"name": name}}} for name in ("serving", "monitoring")]
ENGINE = {"matchLabels": {"app": "engine"}}
GATEWAY = {"matchLabels": {"app": "gateway"}}


def compiled(*policies, pods=PODS):
    return ruleset(world(pods, NAMESPACES), policies)


def chain(text, name):
    body = re.search(rf"chain {name} {{\n(.*?)\n  }}", text, re.DOTALL)
    return [line.strip() for line in body[1].splitlines()]


def test_without_policies_everything_passes():
    assert "jump" not in compiled()


def test_a_pod_with_a_policy_of_no_rules_gets_nothing():
    text = compiled(policy(ENGINE, policyTypes=["Ingress"]))
    assert "ip daddr { 10.0.0.2 } jump ingress" in text
    assert chain(text, "ingress") == ["drop"]
    assert "jump egress" not in text, "only the named direction is isolated"


def test_a_peer_in_the_same_namespace_may_reach_the_named_port():
    rule = {"from": [{"podSelector": GATEWAY}], "ports": [{"port": "http"}]}
    text = compiled(policy(ENGINE, policyTypes=["Ingress"], ingress=[rule]))
    assert chain(text, "ingress")[0] == "ip daddr { 10.0.0.2 } ip saddr { 10.0.0.1 } tcp dport 8000 return"


def test_a_peer_in_another_namespace_needs_its_selector():
    near = policy(
        ENGINE, policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]}]
    )
    far = policy(
        ENGINE,
        policyTypes=["Ingress"],
        ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]}],
    )
    assert chain(compiled(near), "ingress") == ["drop"], "a pod selector alone means the policy's own namespace"
    assert "10.0.0.3" in chain(compiled(far), "ingress")[0]


def test_rules_of_several_policies_add_up():
    one = policy(ENGINE, policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": GATEWAY}]}])
    two = policy(ENGINE, policyTypes=["Ingress"], ingress=[{"ports": [{"port": 9000, "endPort": 9010}]}])
    assert len(chain(compiled(one, two), "ingress")) == 3
    assert "tcp dport 9000-9010" in compiled(one, two)


def test_addresses_may_be_excepted_from_a_block():
    block = {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}
    text = compiled(
        policy({}, policyTypes=["Egress"], egress=[{"to": [{"ipBlock": block}], "ports": [{"protocol": "UDP"}]}])
    )
    assert "ip daddr 0.0.0.0/0 ip daddr != { 169.254.0.0/16 } meta l4proto udp return" in text


def test_a_block_of_ipv6_addresses_is_left_out():
    rule = {"from": [{"ipBlock": {"cidr": "::/0"}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/8"]}}]}
    text = compiled(policy(ENGINE, policyTypes=["Ingress"], ingress=[rule]))
    assert "::" not in text, "one refused rule would freeze all of them"
    assert "ip saddr 10.0.0.0/8 return" in text


def test_egress_is_a_type_by_itself_only_when_it_has_rules():
    assert "jump egress" not in compiled(policy(ENGINE))
    assert "jump egress" in compiled(policy(ENGINE, egress=[{}]))


def test_ended_pods_and_pods_of_the_host_are_left_out():
    ended = pod("engine", "10.0.0.9")
    ended["status"]["phase"] = "Succeeded"
    hosts = pod("engine", "10.200.0.2")
    hosts["spec"]["hostNetwork"] = True
    text = compiled(policy(ENGINE, policyTypes=["Ingress"]), pods=[*PODS, ended, hosts])
    assert "10.0.0.9" not in text
    assert "10.200.0.2" not in text


@pytest.mark.parametrize(
    ("operator", "values", "holds"),
    [("In", ["engine"], True), ("NotIn", ["engine"], False), ("Exists", None, True), ("DoesNotExist", None, False)],
)
def test_expressions_select_as_the_api_says(operator, values, holds):
    expression = {"key": "app", "operator": operator, "values": values}
    assert matches({"matchExpressions": [expression]}, {"app": "engine"}) is holds


def test_the_same_world_gives_the_same_text():
    policies = [policy(ENGINE, policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": GATEWAY}]}])]
    assert compiled(*policies) == compiled(*policies, pods=list(reversed(PODS))), (
        "or the rules would be reloaded for ever"
    )
