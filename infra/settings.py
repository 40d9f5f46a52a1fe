"""What a stack file may say: parsed once, refused with the key, the value and what is allowed.

The same parser reads a `Pulumi.<stack>.yaml` on disk (`llmp`, tests) and the configuration that `pulumi up` hands to
the program. Units stand in the names. Unknown keys are refused: a misspelt limit must not become a default.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import yaml
from msgspec import Meta, Struct

from infra.errors import ConfigurationError

PROJECT = "llmp"
SEED = "seed"
# Namespaces of other programs that a Pulumi stack file may hold beside ours.
_FOREIGN = ("pulumi:", "aws:", "kubernetes:")

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Replicas = Annotated[int, Meta(ge=0, le=1000)]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A mapping of the stack file; keys are camelCase there and snake_case here."""


class LocalPorts(_Section, frozen=True, kw_only=True):
    """Ports on 127.0.0.1 that lead into the local cluster."""

    gateway: Port = 8080
    prometheus: Port = 9090
    alertmanager: Port = 9093
    jaeger: Port = 16686
    alert_receiver: Port = 9094

    def __post_init__(self) -> None:
        values = [getattr(self, name) for name in self.__struct_fields__]
        if len(set(values)) != len(values):
            raise ValueError("two of them are the same; each needs a port of its own")


class ClusterSettings(_Section, frozen=True, kw_only=True):
    """Which cluster. Without `context` and `kubeconfig` the environment makes its own. `registry` is where nodes pull
    the images from; the cluster of this machine holds them already, under the default."""

    context: Annotated[str, Meta(min_length=1)] | None = None
    kubeconfig: Annotated[str, Meta(min_length=1)] | None = None
    registry: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.:/_-]*[a-z0-9]$")] = "localhost/llmp"
    ports: LocalPorts = LocalPorts()


class EngineSettings(_Section, frozen=True, kw_only=True):
    """The model that is served, and by how many replicas."""

    model: Literal["smollm2"] = "smollm2"
    replicas: Replicas = 1
    max_model_len: Annotated[int, Meta(ge=128, le=1_048_576)] = 2048
    max_num_seqs: Annotated[int, Meta(ge=1, le=4096)] = 16
    kv_cache_gib: Annotated[int, Meta(ge=1, le=1024)] = 1
    drain_seconds: Annotated[int, Meta(ge=1, le=3600)] = 30


class GatewayTimeouts(_Section, frozen=True, kw_only=True):
    """Nothing hangs for ever: each phase of a request has its end."""

    connect_seconds: Seconds = 2.0
    first_token_seconds: Seconds = 60.0
    inter_token_seconds: Seconds = 30.0
    total_seconds: Seconds = 600.0

    def __post_init__(self) -> None:
        for name in ("connect_seconds", "first_token_seconds", "inter_token_seconds"):
            if getattr(self, name) > self.total_seconds:
                raise ValueError(
                    f"{name} is longer than totalSeconds ({self.total_seconds}): it could never be reached"
                )


class GatewaySettings(_Section, frozen=True, kw_only=True):
    """The front door. None of it would be no platform, hence at least one."""

    replicas: Annotated[int, Meta(ge=1, le=1000)] = 1
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 4 << 20
    drain_seconds: Annotated[int, Meta(ge=1, le=3600)] = 60
    timeouts: GatewayTimeouts = GatewayTimeouts()


class CacheSettings(_Section, frozen=True, kw_only=True):
    """Valkey: keys, limits and cached answers."""

    memory_mib: Annotated[int, Meta(ge=16, le=1 << 20)] = 128
    volume_gib: Positive = 1


class MonitoringSettings(_Section, frozen=True, kw_only=True):
    """Prometheus, Alertmanager and Jaeger."""

    scrape_interval_seconds: Annotated[int, Meta(ge=1, le=300)] = 15
    retention_days: Positive = 7
    retention_gib: Positive = 2
    volume_gib: Positive = 4
    max_traces: Annotated[int, Meta(ge=100)] = 20_000

    def __post_init__(self) -> None:
        if self.retention_gib >= self.volume_gib:
            raise ValueError(
                f"retentionGib {self.retention_gib} fills the volume of volumeGib {self.volume_gib}: "
                "leave at least 1 GiB for the write-ahead log and compactions"
            )


