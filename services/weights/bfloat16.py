"""Tensors as bfloat16 in a safetensors file, written one at a time.

Format: github.com/huggingface/safetensors, "Format": 8 bytes header length, JSON header, data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BYTES = 2
_QUIET_NAN = 0x7FC0


class LazyTensor(NamedTuple):
    """A tensor's shape, and the function that computes its float32 values in that shape."""

    shape: tuple[int, ...]
    values: Callable[[], NDArray[np.float32]]


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of float32 values, rounded to nearest with ties to even; same shape. NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    # A NaN's payload could carry over into infinity or into the sign.
    return np.where(np.isnan(values), _QUIET_NAN, rounded).astype(np.uint16)


def write_safetensors(path: Path, tensors: Mapping[str, LazyTensor]) -> None:
    """Write tensors in the order of their names. Memory: one tensor at a time."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    names = sorted(tensors)
    for name in names:
        shape = tensors[name].shape
        end = offset + _BYTES * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(to_bfloat16(tensors[name].values()).astype("<u2", copy=False).data)
