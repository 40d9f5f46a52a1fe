"""Names, order and rounding of converted tensors: pure functions."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.weights.bfloat16 import LazyTensor, to_bfloat16, write_safetensors
from services.weights.bpe import token_ids, tokenizer
from services.weights.errors import WeightsError
from services.weights.llama import transformers_name, unpermute


@pytest.mark.parametrize(
    ("gguf", "expected"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
        ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"),
        ("blk.29.ffn_down.weight", "model.layers.29.mlp.down_proj.weight"),
        ("blk.7.attn_k.bias", "model.layers.7.self_attn.k_proj.bias"),
    ],
)
def test_tensors_get_the_names_that_transformers_reads(gguf, expected):
    assert transformers_name(gguf) == expected


@pytest.mark.parametrize("name", ["blk.0.ssm_a.weight", "blk.x.attn_q.weight", "rope_freqs.weight", "token_embd", ""])
def test_an_unknown_tensor_is_refused_by_name(name):
    with pytest.raises(WeightsError, match="only that architecture"):
        transformers_name(name)


def permute(matrix, heads):
    """llama.cpp's convert_hf_to_gguf.py does this to query and key weights."""
    return matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(matrix.shape)


@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 5))
def test_unpermute_undoes_llama_cpps_interleaving(heads, pairs, hidden):
    matrix = np.arange(heads * pairs * 2 * hidden, dtype=np.float32).reshape(-1, hidden)
    assert np.array_equal(unpermute(permute(matrix, heads), heads), matrix)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x3F800000, 0x3F80),
        (0x3F808000, 0x3F80),  # a tie goes to the even neighbour, below
        (0x3F818000, 0x3F82),  # and here above
        (0x3F808001, 0x3F81),
        (0x7F7FFFFF, 0x7F80),  # the largest float32 rounds to infinity
        (0x80000000, 0x8000),  # minus zero stays
        (0x7F800001, 0x7FC0),  # NaN stays NaN although its upper half alone is infinity
        (0xFFFFFFFF, 0x7FC0),
    ],
)
def test_rounding_to_bfloat16(bits, expected):
    assert to_bfloat16(np.array([bits], dtype=np.uint32).view(np.float32))[0] == expected


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**126), max_value=2.0**126))
def test_rounding_is_never_further_off_than_half_a_step(value):
    rounded = (to_bfloat16(np.array([value], dtype=np.float32)).astype(np.uint32) << 16).view(np.float32)[0]
    assert abs(float(rounded) - value) <= max(abs(value) * 2**-8, 2.0**-133)


def test_a_safetensors_file_lists_tensors_by_name_and_is_aligned(tmp_path):
    ones = np.ones((2, 3), dtype=np.float32)
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"b": LazyTensor((2, 3), lambda: ones), "a": LazyTensor((1,), lambda: ones[0, :1])})
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0, "readers map the data in place"
    assert header["a"]["data_offsets"] == [0, 2]
    assert header["b"] == {"dtype": "BF16", "shape": [2, 3], "data_offsets": [2, 14]}
    assert content[8 + size :] == b"\x80\x3f" * 7


def test_padding_falls_back_to_the_end_of_a_turn():
    assert token_ids({"tokenizer.ggml.eos_token_id": 2}) == {"bos": None, "eos": 2, "pad": 2, "unk": None}


def test_an_unknown_splitting_rule_is_refused():
    with pytest.raises(WeightsError, match="'llama-bpe'; known are"):
        tokenizer({"tokenizer.ggml.pre": "llama-bpe"})
