"""What a scan reads of its input beside the frame: a hash of all bytes, and the prompts that templates are shown by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.signals.text import masked_head
from stillwatch.tables import Dataset
from stillwatch.tables.pieces import Piece, piece_column, pieces
from stillwatch.tables.threads import mapped

DIGESTS, HEADS = "digests.json", "heads.json"


def input_sha256(dataset: Dataset, keep: Path | None = None) -> str:
    """Return the SHA-256 of the names and SHA-256 digests of the dataset's tables, as hexadecimal.

    Files are hashed by several threads. With ``keep`` the digest of each file stays in that folder, under the file's
    name, size and time of change, and a file that has not changed is not read again.

    >>> len(input_sha256(Dataset(Path("no-such-folder"))))
    64
    """
    others = [dataset.path / name for name in ("accounts.parquet", "launches.parquet")]
    files = [*dataset.exchange_files(), *(file for file in others if file.exists())]
    about = {str(file.relative_to(dataset.path)): _about(file) for file in files}
    kept = _kept(keep, DIGESTS)
    known = {name: kept[name][2] for name in about if kept.get(name, [])[:2] == about[name]}
    fresh = [(name, file) for name, file in zip(about, files, strict=True) if name not in known]
    with ThreadPoolExecutor() as pool:
        known |= zip((name for name, _ in fresh), pool.map(_sha256, (file for _, file in fresh)), strict=True)
    if keep:
        _put(keep / DIGESTS, {name: [*about[name], known[name]] for name in about})
    digest = hashlib.sha256()
    for name in about:
        digest.update(name.encode())
        digest.update(bytes.fromhex(str(known[name])))
    return digest.hexdigest()


def prompt_heads(dataset: Dataset, exchange_ids: Iterable[str], keep: Path | None = None) -> dict[str, str]:
    """Return the masked head of the prompts of some exchanges, by exchange id; none for those without a prompt.

    Of the text only the row groups that hold these exchanges are read. With ``keep`` the heads stay in that folder, and
    those of files that have not changed are not read again.

    >>> prompt_heads(Dataset(Path("no-such-folder")), ["e-1"])
    {}
    """
    wanted = set(exchange_ids)
    about = {str(file.relative_to(dataset.path)): _about(file) for file in dataset.exchange_files()}
    kept = _kept(keep, HEADS)
    heads = {name: _of(wanted, kept[name][2]) for name in about if kept.get(name, [])[:2] == about[name]}
    missing = pa.array(sorted(wanted.difference(*heads.values())), pa.string())
    parts = pieces(dataset, rows=1) if len(missing) else []
    for piece, found in zip(parts, mapped(parts, lambda piece: _heads(piece, missing)), strict=True):
        heads.setdefault(str(piece.file.relative_to(dataset.path)), {}).update(found)
    if keep:
        _put(keep / HEADS, {name: [*about[name], found] for name, found in heads.items() if found})
    return {name: head for found in heads.values() for name, head in found.items() if head}


def _of(wanted: set[str], heads: dict[str, str | None]) -> dict[str, str | None]:
    return {name: head for name, head in heads.items() if name in wanted}


def _heads(piece: Piece, wanted: pa.Array) -> dict[str, str | None]:
    ids = piece_column(piece, "exchange_id")
    hit = pc.is_in(ids, value_set=wanted)
    if not pc.any(hit).as_py():
        return {}
    texts = piece_column(piece, "prompt_text").combine_chunks().filter(hit.combine_chunks()).to_pylist()
    names = ids.filter(hit).to_pylist()
    return {name: masked_head(text) if text else None for name, text in zip(names, texts, strict=True)}


def _about(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _kept(folder: Path | None, name: str) -> dict[str, list[Any]]:
    """Return what is kept of an earlier scan: size, time and more by file; nothing when it is missing or broken."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8")) if folder else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _put(file: Path, lines: dict[str, list[Any]]) -> None:
    file.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
