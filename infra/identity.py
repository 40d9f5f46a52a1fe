"""Names and labels of everything that the program makes. One value; nobody writes a label by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class AlertTier(StrEnum):
    """Whom trouble with a part disturbs. Not how bad it is: that is the rule's severity."""

    PAGE = "page"  # users are hurt now
    NOTIFY = "notify"  # degraded or redundant: office hours
    TICKET = "ticket"  # keep a record, disturb nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Project, stack, and the part of the platform that an object belongs to."""

    project: str
    stack: str
    component: str = "platform"
    tier: AlertTier = AlertTier.TICKET

    def of(self, component: str, tier: AlertTier = AlertTier.TICKET) -> Identity:
        """The identity of a part."""
        return replace(self, component=component, tier=tier)

    @property
    def selector(self) -> dict[str, str]:
        """Labels that never change in the life of a workload: what Services and Deployments select by."""
        return {"app.kubernetes.io/name": self.component, "app.kubernetes.io/part-of": self.project}

    @property
    def labels(self) -> dict[str, str]:
        """Every label of an object."""
        return {
            **self.selector,
            "app.kubernetes.io/instance": self.stack,
            "app.kubernetes.io/managed-by": "pulumi",
            "llmp.dev/alert-tier": self.tier.value,
        }
