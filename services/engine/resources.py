"""What an engine pod asks of its node, derived from a ModelSpec."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import assert_never

from services.engine.model import GIB, Cpu, ModelSpec, NvidiaGpu

CPU_PROCESSES_GIB = 2.0
"""API server, EngineCore and worker on CPU without weights and KV cache. Measured: vLLM 0.32 in the image of
Containerfile.cpu, SMOLLM2 in float32, eager, 1 GiB of KV cache: RSS 0.69 + 0.61 + 2.43 GB, 3.26 GiB of it their own."""
CPU_LIMIT_FACTOR = 1.5
"""Loading holds the checkpoint and the converted weights at once, and long prompts need activations."""
TMP_GIB = 2
"""Size limit of /tmp: compile caches and sockets. The eager CPU engine wrote under 1 MiB there and in /dev/shm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodResources:
    """Requests and limits of the engine's container.

    `cpu` in cores (request only: a CPU limit would throttle the scheduler thread in mid-step), memory and the two
    in-memory or scratch volumes in GiB, `gpus` a count (0 on CPU). `shm_gib` is charged against the memory limit.
    """

    cpu: float
    memory_request_gib: int
    memory_limit_gib: int
    gpus: int
    shm_gib: int
    tmp_gib: int

    def __post_init__(self) -> None:
        if not self.shm_gib < self.memory_request_gib <= self.memory_limit_gib:
            raise ValueError(
                f"memory_limit_gib: {self.memory_limit_gib} is not allowed beside memory_request_gib "
                f"{self.memory_request_gib} and shm_gib {self.shm_gib}. Allowed: shared memory < request <= limit. "
                "Raise hardware.host_memory_gib."
            )


def pod_resources(spec: ModelSpec) -> PodResources:
    """Resources of one replica. CPU: 4 GiB requested and 6 GiB at most for SMOLLM2."""
    match spec.hardware:
        case Cpu(cores=cores, kv_cache_gib=kv_cache_gib):
            request = ceil(CPU_PROCESSES_GIB + spec.weight_bytes / GIB + kv_cache_gib)
            return PodResources(
                cpu=cores,
                memory_request_gib=request,
                memory_limit_gib=ceil(request * CPU_LIMIT_FACTOR),
                gpus=0,
                shm_gib=1,
                tmp_gib=TMP_GIB,
            )
        case NvidiaGpu(cores=cores, host_memory_gib=host_memory_gib):
            memory = spec.gpus * host_memory_gib
            return PodResources(
                cpu=spec.gpus * cores,
                memory_request_gib=memory,
                # Equal to the request: a GPU pod must not be the one that is evicted when its node runs short.
                memory_limit_gib=memory,
                gpus=spec.gpus,
                # NCCL moves data between ranks through /dev/shm; one GPU needs only vLLM's message queues.
                shm_gib=1 if spec.gpus == 1 else min(4 * spec.gpus, memory // 4),
                tmp_gib=5 * TMP_GIB,
            )
        case _:
            assert_never(spec.hardware)
