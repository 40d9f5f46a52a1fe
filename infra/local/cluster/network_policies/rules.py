"""From pods, namespaces and NetworkPolicies to a ruleset of nftables: pure.

Semantics of networking.k8s.io/v1: a pod that some policy selects for a direction is isolated in it, and then only what
some policy allows passes; replies always pass. Traffic from and to the node itself (probes, the API server) is not
forwarded and so not seen: what pods ask of the API server, its own authorization decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TABLE = "llmp_network_policies"
_ENDED = {"Succeeded", "Failed"}
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


@dataclass(frozen=True, slots=True)
class Pod:
    """What rules need of a pod. `ports` maps (protocol, name) of its container ports to numbers."""

    namespace: str
    address: str
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class World:
    """The pods that have an address, and the labels of each namespace."""

    pods: tuple[Pod, ...]
    namespaces: Mapping[str, Mapping[str, str]]

    def select(self, namespace: str, peer: Mapping[str, Any]) -> list[Pod]:
        """Pods of a peer: without a namespace selector those of the policy's own namespace."""
        spaces = peer.get("namespaceSelector")
        pods = peer.get("podSelector") or {}
        return [
            pod
            for pod in self.pods
            if matches(pods, pod.labels)
            and (
                pod.namespace == namespace
                if spaces is None
                else matches(spaces, self.namespaces.get(pod.namespace, {}))
            )
        ]


def world(pods: Iterable[Mapping[str, Any]], namespaces: Iterable[Mapping[str, Any]]) -> World:
    """From objects of the API. Pods on the node's own network are left out, as the API says."""
    return World(
        tuple(_pod(pod) for pod in pods if _has_network(pod)),
        {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in namespaces},
    )


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects; the empty one selects everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def ruleset(world: World, policies: Iterable[Mapping[str, Any]]) -> str:
    """The whole table, to be applied at once: `nft -f` replaces the old one and the new one in one transaction."""
    chains: dict[str, list[str]] = {"ingress": [], "egress": []}
    isolated: dict[str, set[str]] = {"ingress": set(), "egress": set()}
    for policy in policies:
        spec, namespace = policy["spec"], policy["metadata"]["namespace"]
        chosen = world.select(namespace, {"podSelector": spec.get("podSelector")})
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        for direction in (each.lower() for each in types):
            isolated[direction] |= {pod.address for pod in chosen}
            for rule in spec.get(direction) or ():
                chains[direction] += _rules(world, namespace, direction, rule, chosen)
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for direction in ("ingress", "egress"):
        lines += [
            f"  chain {direction} {{",
            *(f"    {rule}" for rule in dict.fromkeys(chains[direction])),
            "    drop",
            "  }",
        ]
    lines += ["  chain forward {", "    type filter hook forward priority filter + 10; policy accept;"]
    lines.append("    ct state established,related accept")
    for direction, field in (("egress", "saddr"), ("ingress", "daddr")):
        if isolated[direction]:
            lines.append(f"    ip {field} {_set(isolated[direction])} jump {direction}")
    return "\n".join([*lines, "  }", "}", ""])


def _rules(world: World, namespace: str, direction: str, rule: Mapping[str, Any], chosen: list[Pod]) -> Iterator[str]:
    """One line a peer and port. `return` lets the packet go on to the other direction's chain."""
    if not chosen:
        return
    ours, theirs = ("daddr", "saddr") if direction == "ingress" else ("saddr", "daddr")
    peers = rule.get("from" if direction == "ingress" else "to")
    for far, pods in _peers(world, namespace, peers, theirs):
        # Named ports belong to the pods that are connected to.
        for near, port in _ports(rule.get("ports"), chosen if direction == "ingress" else pods, chosen, direction):
            addresses = _set(pod.address for pod in near)
            yield " ".join(part for part in (f"ip {ours} {addresses}", far, port, "return") if part)


def _peers(world: World, namespace: str, peers: Any, field: str) -> Iterator[tuple[str, list[Pod]]]:
    if not peers:
        yield "", list(world.pods)
        return
    for peer in peers:
        if block := peer.get("ipBlock"):
            if ":" in block["cidr"]:
                continue  # the node speaks IPv4 only
            outside = [each for each in block.get("except") or () if ":" not in each]
            yield f"ip {field} {block['cidr']}" + (f" ip {field} != {_set(outside)}" if outside else ""), []
        elif pods := world.select(namespace, peer):
            yield f"ip {field} {_set(pod.address for pod in pods)}", pods


def _ports(ports: Any, servers: list[Pod], chosen: list[Pod], direction: str) -> Iterator[tuple[list[Pod], str]]:
    """Pods on our side, and the port's match."""
    if not ports:
        yield chosen, ""
        return
    for port in ports:
        protocol = str(port.get("protocol", "TCP"))
        name = _PROTOCOLS[protocol]
        value = port.get("port")
        if value is None:
            yield chosen, f"meta l4proto {name}"
        elif isinstance(value, int):
            last = port.get("endPort")
            yield chosen, f"{name} dport {value}" + (f"-{last}" if last else "")
        else:
            for number in sorted({pod.ports[protocol, value] for pod in servers if (protocol, value) in pod.ports}):
                near = [pod for pod in chosen if pod.ports.get((protocol, value)) == number]
                yield (near if direction == "ingress" else chosen), f"{name} dport {number}"


def _set(values: Iterable[str]) -> str:
    return "{ " + ", ".join(sorted(set(values))) + " }"


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise ValueError(f"a label selector has the operator {other!r}, which Kubernetes does not know")


def _has_network(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") not in _ENDED and not pod["spec"].get("hostNetwork")


def _pod(pod: Mapping[str, Any]) -> Pod:
    ports = {
        (str(port.get("protocol", "TCP")), port["name"]): port["containerPort"]
        for container in pod["spec"].get("containers", ())
        for port in container.get("ports") or ()
        if port.get("name")
    }
    metadata = pod["metadata"]
    return Pod(metadata["namespace"], pod["status"]["podIP"], metadata.get("labels") or {}, ports)
