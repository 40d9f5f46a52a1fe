"""What the program deployed, as far as monitoring must know it: scrape jobs and alerts derive from it, so that no
second list has to be kept in step."""

from __future__ import annotations

from dataclasses import dataclass

from infra.identity import Identity


@dataclass(frozen=True, slots=True)
class Target:
    """Pods of a part that serve metrics: on the container port named `port`, at `path`.

    `describes_others`: its series carry namespace, pod and so on of the objects that they describe. The scraped pod's
    own labels must then stay off: they would push the real ones to `exported_namespace`, and rules that select by
    namespace would silently never fire.
    """

    identity: Identity
    namespace: str
    port: str
    port_number: int
    path: str = "/metrics"
    describes_others: bool = False

    @property
    def job(self) -> str:
        return self.identity.component
