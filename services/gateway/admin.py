"""The admin ASGI application: metrics and health on a port that is not public."""

from collections.abc import Mapping
from typing import Any

from services.gateway.client_response import Receive, Send
from services.gateway.health import Health
from services.gateway.metrics import Metrics


class AdminApp:
    """`/metrics`, `/healthz`, `/readyz`; everything else is 404."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health

    async def __call__(self, scope: Mapping[str, Any], _receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or await self._health.answer(scope, send):
            return
        if scope["path"] == "/metrics":
            accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
            content_type, body = self._metrics.expose(accept.decode("latin-1"))
            status = 200
        else:
            content_type, body, status = "text/plain", b"not found\n", 404
        fields = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})
