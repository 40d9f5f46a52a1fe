"""The tokenizer of a GGUF file as tokenizer.json, tokenizer_config.json and chat template.

Built from the file's fields: Transformers' own reading of this file takes `<|im_start|>` for the end of a turn, so that
chats never stop.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from services.weights.errors import WeightsError

_CONTROL, _USER_DEFINED = 3, 4
_SPLITS_DIGITS = {"smollm": True, "starcoder": True, "refact": True, "gpt-2": False}
_ROLES = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}


def tokenizer(fields: dict[str, Any]) -> Tokenizer:
    """A byte-level BPE tokenizer. Raises WeightsError for a splitting rule that is not known here."""
    rule = fields["tokenizer.ggml.pre"]
    if rule not in _SPLITS_DIGITS:
        raise WeightsError(f"tokenizer.ggml.pre is {rule!r}; known are {', '.join(sorted(_SPLITS_DIGITS))}")
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in fields["tokenizer.ggml.merges"])]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    made = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False, byte_fallback=False, ignore_merges=False)
    )
    by_bytes: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    digits: Any = pre_tokenizers.Digits(individual_digits=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, by_bytes]) if _SPLITS_DIGITS[rule] else by_bytes
    made.decoder = decoders.ByteLevel()
    # Adds nothing, on purpose: the chat template writes every special token itself.
    made.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    by_kind = list(zip(tokens, kinds, strict=True))
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in by_kind if kind == _CONTROL])
    made.add_tokens([AddedToken(token, normalized=False) for token, kind in by_kind if kind == _USER_DEFINED])
    return made


def token_ids(fields: dict[str, Any]) -> dict[str, int | None]:
    """Ids of the bos, eos, pad and unk tokens; None where the model has none. Padding falls back to the end token."""
    ids = {role: fields.get(f"tokenizer.ggml.{key}_token_id") for role, key in _ROLES.items()}
    numbers = {role: None if number is None else int(number) for role, number in ids.items()}
    if numbers["pad"] is None:
        numbers["pad"] = numbers["eos"]
    return numbers


def tokenizer_config(fields: dict[str, Any]) -> dict[str, object]:
    """The content of tokenizer_config.json, with the chat template if the file has one."""
    tokens = fields["tokenizer.ggml.tokens"]
    names = {role: None if number is None else tokens[number] for role, number in token_ids(fields).items()}
    config: dict[str, object] = {
        "backend": "tokenizers",
        "bos_token": names["bos"],
        "clean_up_tokenization_spaces": False,
        "eos_token": names["eos"],
        "model_max_length": int(fields["llama.context_length"]),
        "pad_token": names["pad"],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": names["unk"],
    }
    template = fields.get("tokenizer.chat_template")
    return {**config, "chat_template": template} if template else config
