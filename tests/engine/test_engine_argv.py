"""The command line and the environment say what the ModelSpec says, and nothing twice."""

from dataclasses import replace

import pytest
from llama_70b import llama

from services.engine.argv import WRITABLE, argv, environment
from services.engine.model import SMOLLM2, NvidiaGpu


def option(words: list[str], name: str) -> str:
    assert words.count(name) == 1, f"{name} must be given once"
    return words[words.index(name) + 1]


def test_the_module_form_is_used_because_the_vllm_command_crashes():
    assert argv(SMOLLM2)[:3] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]


def test_every_size_of_the_model_reaches_vllm():
    words = argv(SMOLLM2)
    assert option(words, "--model") == "/models/smollm2"
    assert option(words, "--served-model-name") == "smollm2"
    assert option(words, "--dtype") == "float32", "bfloat16 changes answers on some CPUs"
    assert option(words, "--max-model-len") == "2048"
    assert option(words, "--max-num-seqs") == "16"
    assert option(words, "--shutdown-timeout") == "60", "0, the default, aborts requests on SIGTERM"
    assert "--enforce-eager" in words
    assert environment(SMOLLM2)["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_a_gpu_engine_gets_its_parallel_sizes_and_no_cpu_setting():
    spec = llama(pipeline_parallel=2, quantization="fp8", hardware=NvidiaGpu(memory_gib=80, memory_utilization=0.9))
    words = argv(spec)
    assert option(words, "--tensor-parallel-size") == "4"
    assert option(words, "--pipeline-parallel-size") == "2"
    assert option(words, "--gpu-memory-utilization") == "0.9"
    assert option(words, "--quantization") == "fp8"
    assert "--enforce-eager" not in words, "CUDA graphs are what a GPU engine is started for"
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment(spec)
    assert environment(spec)["NCCL_NVLS_ENABLE"] == "0", "several GPUs: no NVLink multicast"
    assert "NCCL_NVLS_ENABLE" not in environment(llama(tensor_parallel=1, quantization="fp8", max_model_len=1024))


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [("http://jaeger:4317", "grpc"), ("http://jaeger:4318/v1/traces", "http/protobuf")],
)
def test_the_endpoints_path_decides_the_trace_protocol(endpoint, protocol):
    spec = replace(SMOLLM2, otlp_endpoint=endpoint)
    assert option(argv(spec), "--otlp-traces-endpoint") == endpoint
    assert environment(spec)["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == protocol
    assert environment(spec)["OTEL_SERVICE_NAME"] == "vllm"


def test_without_a_collector_nothing_is_traced():
    assert "--otlp-traces-endpoint" not in argv(SMOLLM2)
    assert not [name for name in environment(SMOLLM2) if name.startswith("OTEL_")]


def test_nothing_is_written_outside_tmp_and_nothing_is_fetched():
    variables = environment(SMOLLM2)
    assert all(variables[name].startswith(WRITABLE) for name in ("HOME", "TMPDIR", "VLLM_CACHE_ROOT")), (
        "the root file system is read-only"
    )
    assert variables["HF_HUB_OFFLINE"] == variables["VLLM_NO_USAGE_STATS"] == "1"
