"""What the gateway's configuration file may say; read once, refused with the key, the value and what is allowed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway.strict_json import ConfigError, read_object

Seconds = Annotated[float, Meta(gt=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(ge=0, le=1)]


class Kind(StrEnum):
    """What a model is for: which endpoints serve it. A chat model also serves plain completions."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    host: str = "0.0.0.0"  # noqa: S104  # a pod's address is not known beforehand; NetworkPolicies say who may connect
    port: Port = 8080


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model's replicas are: exactly one of `dns` and `replicas`."""

    dns: str | None = None
    """Name of a headless Service; every address it resolves to is a replica on `port`."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 8000
    replicas: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9.\-]+:[0-9]{1,5}$")], ...] = ()
    """Fixed addresses, HOST:PORT."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One served model; its key in `models` is the name that clients send and that the engine serves."""

    upstream: Upstream
    kind: Kind = Kind.CHAT
    max_model_len: Count
    provider: str = "vllm"
    """gen_ai.provider.name of the spans."""
    cache_salt: bool = True
    """Send a salt per tenant, so that one tenant cannot time another's prefix cache; off for engines without it."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    body_bytes: Count = 4 * 1024 * 1024
    header_bytes: Count = 16 * 1024
    header_count: Count = 64
    replica_inflight: Count = 512
    """Requests under way on one replica; keeps a stalled one from holding everything."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. The first four are the engine's, the last four the sockets'."""

    connect_s: Seconds = 2.0
    first_token_s: Seconds = 120.0
    """From choosing a replica to the first event of a stream; a plain answer has only `total_s`."""
    inter_token_s: Seconds = 30.0
    total_s: Seconds = 900.0
    head_s: Seconds = 10.0
    """For a client to send a request's header."""
    body_s: Seconds = 30.0
    """For a client to send a request's body."""
    keep_alive_s: Seconds = 75.0
    """Idle client connections; longer than a load balancer's idle timeout, so that the balancer closes first."""
    upstream_idle_s: Seconds = 4.0
    """Idle connections to engines; below vLLM's VLLM_HTTP_TIMEOUT_KEEP_ALIVE of 5 s, so that we close first."""


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """After SIGTERM: not ready at once, accepting for `grace_s`, then up to `budget_s` for what is under way."""

    grace_s: Annotated[float, Meta(ge=0)] = 5.0
    budget_s: Annotated[float, Meta(ge=0)] = 60.0


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    interval_s: Seconds = 1.0


class Tracing(msgspec.Struct, frozen=True, kw_only=True):
    otlp_endpoint: str = ""
    """Base address of an OTLP/HTTP collector; empty: no spans."""
    sample_ratio: Ratio = 1.0
    """Share of traces that begin here; a caller's own decision is followed."""
    export_interval_s: Seconds = 1.0
    """Finished spans wait at most this long for company."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    keys_file: str
    models: dict[str, Model]
    listen: Listener = Listener()
    admin: Listener = Listener(port=9100)
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    drain: Drain = Drain()
    discovery: Discovery = Discovery()
    tracing: Tracing = Tracing()
    service_name: str = "llmp-gateway"


def load_config(path: Path) -> Config:
    """Read and check `path`.

    Raises ConfigError naming the file, the key, its value and what is allowed.
    """
    config = read_object(path, Config)
    for name, model in config.models.items():
        given = (model.upstream.dns is not None) + bool(model.upstream.replicas)
        if given != 1:
            shown = msgspec.to_builtins(model.upstream)
            raise ConfigError(path, f"models.{name}.upstream", shown, "exactly one of `dns` and `replicas`")
    if not config.models:
        raise ConfigError(path, "models", {}, "at least one model")
    return config
