"""The process: builds the parts, listens on two ports, reloads keys, drains on SIGTERM."""

import asyncio
import contextlib
import gc
import importlib.metadata
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from services.gateway.admin import AdminApp
from services.gateway.app import GatewayApp
from services.gateway.config import Config
from services.gateway.discovery import Discovery
from services.gateway.engine_client import EngineClient
from services.gateway.health import Health
from services.gateway.keyring import Keyring
from services.gateway.lifetime import End
from services.gateway.listener import ListeningServer
from services.gateway.metrics import Metrics, Reading, Readings, ReplicaCollector
from services.gateway.outcome import Outcome
from services.gateway.outcome_hooks import OutcomeLog, OutcomeSpan
from services.gateway.relay import Relay
from services.gateway.replicas import ReplicaSet
from services.gateway.routes import ROUTES
from services.gateway.strict_json import ConfigError
from services.telemetry import Hook, Hooks
from services.telemetry.log_lines import LineBuffer, adopt_library_warnings, open_log
from services.telemetry.spans import SpanWriter

_LOG_DRAIN_S = 0.05
_KEYS_POLL_S = 1.0
_LAST_WORDS_S = 2.0
_KILLED_BY_TERM = 128 + signal.SIGTERM


class GatewayProcess:
    """All parts of one gateway and their order of coming and going."""

    def __init__(self, config: Config, keyring: Keyring, lines: LineBuffer) -> None:
        """Needs a running loop. Raises ListenError."""
        self._config = config
        self._keyring = keyring
        self._lines = lines
        self.log = open_log(lines, config.service_name)
        adopt_library_warnings(self.log)
        paths = tuple(ROUTES)
        self._replicas = {name: ReplicaSet(name, paths, config.limits.replica_inflight) for name in config.models}
        self._discoveries = [Discovery(model, self._replicas[name], self.log) for name, model in config.models.items()]
        self._health = Health(self._replicas.values())
        self._metrics = Metrics(config.models, _version())
        self._spans = self._open_spans()
        hooks: dict[str, Hook[Outcome]] = {"metrics": self._metrics, "log": OutcomeLog(self.log)}
        if self._spans is not None:
            hooks["span"] = OutcomeSpan(self._spans, config.models)
        self._finished: Hooks[Outcome] = Hooks(**hooks)
        self._engines = EngineClient(config.timeouts)
        self._app = GatewayApp(
            config=config,
            keyring=keyring,
            replicas=self._replicas,
            relay=Relay(self._engines, config.timeouts),
            health=self._health,
            finished=self._finished,
            log=self.log,
        )
        self._public = ListeningServer(config.listen, self._app, config.limits, config.timeouts)
        admin = AdminApp(self._metrics, self._health)
        self._admin = ListeningServer(config.admin, admin, config.limits, config.timeouts)
        self._term = asyncio.Event()
        self._register_process_metrics()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends the process at once."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        async with _background(
            self._drain_lines(),
            self._watch_keys(),
            *(discovery.run(self._config.discovery.interval_s) for discovery in self._discoveries),
        ):
            admin = asyncio.create_task(self._admin.run_until_told())
            public = asyncio.create_task(self._public.run_until_told())
            # What start-up made stays for good; the collector need not walk it again.
            gc.freeze()
            try:
                await self._until_term(public, admin)
                await self._drain(public)
            finally:
                self._admin.should_exit = True
                await asyncio.gather(admin, public, return_exceptions=True)
        await self._engines.close()
        if self._spans is not None:
            await loop.run_in_executor(None, self._spans.close)
        self.log.info("gateway.stopped")
        self._lines.drain()

    async def _until_term(self, public: asyncio.Task[None], admin: asyncio.Task[None]) -> None:
        while not (self._public.started and self._admin.started):
            for task in (public, admin):
                if task.done():
                    await task
                    raise RuntimeError("a listener ended before it began")
            await asyncio.sleep(0.005)
        self.log.info(
            "gateway.started",
            listen=self._public.address,
            admin=self._admin.address,
            models=sorted(self._config.models),
            keys=len(self._keyring),
        )
        await self._term.wait()

    async def _drain(self, public: asyncio.Task[None]) -> None:
        drain = self._config.drain
        self._health.begin_drain()
        self.log.info("drain.began", under_way=len(self._app.under_way), grace_s=drain.grace_s, budget_s=drain.budget_s)
        # Endpoints take a while to reach every proxy: whoever still sends here is served, with `connection: close`.
        await asyncio.sleep(drain.grace_s)
        self._public.should_exit = True
        done, _ = await asyncio.wait({public}, timeout=drain.budget_s)
        if not done:
            self.log.warning("drain.budget_spent", under_way=len(self._app.under_way))
            for lifetime in tuple(self._app.under_way):
                lifetime.end(End.DRAINED)
            await asyncio.wait({public}, timeout=_LAST_WORDS_S)
            self._public.force_exit = True

    def _on_signal(self) -> None:
        if self._term.is_set():
            self.log.warning("gateway.killed", under_way=len(self._app.under_way))
            self._lines.drain()
            os._exit(_KILLED_BY_TERM)
        self._term.set()

    def _open_spans(self) -> SpanWriter | None:
        tracing = self._config.tracing
        if not tracing.otlp_endpoint:
            return None
        resource = {"service.name": self._config.service_name, "service.instance.id": socket.gethostname()}
        return SpanWriter(tracing.otlp_endpoint, resource, tracing.export_interval_s)

    def _register_process_metrics(self) -> None:
        registry = self._metrics.registry
        registry.register(ReplicaCollector(self._replicas.values()))
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        readings: tuple[Reading, ...] = (
            (gauge, "llm_gateway_inflight", "Requests under way here.", lambda: len(self._app.under_way)),
            (gauge, "llm_gateway_draining", "1 from SIGTERM on.", self._health.is_draining),
            (gauge, "llm_gateway_keys", "API keys in force.", lambda: len(self._keyring)),
            (
                counter,
                "llm_gateway_keys_reload_failures",
                "Versions of the keys file that were refused.",
                lambda: self._keyring.reload_failures,
            ),
            (
                counter,
                "llm_gateway_dns_failures",
                "Lookups of replicas without a usable answer.",
                lambda: sum(discovery.failures for discovery in self._discoveries),
            ),
            (
                counter,
                "llm_gateway_telemetry_failures",
                "Outcomes that a telemetry hook could not take.",
                self._finished.failures.total,
            ),
            (
                counter,
                "llm_gateway_log_lines_dropped",
                "Log lines that nobody read in time.",
                lambda: self._lines.dropped,
            ),
        )
        registry.register(Readings(readings))

    async def _drain_lines(self) -> None:
        while True:
            await asyncio.sleep(_LOG_DRAIN_S)
            self._lines.drain()

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEYS_POLL_S)
            try:
                if self._keyring.reload_if_changed():
                    self.log.info("keys.reloaded", keys=len(self._keyring))
            except ConfigError as error:
                self.log.warning("keys.refused", reason=str(error))


@contextlib.asynccontextmanager
async def _background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs the coroutines beside the body and cancels them after it."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _version() -> str:
    try:
        return importlib.metadata.version("llmp")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


async def serve(config: Config) -> None:
    """Run one gateway to its end. Raises ConfigError for an unusable keys file, ListenError for a taken port."""
    keyring = Keyring(Path(config.keys_file))
    await GatewayProcess(config, keyring, LineBuffer(sys.stdout.fileno())).run()
