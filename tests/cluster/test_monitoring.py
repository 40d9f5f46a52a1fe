"""Metrics and the alert pipeline on the running platform."""

from __future__ import annotations

import time

import pytest
from running_platform import Running, eventually

from infra.namespaces import SERVING

ENGINE = "app.kubernetes.io/name=engine-smollm2"


def test_every_scrape_target_is_up(platform: Running):
    # A pod that ends is still a target for a moment after its port has closed.
    eventually("no scrape target down", lambda: not platform.query("up == 0"), seconds=60)
    jobs = {series["metric"]["job"] for series in platform.query("up")}
    assert {"gateway", "engine-smollm2", "valkey", "kube-state-metrics", "alertmanager", "jaeger"} <= jobs


def test_valkey_answers_and_keeps_its_data_on_disk(platform: Running):
    assert platform.query("redis_up")[0]["value"][1] == "1"
    assert platform.query("redis_aof_last_write_status")[0]["value"][1] == "1"


def test_the_watchdog_beats_at_the_receiver(platform: Running):
    eventually(
        "the watchdog's heartbeat",
        lambda: [alert for alert in platform.notifications() if alert["labels"]["alertname"] == "Watchdog"],
        seconds=90,
    )


@pytest.mark.timeout(420)
def test_a_killed_engine_pages_comes_back_and_the_page_resolves(platform: Running):
    def only_pod() -> str | None:
        pods = platform.core.list_namespaced_pod(SERVING, label_selector=ENGINE).items
        return pods[0].metadata.name if len(pods) == 1 else None

    pod = eventually("a single engine pod, an earlier rollout's gone", only_pod, seconds=120)
    began = time.time()
    platform.core.delete_namespaced_pod(pod, SERVING, grace_period_seconds=0)

    def told(status: str) -> list[dict[str, object]]:
        return [
            alert
            for alert in platform.notifications()
            if alert["labels"]["alertname"] == "EngineDown"
            and alert["status"] == status
            and alert["received_at"] > began
        ]

    firing = eventually("the page", lambda: told("firing"), seconds=60)
    assert firing[0]["labels"]["severity"] == "page"
    eventually("the page's end", lambda: told("resolved"), seconds=300)
    answer = platform.ask({"messages": [{"role": "user", "content": "hi"}]})
    assert answer.status_code == 200, "the engine answers again once the page has resolved"
