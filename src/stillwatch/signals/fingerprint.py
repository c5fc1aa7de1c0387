"""Text columns -> fingerprint columns: what the rest of Stillwatch reads instead of customers' text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.signals.automaton import Hits
from stillwatch.signals.compiled import compiled, lean, whole
from stillwatch.signals.cueing import cued, hits, modality_scores, tool_scores
from stillwatch.signals.cues import CAPABILITIES
from stillwatch.signals.sketch import Kind, Sketches, of_kind, sketch_texts
from stillwatch.signals.tooling import tool_values, tools_of
from stillwatch.signals.words import I64, U64

_CELLS_A_VALUE = 8
_PAYLOAD = np.uint64(Kind.PAYLOAD)
_MOST_CELLS_LOG2 = 27


def fingerprint(table: pa.Table) -> pa.Table:
    """Return ``table`` with the columns sketch, template_id, cues, capability and novelty set.

    Reads prompt_text, system_text, tools_json and modalities, whichever are there. Each row's values depend on that
    row alone, except ``novelty``: the share of the row's sampled shingles (of its payload hash, where a short prompt
    has none) that no other row of this table has, by a counting table that errs towards "seen before" in about one
    value of fifty. A row without prompt has null in every column, except that ``sketch`` keeps the values of its
    system text and tools.

    >>> table = fingerprint(pa.table({"prompt_text": ["Rate the answer from 1 to 5.", None]}))
    >>> table.column_names
    ['prompt_text', 'sketch', 'template_id', 'cues', 'capability', 'novelty']
    >>> table["template_id"].null_count
    1
    """
    table, own = _marked(table, threads=2)
    return _with(table, "novelty", _novelty(own))


def marks(table: pa.Table) -> pa.Table:
    """Return ``table`` as :func:`fingerprint` does, on one thread, but ``novelty`` only says whether there is one.

    Novelty depends on the rows that are fingerprinted together, so a scan, which takes them piece by piece, asks only
    for which rows it is known (bool).

    >>> marks(pa.table({"prompt_text": ["Rate the answer from 1 to 5.", None]}))["novelty"].to_pylist()
    [True, None]
    """
    table, own = _marked(table, threads=1)
    known = np.zeros(len(table), bool)
    _find_payloads(own.flat, own.offsets, known)
    return _with(table, "novelty", pa.array(known, mask=~known))


def _marked(table: pa.Table, *, threads: int) -> tuple[pa.Table, Sketches]:
    prompt, system = _text(table, "prompt_text"), _coded(_text(table, "system_text"))
    tools, modalities = _coded(_text(table, "tools_json")), _modalities(table)
    present = prompt.is_valid().to_numpy(zero_copy_only=False)
    own = sketch_texts(prompt, threads=threads)
    flat, offsets = _joined(own, system, tools)
    cues = cued(hits(prompt), _hits_of(system), system.codes, *_facts(tools, modalities))
    absent = ~present
    columns = {
        "sketch": _lists(flat, offsets, pa.uint64(), absent & (np.diff(offsets) == 0)),
        "template_id": pa.array(own.templates, mask=own.templates == 0),
        "cues": _lists(cues.flat, cues.offsets, pa.uint16(), absent),
        "capability": pa.array(cues.capability, mask=absent),
    }
    for name, column in columns.items():
        table = _with(table, name, column)
    return table, own


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.append_column(name, column) if place < 0 else table.set_column(place, name, column)


class _Coded(NamedTuple):
    """A column as places in its distinct values: ``codes`` int64, -1 for null."""

    codes: I64
    distinct: pa.Array


def _text(table: pa.Table, name: str) -> pa.Array:
    """Return one text column as a single array; all null when the table has none."""
    if name not in table.column_names or pa.types.is_null(table.column(name).type):
        return pa.nulls(table.num_rows, pa.large_string())
    column = table.column(name)
    if column.num_chunks == 1 and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.chunk(0)
    return pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in column.chunks] or [pa.array([], pa.string())])


def _coded(column: pa.Array) -> _Coded:
    encoded = column.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return _Coded(codes.astype(np.int64), encoded.dictionary)


def _modalities(table: pa.Table) -> _Coded:
    """Code the lists of modalities by their sorted spelling."""
    name = "modalities"
    if name not in table.column_names or not pa.types.is_list(table.column(name).type):
        return _Coded(np.full(table.num_rows, -1, np.int64), pa.array([], pa.string()))
    return _coded(pc.binary_join(table.column(name).combine_chunks().cast(pa.list_(pa.string())), "\x1f"))


def _hits_of(texts: _Coded) -> Hits:
    return hits(texts.distinct)


def _facts(tools: _Coded, modalities: _Coded) -> tuple[npt.NDArray[np.int32], I64]:
    """Return capability scores by (tools, modalities) pair, and each row's pair."""
    none = np.zeros((1, len(CAPABILITIES)), np.int32)
    by_tools = np.array([tool_scores(tools_of(text) or []) for text in tools.distinct.to_pylist()], np.int32)
    by_modality = np.array([modality_scores(t.split("\x1f")) for t in modalities.distinct.to_pylist()], np.int32)
    by_tools = np.concatenate([none, by_tools.reshape(-1, none.shape[1])])
    by_modality = np.concatenate([none, by_modality.reshape(-1, none.shape[1])])
    scores = by_tools[:, None, :] + by_modality[None, :, :]
    return scores.reshape(-1, none.shape[1]), (tools.codes + 1) * len(by_modality) + modalities.codes + 1


