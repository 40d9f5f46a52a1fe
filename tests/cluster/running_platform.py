"""The running local platform as a test sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import pytest

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Running:
    """The platform's addresses and a client of its API server."""

    outputs: dict[str, Any]
    apps: Any
    core: Any

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.outputs['api_key']}"}

    def ask(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        url = f"{self.outputs['gateway_url']}/v1/chat/completions"
        request = {"model": self.outputs["model"], "temperature": 0, "max_tokens": 16, **body}
        return httpx.post(url, json=request, headers={**self.headers, **headers}, timeout=120.0)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query to Prometheus."""
        answer = httpx.get(f"{self.outputs['prometheus_url']}/api/v1/query", params={"query": expression})
        return list(answer.json()["data"]["result"])

    def notifications(self) -> list[dict[str, Any]]:
        """Every alert the receiver was told of, oldest first, each with the time it came."""
        return [
            {**alert, "received_at": entry["received_at"]}
            for entry in httpx.get(self.outputs["alert_receiver_url"]).json()
            for alert in entry["notification"]["alerts"]
        ]


def eventually(what: str, look: Callable[[], Found | None], *, seconds: float) -> Found:
    """What `look` returns once it is something; fails after `seconds` with what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)
