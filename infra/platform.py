"""What an environment provides to the services: the seam between `infra/local` (later `infra/aws`) and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.identity import Identity
from infra.inventory import Target
from infra.network_policy import Allow, Peer


@dataclass(frozen=True, slots=True)
class Door:
    """How people reach a service: the node port that is opened for it, if any, and the address to give them."""

    url: str
    node_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One environment, ready for services.

    images: name of an image → its pinned reference. storage_class: None takes the cluster's default. targets: what the
    environment itself has to be scraped. people: the addresses that connections through doors come from; None when
    nothing is opened to the outside. foundations: what stands before the first namespace and goes after the last, such
    as the provisioner that has to remove their volumes.
    """

    identity: Identity
    provider: k8s.Provider
    images: Mapping[str, str]
    doors: Mapping[str, Door]
    storage_class: str | None
    targets: tuple[Target, ...]
    people: Peer | None
    foundations: tuple[pulumi.Resource, ...]

    def through_door(self, port: int) -> list[Allow]:
        """Policy rules that let people reach a part on its port."""
        return [Allow(self.people, port)] if self.people else []