def _joined(own: Sketches, system: _Coded, tools: _Coded) -> tuple[U64, I64]:
    """Merge the sketches of prompt, system text and tools of each row."""
    of_system = sketch_texts(system.distinct, system=True)
    lists = [tool_values(text) for text in tools.distinct.to_pylist()]
    tool_offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(values) for values in lists], out=tool_offsets[1:])
    tool_flat = np.concatenate([np.empty(0, np.uint64), *lists])
    offsets = np.zeros(len(own.offsets), np.int64)
    lengths = np.diff(own.offsets) + _lengths(of_system.offsets, system.codes) + _lengths(tool_offsets, tools.codes)
    np.cumsum(lengths, out=offsets[1:])
    flat = np.empty(int(offsets[-1]), np.uint64)
    _merge(
        (own.flat, own.offsets), (of_system.flat, of_system.offsets, system.codes),
        (tool_flat, tool_offsets, tools.codes), flat,
    )  # fmt: skip
    return flat, offsets


def _lengths(offsets: I64, codes: I64) -> I64:
    return np.concatenate([np.diff(offsets), [0]])[codes]


@lean
def _find_payloads(flat: U64, offsets: I64, found: npt.NDArray[np.bool_]) -> None:
    """Say of each row whether it has a PAYLOAD value."""
    for row in range(len(found)):
        for k in range(offsets[row], offsets[row + 1]):
            found[row] |= flat[k] >> np.uint64(60) == _PAYLOAD


@lean
def _merge(own: tuple[U64, I64], system: tuple[U64, I64, I64], tools: tuple[U64, I64, I64], flat: U64) -> None:
    """Merge three ascending lists a row."""
    most = np.uint64(0xFFFFFFFFFFFFFFFF)
    n = 0
    for row in range(len(own[1]) - 1):
        a, a_end = own[1][row], own[1][row + 1]
        b = b_end = c = c_end = whole(0)
        if system[2][row] >= 0:
            b, b_end = system[1][system[2][row]], system[1][system[2][row] + 1]
        if tools[2][row] >= 0:
            c, c_end = tools[1][tools[2][row]], tools[1][tools[2][row] + 1]
        if b == b_end and c == c_end:
            for k in range(a_end - a):
                flat[n + k] = own[0][a + k]
            n += a_end - a
            continue
        while a < a_end or b < b_end or c < c_end:
            x = own[0][a] if a < a_end else most
            y = system[0][b] if b < b_end else most
            z = tools[0][c] if c < c_end else most
            if x <= y and x <= z:
                flat[n], a = x, a + 1
            elif y <= z:
                flat[n], b = y, b + 1
            else:
                flat[n], c = z, c + 1
            n += 1


def _lists(flat: npt.NDArray[np.generic], offsets: I64, kind: pa.DataType, absent: npt.NDArray[np.bool_]) -> pa.Array:
    """Return a list column; in chunks of what 32-bit offsets can hold when there is more."""
    if offsets[-1] >= 2**31:
        half = len(absent) // 2
        left = _lists(flat[: offsets[half]], offsets[: half + 1], kind, absent[:half])
        right = _lists(flat[offsets[half] :], offsets[half:] - offsets[half], kind, absent[half:])
        return pa.chunked_array([*getattr(left, "chunks", [left]), *getattr(right, "chunks", [right])])
    mask = pa.array(absent) if absent.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat, kind), mask=mask)


def _novelty(own: Sketches) -> pa.Array:
    flat, offsets = of_kind(own.flat, own.offsets, Kind.SHINGLE)
    payload, payload_offsets = of_kind(own.flat, own.offsets, Kind.PAYLOAD)
    size = min(_MOST_CELLS_LOG2, max(10, int(np.ceil(np.log2(_CELLS_A_VALUE * (len(flat) + len(payload) + 1))))))
    novelty = np.empty(len(offsets) - 1, np.float64)
    cells = np.zeros(1 << size, np.uint8)
    for values in (flat, payload):
        _count_values(values, cells, size)
    _new_share((flat, offsets), (payload, payload_offsets), cells, size, novelty)
    return pa.array(novelty, mask=np.isnan(novelty))


@compiled
def _places(value: np.uint64, size: int) -> tuple[int, int]:
    h = value * np.uint64(0x9E3779B97F4A7C15)
    return whole(h >> np.uint64(64 - size)), whole((h ^ (h >> np.uint64(29))) & np.uint64((1 << size) - 1))


@compiled
def _count_values(values: U64, cells: npt.NDArray[np.uint8], size: int) -> None:
    for value in values:
        a, b = _places(value, size)
        cells[a] = min(2, cells[a] + 1)
        if a != b:
            cells[b] = min(2, cells[b] + 1)


@compiled
def _new_share(
    shingles: tuple[U64, I64],
    payloads: tuple[U64, I64],
    cells: npt.NDArray[np.uint8],
    size: int,
    novelty: npt.NDArray[np.float64],
) -> None:
    """Write each row's share of values seen once; NaN without any value."""
    for row in range(len(novelty)):
        flat, offsets = shingles
        if offsets[row] == offsets[row + 1]:
            flat, offsets = payloads
        new = 0
        for k in range(offsets[row], offsets[row + 1]):
            a, b = _places(flat[k], size)
            new += cells[a] < 2 or cells[b] < 2
        total = offsets[row + 1] - offsets[row]
        novelty[row] = new / total if total else np.nan
