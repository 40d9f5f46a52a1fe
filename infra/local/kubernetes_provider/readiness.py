"""Whether an object does what it was made for: verdicts over what the API server reports.

The rules are those of `kubectl rollout status` and `kubectl wait`. A kind without a rule is ready once it is stored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from infra.local.kubernetes_provider.wishes import WAIT_FOR, asked_for

Object = Mapping[str, Any]


class Readiness(Enum):
    """READY: go on. WAITING: may still become ready. FAILED: will not, however long one waits."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The readiness of one object, and why, in words for the person at the terminal."""

    readiness: Readiness
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Other objects that a verdict depends on."""

    endpoint_slices: Sequence[Object] = field(default=())
    storage_class: Object | None = None


READY = Verdict(Readiness.READY)


def verdict(obj: Object, surroundings: Surroundings) -> Verdict:
    """The readiness of `obj` as last read from the API server.

    The annotation `pulumi.com/waitFor` replaces the kind's rule. Raises ProviderError where it cannot be read.
    """
    asked = asked_for(obj)
    if asked is not None:
        missing = [wish.text for wish in asked if not wish.is_met_by(obj)]
        return _waiting(f"its {WAIT_FOR} is not met: {', '.join(missing)}") if missing else READY
    group = str(obj["apiVersion"]).rpartition("/")[0]
    rule = _RULES.get((group, str(obj["kind"])))
    return rule(obj, surroundings) if rule is not None else READY


def waits_for_endpoints(service: Object) -> bool:
    """Whether a Service is ready only with a ready endpoint.

    Not an ExternalName, nor a Service without selector (somebody else fills it), nor a headless one: a StatefulSet
    takes its headless Service's name as an input, so waiting for its pods would wait for ever.
    """
    spec = service.get("spec") or {}
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None"


def _waiting(reason: str) -> Verdict:
    return Verdict(Readiness.WAITING, reason)


def _failed(reason: str) -> Verdict:
    return Verdict(Readiness.FAILED, reason)


def _condition(obj: Object, kind: str) -> Object:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def _said(condition: Object) -> str:
    reason, message = condition.get("reason") or "", condition.get("message") or ""
    return f"{reason}: {message}" if reason and message else str(reason or message)


def _with_detail(text: str, detail: str) -> str:
    return f"{text} ({detail})" if detail else text


def _is_observed(obj: Object) -> bool:
    return int((obj.get("status") or {}).get("observedGeneration") or 0) >= int(obj["metadata"].get("generation") or 0)


_UNOBSERVED = _waiting("its controller has not seen this version yet")


def _deployment(obj: Object, _: Surroundings) -> Verdict:
    if not _is_observed(obj):
        return _UNOBSERVED
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if spec.get("paused"):
        return Verdict(Readiness.READY, "its rollout is paused")
    wanted = int(spec.get("replicas", 1))
    progressing = _condition(obj, "Progressing")
    updated, available = int(status.get("updatedReplicas") or 0), int(status.get("availableReplicas") or 0)
    total = int(status.get("replicas") or 0)
    counts = f"{available}/{wanted} replicas available, {updated} of the new version"
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return _failed(_with_detail(counts, _said(progressing)))
    if updated < wanted or available < updated or available < wanted:
        trouble = _condition(obj, "ReplicaFailure")
        return _waiting(_with_detail(counts, _said(trouble) if trouble.get("status") == "True" else ""))
    if total > updated:
        return _waiting(f"{total - updated} replicas of the old version are still there")
    return READY


def _replica_set(obj: Object, _: Surroundings) -> Verdict:
    if not _is_observed(obj):
        return _UNOBSERVED
    wanted = int((obj.get("spec") or {}).get("replicas", 1))
    available = int((obj.get("status") or {}).get("availableReplicas") or 0)
    return READY if available >= wanted else _waiting(f"{available}/{wanted} replicas available")


def _stateful_set(obj: Object, _: Surroundings) -> Verdict:
    if not _is_observed(obj):
        return _UNOBSERVED
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    wanted, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    updated = int(status.get("updatedReplicas") or 0)
    strategy = spec.get("updateStrategy") or {}
    if ready < wanted:
        return _waiting(f"{ready}/{wanted} replicas ready")
    if strategy.get("type") == "OnDelete":
        return READY
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if partition:
        due = max(wanted - partition, 0)
        return READY if updated >= due else _waiting(f"{updated}/{due} replicas of the new version")
    if status.get("updateRevision") != status.get("currentRevision"):
        return _waiting(f"{updated}/{wanted} replicas of the new version")
    return READY


def _daemon_set(obj: Object, _: Surroundings) -> Verdict:
    if not _is_observed(obj):
        return _UNOBSERVED
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled") or 0)
    updated, available = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0)
    if (spec.get("updateStrategy") or {}).get("type") != "OnDelete" and updated < wanted:
        return _waiting(f"{updated}/{wanted} pods of the new version")
    return READY if available >= wanted else _waiting(f"{available}/{wanted} pods available")


def _job(obj: Object, _: Surroundings) -> Verdict:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if spec.get("suspend"):
        return Verdict(Readiness.READY, "it is suspended")
    failed = _condition(obj, "Failed")
    if failed.get("status") == "True":
        return _failed(_said(failed))
    if _condition(obj, "Complete").get("status") == "True":
        return READY
    counts = ", ".join(f"{int(status.get(key) or 0)} {key}" for key in ("active", "succeeded", "failed"))
    return _waiting(f"pods: {counts}")


def _pod(obj: Object, _: Surroundings) -> Verdict:
    phase = (obj.get("status") or {}).get("phase")
    if phase == "Succeeded" or _condition(obj, "Ready").get("status") == "True":
        return READY
    if phase == "Failed":
        status = obj.get("status") or {}
        return _failed(_said(status) or "its containers ended in failure")
    return _waiting(f"phase {phase or 'unknown'}")


def _service(obj: Object, surroundings: Surroundings) -> Verdict:
    if waits_for_endpoints(obj):
        endpoints = [item for slice_ in surroundings.endpoint_slices for item in slice_.get("endpoints") or []]
        # `ready` absent means ready: the API's own reading of EndpointConditions.
        if not any((item.get("conditions") or {}).get("ready") is not False for item in endpoints):
            selector = ",".join(f"{key}={value}" for key, value in (obj["spec"].get("selector") or {}).items())
            return _waiting(f"no ready pod has the labels {selector}")
    if (obj.get("spec") or {}).get("type") == "LoadBalancer":
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
        return READY if ingress else _waiting("no load balancer has given it an address")
    return READY


def _claim(obj: Object, surroundings: Surroundings) -> Verdict:
    phase = (obj.get("status") or {}).get("phase")
    if phase == "Bound":
        return READY
    if phase == "Lost":
        return _failed("its volume is lost")
    if (surroundings.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer":
        return Verdict(Readiness.READY, "its storage class binds it when the first pod uses it")
    return _waiting(f"phase {phase or 'unknown'}: no volume is bound to it")


def _definition(obj: Object, _: Surroundings) -> Verdict:
    names = _condition(obj, "NamesAccepted")
    if names.get("status") == "False":
        return _failed(_said(names))
    established = _condition(obj, "Established")
    return (
        READY if established.get("status") == "True" else _waiting(_with_detail("not established", _said(established)))
    )


def _namespace(obj: Object, _: Surroundings) -> Verdict:
    phase = (obj.get("status") or {}).get("phase")
    return READY if phase == "Active" else _waiting(f"phase {phase or 'unknown'}")


def _api_service(obj: Object, _: Surroundings) -> Verdict:
    available = _condition(obj, "Available")
    return READY if available.get("status") == "True" else _waiting(_with_detail("not available", _said(available)))


_RULES: dict[tuple[str, str], Callable[[Object, Surroundings], Verdict]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Namespace"): _namespace,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
}
