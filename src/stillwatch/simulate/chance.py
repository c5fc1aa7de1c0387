"""Chance that can be repeated: keyed 64-bit mixing over arrays, and draws from weighted names."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(*parts: Keys | Ints | int | str) -> Keys:
    """Return one well-mixed 64-bit key for each row of the parts (arrays, numbers or words), by splitmix64.

    >>> bool(mix(1, "a") == mix(1, "a")), bool(mix(1, "a") == mix(2, "a"))
    (True, False)
    """
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            number = zlib.crc32(part.encode()) if isinstance(part, str) else part
            z = (state ^ np.asarray(number).astype(np.uint64)) + _GOLDEN
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = z ^ (z >> np.uint64(31))
    return np.asarray(state)


def unit(keys: Keys) -> Floats:
    """Turn keys to numbers in [0, 1).

    >>> float(unit(np.array([0], np.uint64))[0])
    0.0
    """
    return (keys >> np.uint64(11)).astype(np.float64) / 9007199254740992.0


def pick(weights: Mapping[str, float], draws: Floats) -> NDArray[np.object_]:
    """Return the name that each draw in [0, 1) falls on; weights need not sum to one; "none" comes back as None.

    >>> pick({"a": 1, "none": 1}, np.array([0.1, 0.9])).tolist()
    ['a', None]
    """
    names = np.array([None if name == "none" else name for name in weights], object)
    return names[pick_index(np.array(list(weights.values()), float), draws)]


def pick_index(weights: Floats, draws: Floats) -> Ints:
    """Return the position that each draw in [0, 1) falls on.

    >>> pick_index(np.array([1.0, 3.0]), np.array([0.2, 0.3])).tolist()
    [0, 1]
    """
    edges = np.cumsum(weights) / weights.sum()
    return np.minimum(np.searchsorted(edges, draws, side="right"), weights.size - 1).astype(np.int64)


def zipf(count: int, draws: Floats) -> Ints:
    """Return ranks 0 … count − 1, rank r about as often as 1 / (r + 1).

    >>> zipf(10, np.array([0.0, 0.999])).tolist()
    [0, 9]
    """
    return np.asarray(np.minimum(np.exp(draws * np.log(count + 1.0)).astype(np.int64) - 1, count - 1))


def hex_names(keys: Keys) -> list[str]:
    """Return 16 hexadecimal digits for each key.

    >>> hex_names(np.array([255], np.uint64))
    ['00000000000000ff']
    """
    text = keys.astype(">u8").tobytes().hex()
    return [text[at : at + 16] for at in range(0, len(text), 16)]


def named(prefix: str, keys: Keys, digits: int = 16, known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return names made of a prefix and the first hexadecimal digits of each key; null where not ``known``.

    >>> named("ex_", np.array([255], np.uint64)).to_pylist()
    ['ex_00000000000000ff']
    """
    width = len(prefix) + digits
    text = np.empty((keys.size, width), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    hexed = np.frombuffer(keys.astype(">u8").tobytes().hex().encode(), np.uint8)
    text[:, len(prefix) :] = hexed.reshape(-1, 16)[:, :digits]
    ends = np.arange(0, (keys.size + 1) * width, width, dtype=np.int32)
    valid = None if known is None else pa.array(known).buffers()[1]
    return pa.StringArray.from_buffers(keys.size, pa.py_buffer(ends), pa.py_buffer(text), valid)


def key_of(names: pa.Array) -> Keys:
    """Return the keys of names that :func:`named` made with all 16 digits, of one prefix and without a null.

    >>> key_of(named("ex_", np.array([255], np.uint64))).tolist()
    [255]
    """
    if not len(names):
        return np.zeros(0, np.uint64)
    ends = np.frombuffer(names.buffers()[1], np.int32)[names.offset :][: len(names) + 1]
    text = np.frombuffer(names.buffers()[2], np.uint8)[ends[0] : ends[-1]].reshape(len(names), -1)
    return np.frombuffer(bytes.fromhex(text[:, -16:].tobytes().decode()), ">u8").astype(np.uint64)
