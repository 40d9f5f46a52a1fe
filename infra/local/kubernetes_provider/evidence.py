"""Why an object is not ready, told by its pods and their events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]

_EVENTS_SHOWN = 3
# These only repeat what the pod's own status says.
_NOISE = frozenset({"BackOff", "FailedScheduling"})
_ORDINARY = frozenset({"Completed", "PodInitializing", "ContainerCreating"})


def pod_selector(obj: Object) -> str | None:
    """The label selector of the pods behind a workload or Service, in the API's text form; None without one."""
    spec = obj.get("spec") or {}
    selector = spec.get("selector")
    if obj.get("kind") == "Service":
        selector = {"matchLabels": selector or {}}
    if not isinstance(selector, Mapping):
        return None
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(expression.get("values") or [])
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[expression["operator"]]
        )
    return ",".join(terms) or None


def is_pod_ready(pod: Object) -> bool:
    """Whether a pod serves, or has done its work."""
    status = pod.get("status") or {}
    return status.get("phase") == "Succeeded" or any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or []
    )


def pod_troubles(pod: Object) -> list[str]:
    """What keeps one pod from being ready: it cannot be scheduled, or its containers wait or have ended, with their
    messages.
    """
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    troubles = [
        f"pod {name}: {condition.get('reason') or 'not scheduled'}: {condition.get('message') or ''}".rstrip(": ")
        for condition in status.get("conditions") or []
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    for container in _containers(pod):
        state = container.get("state") or {}
        troubles += [
            f"pod {name}: container {container['name']}: {_state(word, state[word])}"
            for word in ("waiting", "terminated")
            if word in state and state[word].get("reason") not in _ORDINARY
        ]
        last = (container.get("lastState") or {}).get("terminated")
        if last and "terminated" not in state:
            troubles.append(f"pod {name}: container {container['name']} ended before: {_state('terminated', last)}")
        if "running" in state and not container.get("ready", True):
            troubles.append(f"pod {name}: container {container['name']} runs but its readiness probe has not passed")
    if not troubles and status.get("phase") == "Failed":
        troubles.append(f"pod {name}: {status.get('reason') or 'Failed'}: {status.get('message') or ''}".rstrip(": "))
    if not troubles and not is_pod_ready(pod):
        troubles.append(f"pod {name}: phase {status.get('phase') or 'unknown'}")
    return troubles


def crashed_containers(pod: Object) -> list[tuple[str, bool]]:
    """(container, whether its last run's log is the one to read) of containers that ended in failure."""
    found = []
    for container in _containers(pod):
        now = (container.get("state") or {}).get("terminated")
        before = (container.get("lastState") or {}).get("terminated")
        if now and now.get("exitCode"):
            found.append((str(container["name"]), False))
        elif before and before.get("exitCode"):
            found.append((str(container["name"]), True))
    return found


def warnings(events: Iterable[Object]) -> list[str]:
    """The last Warning events, oldest first, each told once."""
    told: dict[str, str] = {}
    for event in events:
        if event.get("type") == "Warning" and event.get("reason") not in _NOISE:
            when = str(
                event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or ""
            )
            told[f"{event.get('reason')}: {event.get('message')}"] = when
    latest = sorted(told, key=lambda text: told[text])[-_EVENTS_SHOWN:]
    return [f"event {text}" for text in latest]


def log_lines(container: str, log: str, lines: int) -> list[str]:
    """The end of a crashed container's log, ready to be shown."""
    tail = log.rstrip().splitlines()[-lines:]
    return [f"last log lines of container {container}:", *(f"  {line}" for line in tail)] if tail else []


def _containers(pod: Object) -> Sequence[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _state(word: str, state: Object) -> str:
    text = str(state.get("reason") or word)
    if "exitCode" in state:
        text += f" (exit code {state['exitCode']})"
    message = str(state.get("message") or "").strip()
    return f"{text}: {message}" if message else text
