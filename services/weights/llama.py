"""A Llama model from GGUF in the names, shapes and configuration of Hugging Face Transformers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from services.weights.bfloat16 import LazyTensor
from services.weights.errors import WeightsError

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def transformers_name(name: str) -> str:
    """`blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`. Raises WeightsError for an unknown tensor."""
    match name.split("."):
        case ["blk", layer, part, kind] if part in _LAYER and layer.isdigit():
            return f"model.layers.{layer}.{_LAYER[part]}.{kind}"
        case [part, kind] if part in _TOP:
            return f"{_TOP[part]}.{kind}"
        case _:
            raise WeightsError(f"tensor {name!r} is none of a Llama model; only that architecture is converted")


def unpermute(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of a query or key projection, (heads * head_size, hidden), in Transformers' order.

    llama.cpp interleaves the two halves of every rotary pair within a head; Transformers keeps the halves apart.
    """
    pairs = matrix.shape[0] // heads // 2
    return matrix.reshape(heads, pairs, 2, -1).swapaxes(1, 2).reshape(matrix.shape)


def read_fields(reader: GGUFReader) -> dict[str, Any]:
    """The metadata of a GGUF file, key → value. Raises WeightsError for another architecture or tokenizer."""
    fields = {name: field.contents() for name, field in reader.fields.items() if field.types}
    for key, expected in (("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2")):
        if fields.get(key) != expected:
            raise WeightsError(
                f"{key} is {fields.get(key)!r}, expected {expected!r}: only Llama models with a byte-level BPE "
                "tokenizer are converted. Take the model's own Hugging Face folder instead."
            )
    return fields


def tensors(reader: GGUFReader, fields: dict[str, Any]) -> dict[str, LazyTensor]:
    """All tensors under Transformers' names, de-quantized to float32 when asked for."""
    heads = int(fields["llama.attention.head_count"])
    rows_of_heads = {"q_proj": heads, "k_proj": int(fields.get("llama.attention.head_count_kv", heads))}
    found = {}
    for tensor in reader.tensors:
        name = transformers_name(tensor.name)
        # GGUF lists dimensions from the fastest to the slowest.
        shape = tuple(int(size) for size in reversed(tensor.shape))
        permuted = rows_of_heads.get(name.split(".")[-2]) if name.endswith(".weight") else None
        found[name] = LazyTensor(shape, partial(_values, tensor, shape, permuted))
    return found


def _values(tensor: Any, shape: tuple[int, ...], permuted_heads: int | None) -> NDArray[np.float32]:
    values: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
    return unpermute(values, permuted_heads) if permuted_heads else values


def model_config(fields: dict[str, Any], token_ids: dict[str, int | None], tied_embeddings: bool) -> dict[str, object]:
    """The content of config.json. `token_ids` holds bos, eos and pad; `tied_embeddings`: no lm_head of its own."""

    def of(key: str, default: Any = None) -> Any:
        value = fields.get(f"llama.{key}", default)
        if value is None:
            raise WeightsError(f"the GGUF file lacks llama.{key}")
        return value

    heads, hidden = int(of("attention.head_count")), int(of("embedding_length"))
    theta = float(of("rope.freq_base", 10000.0))
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": token_ids["bos"],
        "dtype": "bfloat16",
        "eos_token_id": token_ids["eos"],
        "head_dim": int(of("attention.key_length", of("rope.dimension_count", hidden // heads))),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": int(of("feed_forward_length")),
        "max_position_embeddings": int(of("context_length")),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": int(of("block_count")),
        "num_key_value_heads": int(of("attention.head_count_kv", heads)),
        "pad_token_id": token_ids["pad"],
        "rms_norm_eps": float(of("attention.layer_norm_rms_epsilon")),
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        # Where Transformers before 5 looks for it.
        "rope_theta": theta,
        "tie_word_embeddings": tied_embeddings,
        "use_cache": True,
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
    }
