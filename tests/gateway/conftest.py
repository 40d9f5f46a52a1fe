"""One gateway for tests that only ask, one with short time limits; tests that change a gateway start their own."""

from collections.abc import Iterator

import pytest

from gateway.engine_double import EngineDouble
from gateway.gateway_process import GatewayUnderTest

SHORT = {"first_token_s": 0.4, "inter_token_s": 0.4, "total_s": 1.2, "body_s": 0.5, "head_s": 0.5, "connect_s": 0.3}


def models_at(*engines: EngineDouble) -> dict:
    upstream = {"replicas": [engine.address for engine in engines]}
    return {
        "m": {"max_model_len": 2048, "upstream": upstream},
        "embedder": {"kind": "embedding", "max_model_len": 512, "upstream": upstream},
        "base": {"kind": "completion", "max_model_len": 512, "upstream": upstream},
        "hidden": {"max_model_len": 512, "upstream": upstream},
    }


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineDouble]:
    double = EngineDouble()
    yield double
    double.close()


@pytest.fixture(scope="session")
def gateway(engine, tmp_path_factory) -> Iterator[GatewayUnderTest]:
    running = GatewayUnderTest(tmp_path_factory.mktemp("gateway"), models_at(engine))
    yield running
    running.close()


@pytest.fixture(scope="session")
def hasty_gateway(engine, tmp_path_factory) -> Iterator[GatewayUnderTest]:
    running = GatewayUnderTest(tmp_path_factory.mktemp("hasty"), models_at(engine), timeouts=SHORT)
    yield running
    running.close()


@pytest.fixture
def start(tmp_path) -> Iterator:
    """Starts a gateway of the test's own, in its own folder."""
    started: list[GatewayUnderTest] = []

    def _start(models: dict, **overrides) -> GatewayUnderTest:
        started.append(GatewayUnderTest(tmp_path, models, **overrides))
        return started[-1]

    yield _start
    for gateway in started:
        gateway.close()


@pytest.fixture
def another_engine() -> Iterator:
    """Starts further engines."""
    started: list[EngineDouble] = []

    def _start(**options) -> EngineDouble:
        started.append(EngineDouble(**options))
        return started[-1]

    yield _start
    for double in started:
        double.close()
