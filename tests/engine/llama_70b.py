"""A model on GPUs, for tests: Llama 3.3 70B on four GPUs of 80 GiB."""

from services.engine.model import Architecture, ModelSpec, NvidiaGpu

LLAMA_70B = Architecture(parameters=70_553_706_496, layers=80, kv_heads=8, head_size=128, context_length=131_072)


def llama(**changes) -> ModelSpec:
    """The spec with some fields changed."""
    values = {
        "served_name": "llama-70b",
        "source": "hf:meta-llama/Llama-3.3-70B-Instruct",
        "revision": "6f6073b423013f6a7d4d9f39144961bfbfbc386b",
        "folder": "/models/llama-70b",
        "architecture": LLAMA_70B,
        "hardware": NvidiaGpu(memory_gib=80),
        "dtype": "bfloat16",
        "max_model_len": 32_768,
        "max_num_seqs": 256,
        "tensor_parallel": 4,
        "load_seconds": 180,
        "compile_seconds": 60,
    }
    return ModelSpec(**{**values, **changes})
