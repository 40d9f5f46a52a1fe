"""Keeps a model's replicas in step with what DNS says of its headless Service."""

import asyncio
import socket
from typing import Any

from services.gateway.config import Model
from services.gateway.replicas import ReplicaSet

_ABSENT = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_ABSENCES_BELIEVED = 3
_LOOKUP_TIMEOUT_S = 5.0


class Discovery:
    """Resolves one model's upstream, again and again.

    Fails open: while DNS does not answer, the last known addresses stay. "No such name" is what a headless Service
    without ready pods answers, and also what a restarting CoreDNS may say; it is believed when said three times
    running, because addresses of pods long gone may by then belong to somebody else's pod.
    """

    def __init__(self, model: Model, replicas: ReplicaSet, log: Any) -> None:
        self._upstream = model.upstream
        self._replicas = replicas
        self._log = log
        self._absences = 0
        self.failures = 0
        """Lookups without a usable answer."""
        if model.upstream.replicas:
            replicas.update(model.upstream.replicas)

    async def run(self, interval_s: float) -> None:
        """Until cancelled; returns at once for fixed addresses."""
        while self._upstream.dns is not None:
            await self.resolve_once()
            await asyncio.sleep(interval_s)

    async def resolve_once(self) -> None:
        """One lookup; never raises for what DNS says."""
        lookup = asyncio.get_running_loop().getaddrinfo(
            self._upstream.dns, self._upstream.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        try:
            answers = await asyncio.wait_for(lookup, _LOOKUP_TIMEOUT_S)
        except socket.gaierror as error:
            self._absent() if error.errno in _ABSENT else self._failed(str(error))
        except (TimeoutError, OSError) as error:
            self._failed(type(error).__name__)
        else:
            self._absences = 0
            self._apply({_address(answer[4][0], self._upstream.port) for answer in answers})

    def _absent(self) -> None:
        self._absences += 1
        if self._absences >= _ABSENCES_BELIEVED or not self._replicas.resolved:
            self._apply(set())

    def _failed(self, reason: str) -> None:
        self.failures += 1
        if self.failures == 1 or self.failures % 60 == 0:
            self._log.warning("dns.failed", model=self._replicas.model, name=self._upstream.dns, reason=reason)

    def _apply(self, addresses: set[str]) -> None:
        if self._replicas.update(addresses):
            self._log.info("replicas.changed", model=self._replicas.model, replicas=sorted(addresses))


def _address(host: str | int, port: int) -> str:
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
