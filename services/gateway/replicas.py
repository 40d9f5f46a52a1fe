"""The replicas of one model, and the choice among them."""

import random
import time
from collections.abc import Collection, Iterable, Sequence

from yarl import URL

_AVOIDED_S = 1.0
"""After a failed connect. A dead replica has nothing under way, so it would be the least busy of all."""


class Replica:
    """One engine process, addressed directly, and what this gateway has under way there."""

    __slots__ = ("address", "avoided_until", "inflight", "urls")

    def __init__(self, address: str, paths: Iterable[str]) -> None:
        """`address` is HOST:PORT; `paths` are the paths it will be asked for."""
        self.address = address
        self.inflight = 0
        self.avoided_until = 0.0
        """time.monotonic() from which on it is a replica like any other."""
        # Parsing an address costs as much as a chunk's whole way through; a replica's paths are few.
        self.urls = {path: URL(f"http://{address}{path}") for path in paths}


class ReplicaSet:
    """All replicas of a model.

    Chooses the one with the fewest requests under way, at random among equals: a stalled replica fills up and is
    passed over. Prefix affinity and ejection belong into `choose`, as filters and scores over `_known`.
    """

    def __init__(self, model: str, paths: Sequence[str], max_inflight: int) -> None:
        self.model = model
        self._paths = tuple(paths)
        self._max_inflight = max_inflight
        self._known: dict[str, Replica] = {}
        self._leaving: list[Replica] = []
        self.resolved = False
        """Somebody has said at least once which replicas there are, be it none."""

    def __len__(self) -> int:
        return len(self._known)

    def update(self, addresses: Collection[str]) -> bool:
        """Make `addresses` the known replicas; True if that changed anything.

        Those that stay keep their counts, those that go finish their work.
        """
        before = self._known
        self._known = {address: before.get(address) or Replica(address, self._paths) for address in sorted(addresses)}
        gone = [replica for address, replica in before.items() if address not in self._known]
        self._leaving = [replica for replica in (*self._leaving, *gone) if replica.inflight]
        self.resolved = True
        return before.keys() != self._known.keys()

    def choose(self, tried: Sequence[Replica] = ()) -> Replica | None:
        """A replica not in `tried` with room for one more request, or None.

        Those that could not be connected to just now are taken only if there is no other: fails open.
        """
        now = time.monotonic()
        candidates = [replica for replica in self._known.values() if replica not in tried]
        reachable = [replica for replica in candidates if replica.avoided_until <= now]
        return self._least_busy(reachable) or self._least_busy(candidates)

    def _least_busy(self, candidates: list[Replica]) -> Replica | None:
        if not candidates:
            return None
        least = min(replica.inflight for replica in candidates)
        if least >= self._max_inflight:
            return None
        best = [replica for replica in candidates if replica.inflight == least]
        return best[0] if len(best) == 1 else random.choice(best)  # noqa: S311

    def connect_failed(self, replica: Replica) -> None:
        """Avoid `replica` for a second; DNS will drop it if it stays away."""
        replica.avoided_until = time.monotonic() + _AVOIDED_S

    def is_healthy(self, replica: Replica) -> bool:
        """Whether new requests go to `replica`."""
        return self._known.get(replica.address) is replica and replica.avoided_until <= time.monotonic()

    def all(self) -> list[Replica]:
        """Known replicas, and those no longer known that still have requests under way."""
        self._leaving = [replica for replica in self._leaving if replica.inflight]
        return [*self._known.values(), *self._leaving]


class RetryBudget:
    """Bounds second attempts to a share of first ones, so that an outage is not answered with twice the load.

    The burst covers what waits for its connect when a node is lost and nothing refuses.
    """

    __slots__ = ("_share", "_tokens", "_top")

    def __init__(self, share: float = 0.1, burst: int = 100) -> None:
        self._share = share
        self._top = self._tokens = float(burst)

    def earn(self) -> None:
        """A first attempt was made."""
        self._tokens = min(self._top, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a second attempt may be made now."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
