"""`python -m services.valkey_exporter`: asks Valkey for INFO at each scrape and serves it on /metrics.

Environment: VALKEY_ADDRESS (host:port), VALKEY_PASSWORD, PORT. `redis_up` is 0 when Valkey does not answer within a
second; the scrape itself always succeeds, so that a lost Valkey and a lost exporter are two different alerts.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import redis
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_TIMEOUT_SECONDS = 1.0

# INFO field → (metric, help). Names follow redis_exporter, whose dashboards and alerts people have.
GAUGES = {
    "uptime_in_seconds": ("redis_uptime_in_seconds", "Seconds since Valkey started"),
    "connected_clients": ("redis_connected_clients", "Client connections"),
    "blocked_clients": ("redis_blocked_clients", "Clients waiting in a blocking call"),
    "used_memory": ("redis_memory_used_bytes", "Bytes allocated"),
    "maxmemory": ("redis_memory_max_bytes", "The limit on bytes allocated; 0 is none"),
    "mem_fragmentation_ratio": ("redis_mem_fragmentation_ratio", "Resident over allocated memory"),
    "rdb_last_bgsave_status": ("redis_rdb_last_bgsave_status", "1 when the last snapshot succeeded"),
    "aof_last_write_status": ("redis_aof_last_write_status", "1 when the last append succeeded"),
    "loading": ("redis_loading_dump_file", "1 while data is read from disk"),
}
COUNTERS = {
    "total_commands_processed": ("redis_commands_processed", "Commands processed"),
    "total_connections_received": ("redis_connections_received", "Connections accepted"),
    "rejected_connections": ("redis_rejected_connections", "Connections refused for maxclients"),
    "expired_keys": ("redis_expired_keys", "Keys that reached their time to live"),
    "evicted_keys": ("redis_evicted_keys", "Keys evicted for maxmemory"),
    "keyspace_hits": ("redis_keyspace_hits", "Lookups that found a key"),
    "keyspace_misses": ("redis_keyspace_misses", "Lookups that found none"),
}
_WORDS = {"ok": 1.0, "err": 0.0}


class ValkeyCollector(Collector):
    """One INFO a scrape. A field that this Valkey does not report is left out, not zero."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def collect(self) -> Iterator[Metric]:
        try:
            info: Mapping[str, Any] = self._client.info()
        except redis.RedisError:
            info = {}
        yield GaugeMetricFamily("redis_up", "1 when Valkey answered INFO", value=float(bool(info)))
        for field, (name, text) in GAUGES.items():
            if (value := _number(info.get(field))) is not None:
                yield GaugeMetricFamily(name, text, value=value)
        for field, (name, text) in COUNTERS.items():
            if (value := _number(info.get(field))) is not None:
                yield CounterMetricFamily(name, text, value=value)


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    return _WORDS.get(str(value))


def main() -> None:
    host, _, port = os.environ.get("VALKEY_ADDRESS", "127.0.0.1:6379").rpartition(":")
    client = redis.Redis(
        host=host,
        port=int(port),
        password=os.environ.get("VALKEY_PASSWORD") or None,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
    )
    registry = CollectorRegistry()
    registry.register(ValkeyCollector(client))
    server, _ = start_http_server(int(os.environ.get("PORT", "9121")), registry=registry)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    end.wait()
    server.shutdown()


if __name__ == "__main__":
    main()