class Settings(_Section, frozen=True, kw_only=True):
    """One stack file."""

    environment: Literal["local"]
    cluster: ClusterSettings = ClusterSettings()
    engine: EngineSettings = EngineSettings()
    gateway: GatewaySettings = GatewaySettings()
    cache: CacheSettings = CacheSettings()
    monitoring: MonitoringSettings = MonitoringSettings()


def read_stack_file(path: Path) -> Settings:
    """Settings of a `Pulumi.<stack>.yaml`. Raises ConfigurationError for anything that is not allowed in it."""
    try:
        document = yaml.load(path.read_text(), _UniqueKeys)  # noqa: S506  # a subclass of the safe loader
    except FileNotFoundError:
        stacks = sorted(file.name[7:-5] for file in path.parent.glob("Pulumi.*.yaml"))
        raise ConfigurationError(
            where=str(path), key="stack", value=path.name[7:-5], allowed=f"there is no such file; stacks: {stacks}",
            mend="name an existing stack with -s, or write its file",
        ) from None  # fmt: skip
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            where=str(path), key="(whole file)", value="", allowed=f"not YAML: {' '.join(str(error).split())}",
            mend="mend the syntax at the place named",
        ) from error  # fmt: skip
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise ConfigurationError(
            where=str(path), key="config", value=config, allowed="a mapping of keys such as llmp:engine"
        )
    return parse(config, where=path.name)


def parse(config: Mapping[str, Any], *, where: str) -> Settings:
    """Settings from configuration keys as a stack file has them (`llmp:engine`, …). Values are plain data, or the
    JSON text that Pulumi hands to programs. Secrets are read by `infra.secrets`, not here."""
    plain: dict[str, Any] = {}
    for key, value in config.items():
        if not isinstance(key, str):
            raise ConfigurationError(where=where, key=repr(key), value=value, allowed=f"keys begin with {PROJECT}:")
        if key.startswith(_FOREIGN):
            continue
        if not key.startswith(f"{PROJECT}:"):
            raise ConfigurationError(where=where, key=key, value=value, allowed=f"keys begin with {PROJECT}:")
        if key == f"{PROJECT}:{SEED}":
            continue  # the one secret, read by infra.secrets
        plain[key.removeprefix(f"{PROJECT}:")] = _decoded(value)
    try:
        return msgspec.convert(plain, Settings)
    except msgspec.ValidationError as error:
        raise _refusal(error, plain, where) from error


class _UniqueKeys(yaml.SafeLoader):
    """A key that stands twice is an error: YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.YAMLError(f"the key {key!r} stands twice, line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _refusal(error: msgspec.ValidationError, plain: Mapping[str, Any], where: str) -> ConfigurationError:
    """The library's message, with the key and value that it is about, and the nearest key for a misspelt one."""
    message = str(error)
    text, _, path = message.partition(" - at `$")
    steps = re.findall(r"\.([A-Za-z_]\w*)", path)
    unknown = re.search(r"unknown field `(\w+)`", text)
    if unknown:
        steps.append(unknown[1])
        fields = _fields(steps[:-1])
        near = difflib.get_close_matches(unknown[1], fields, n=1)
        text = f"unknown key; allowed are {', '.join(sorted(fields))}"
        if near:
            text += f"; did you mean {near[0]}?"
    elif text.startswith("Invalid enum value"):
        text = f"allowed are {', '.join(_choices(steps))}"
    value: Any = plain
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    key = f"{PROJECT}:" + ".".join(steps) if steps else PROJECT
    return ConfigurationError(where=where, key=key, value=value, allowed=text[:1].lower() + text[1:])


def _type_at(steps: list[str]) -> Any:
    found: Any = Settings
    for step in steps:
        found = next(field.type for field in msgspec.structs.fields(found) if field.encode_name == step)
    return found


def _fields(steps: list[str]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(_type_at(steps))]


def _choices(steps: list[str]) -> list[str]:
    return [str(choice) for choice in get_args(_type_at(steps))]
