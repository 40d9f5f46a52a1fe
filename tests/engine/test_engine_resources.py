"""What an engine pod asks of its node."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_70b import llama

from services.engine.model import SMOLLM2, Cpu, NvidiaGpu
from services.engine.resources import pod_resources


def test_the_embedded_model_asks_for_what_was_measured():
    resources = pod_resources(SMOLLM2)
    assert (resources.memory_request_gib, resources.memory_limit_gib) == (4, 6), "3.3 GiB seen"
    assert (resources.gpus, resources.shm_gib) == (0, 1)


@given(st.integers(1, 256))
def test_more_cache_is_more_memory_gib_for_gib(kv_cache_gib):
    grown = pod_resources(replace(SMOLLM2, hardware=Cpu(kv_cache_gib=kv_cache_gib)))
    assert grown.memory_request_gib == 3 + kv_cache_gib
    assert grown.memory_limit_gib >= grown.memory_request_gib


def test_a_gpu_pod_asks_for_all_its_gpus_and_for_shared_memory_between_them():
    resources = pod_resources(llama(hardware=NvidiaGpu(memory_gib=80, cores=6, host_memory_gib=64)))
    assert resources.gpus == 4
    assert resources.cpu == 24
    assert resources.memory_request_gib == resources.memory_limit_gib == 256
    assert resources.shm_gib == 16, "tensor parallel ranks exchange data through /dev/shm"


def test_shared_memory_that_leaves_no_memory_is_refused():
    resources = pod_resources(SMOLLM2)
    with pytest.raises(ValueError, match=r"shared memory < request"):
        replace(resources, shm_gib=4)
