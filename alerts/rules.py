"""Alert rules as values. Two to begin with: that the pipeline lives, and that the engine is down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is. Whom it disturbs is the tier of the part."""

    PAGE = "page"
    TICKET = "ticket"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. `lasts` is Prometheus' `for`, in seconds."""

    name: str
    expression: str
    severity: Severity
    summary: str
    description: str
    lasts: int = 0

    def document(self) -> Mapping[str, Any]:
        return {
            "alert": self.name,
            "expr": self.expression,
            **({"for": f"{self.lasts}s"} if self.lasts else {}),
            "labels": {"severity": self.severity.value},
            "annotations": {"summary": self.summary, "description": self.description},
        }


WATCHDOG = Alert(
    name="Watchdog",
    expression="vector(1)",
    severity=Severity.HEARTBEAT,
    summary="The alert pipeline works",
    description="Fires always. Its absence at the receiver means that Prometheus, Alertmanager or the way is broken.",
)


def engine_down(namespace: str, deployment: str, startup_budget_seconds: int) -> Alert:
    """No replica of a deployment that should have some is available: users get nothing from that model.

    A deployment is left alone while its first replica may still be loading, for its start-up budget.

    Reads the cluster's view and not `up`: a killed pod takes its `up` series with it, and `absent` would not know that
    the deployment was scaled to zero on purpose.
    """
    selector = f'namespace="{namespace}",deployment="{deployment}"'
    return Alert(
        name="EngineDown",
        expression=f"kube_deployment_status_replicas_available{{{selector}}} == 0"
        f" and kube_deployment_spec_replicas{{{selector}}} > 0"
        f" and time() - kube_deployment_created{{{selector}}} > {startup_budget_seconds}",
        severity=Severity.PAGE,
        summary="No replica of {{ $labels.deployment }} is available",
        description="Every request to the model of {{ $labels.deployment }} fails. "
        "Look at: kubectl -n {{ $labels.namespace }} get pods -l app.kubernetes.io/name={{ $labels.deployment }}",
    )


def rule_file(alerts: Iterable[Alert]) -> Mapping[str, Any]:
    """The document `rules.yml`."""
    return {"groups": [{"name": "llmp", "rules": [alert.document() for alert in alerts]}]}
