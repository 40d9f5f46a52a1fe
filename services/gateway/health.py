"""Alive, ready, draining."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.gateway.client_response import Send
from services.gateway.replicas import ReplicaSet

_PATHS = frozenset({"/healthz", "/readyz"})


class Health:
    """Answers `/healthz` and `/readyz`.

    Ready means: keys and configuration are loaded (the process would not run otherwise), DNS has been asked once for
    every model, and no drain has begun. It does not mean that a replica is there. Were it so, an engine's outage would
    take every gateway out of its load balancer at once, clients would get a bare connection refusal where they now
    get a 503 that names the model and says when to come back, and a model scaled to zero could never be woken.
    """

    def __init__(self, replicas: Iterable[ReplicaSet]) -> None:
        self._replicas = tuple(replicas)
        self._draining = False

    def is_draining(self) -> bool:
        return self._draining

    def begin_drain(self) -> None:
        self._draining = True

    @property
    def ready(self) -> bool:
        return not self._draining and all(replicas.resolved for replicas in self._replicas)

    async def answer(self, scope: Mapping[str, Any], send: Send) -> bool:
        """Answer if it is a health check; False if it is something else."""
        path = scope["path"]
        if path not in _PATHS:
            return False
        up = path == "/healthz" or self.ready
        report = {
            "status": "ok" if up else "draining" if self._draining else "starting",
            "replicas": {replicas.model: len(replicas) for replicas in self._replicas},
        }
        body = msgspec.json.encode(report)
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if self._draining:
            fields.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 200 if up else 503, "headers": fields})
        await send({"type": "http.response.body", "body": body})
        return True
