"""Canonical tables -> one integer-coded frame: exchanges sorted by account and time, beside their sketches.

Identifiers are coded in the order of their spelling, so that the same world gives the same codes whatever files,
formats or order its rows came in. Text is read once, by the fingerprint function, and is not kept; a dataset that
stores fingerprints instead of text (content-free mode) gives the same frame. A frame knows where its columns are and
makes each when it is asked for: what no stage looks at is never read (docs/decisions/0010-frame-in-pieces.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import DatasetError
from stillwatch.signals.columns import U64, Codes, Columns, Ints, Lists, Names, Ragged, Resting
from stillwatch.signals.rows import Ids, Rows, arranged, encoded, one_array, places, recoded, spellings
from stillwatch.signals.stored import store
from stillwatch.tables import ACCOUNTS, EXCHANGES, Dataset
from stillwatch.tables.pieces import Piece, check_columns, null_count, pieces
from stillwatch.types import Progress, silent

__all__ = ["CODED", "FLAGS", "NUMBERS", "Codes", "Frame", "Ints", "Lists", "Ragged", "read_frame"]

CODED = (
    "model", "surface", "ip", "ip_prefix", "asn", "network_kind", "country", "user_agent",
    "tls_fingerprint", "client_fingerprint", "session_id", "prior_reasoning_id", "api_key_id", "end_user_id",
)  # fmt: skip
NUMBERS = ("input_tokens", "output_tokens", "reasoning_tokens", "max_tokens", "temperature", "n_choices", "status")
FLAGS = ("logprobs_requested", "refused")

HASHED = ("session_id",)
_READ = ("exchange_id", "account_id", "ts", *CODED, *NUMBERS, *FLAGS)


@dataclass(frozen=True)
class Frame:
    """Exchanges sorted by account, time and id; -1 (codes) or NaN (numbers) where evidence is absent.

    ``account_ids`` are all accounts (with or without exchanges) in order; ``start[a]:start[a + 1]`` are the rows of
    account a. ``code[name]`` holds int32 codes into ``names[name]``; ``number[name]`` floats; ``digest[name]`` hashes
    (0 absent) of columns with too many values to code; ``ts`` is microseconds since 1970 UTC. ``created``/``closed``
    are microseconds, -1 when absent. ``attribute[name]`` holds the string columns of the accounts table as codes into
    ``names["account." + name]``. ``sketch`` and ``cues`` are lists of hashes by exchange: ``for rows, lists in sketch``
    takes them a piece at a time, in bounded memory.
    """

    account_ids: pa.Array
    exchange_ids: pa.Array | Ids
    account: Codes
    start: Ints
    ts: Ints
    code: Mapping[str, Codes]
    names: Mapping[str, list[str]]
    number: Mapping[str, npt.NDArray[np.float64]]
    flag: Mapping[str, npt.NDArray[np.int8]]
    sketch: Ragged | Lists
    template: U64
    cues: Ragged | Lists
    capability: npt.NDArray[np.uint8]
    created: Ints
    closed: Ints
    attribute: dict[str, Codes]
    launches: dict[str, int]
    coverage: dict[str, float] = field(default_factory=dict)
    digest: Mapping[str, U64] = field(default_factory=dict)

    @property
    def n_accounts(self) -> int:
        """Return the number of accounts.

        >>> from types import SimpleNamespace
        >>> Frame.n_accounts.fget(SimpleNamespace(account_ids=pa.array(["a", "b"])))
        2
        """
        return len(self.account_ids)

    @property
    def n_exchanges(self) -> int:
        """Return the number of exchanges.

        >>> from types import SimpleNamespace
        >>> Frame.n_exchanges.fget(SimpleNamespace(ts=np.array([0, 5, 9])))
        3
        """
        return len(self.ts)

    def volume(self) -> Ints:
        """Return the number of exchanges of each account.

        Int64, one entry an account, in the order of ``account_ids``.

        >>> from types import SimpleNamespace
        >>> Frame.volume(SimpleNamespace(start=np.array([0, 2, 2, 5]))).tolist()
        [2, 0, 3]
        """
        return np.diff(self.start)


def read_frame(dataset: Dataset, *, keep: Path | None = None, progress: Progress = silent) -> Frame:
    """Read a dataset into a :class:`Frame`, fingerprinting its text on the way.

    With ``keep`` the fingerprints stay in that folder, and the next frame of the dataset reads text only of files that
    are new. Without it they are held in memory, or in a temporary folder when there are many.

    Raises :class:`DatasetError` when an exchange has no id, account, time or model, or when an id occurs twice: an id
    names one exchange, and counting it twice would inflate a case (``stillwatch ingest`` adds each once).

    >>> import tempfile
    >>> from stillwatch.tables import DatasetWriter
    >>> row = {"exchange_id": "e", "account_id": "a", "ts": 0, "model": "m", "prompt_text": "Explain gravity to me"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist([row]))
    ...         writer.commit()
    ...     frame = read_frame(Dataset.open(folder))
    ...     frame.account_ids.to_pylist(), frame.names["model"]
    (['a'], ['m'])
    """
    parts = pieces(dataset)
    _demand_contract(parts)
    others = pieces(dataset.whole) if keep and dataset.first_day else None
    stored = store(parts, keep, others=others, progress=progress)
    accounts = dataset.accounts()
    rows, account, ts, account_ids, start = arranged(parts, stored, one_array(accounts["account_id"]))
    values: dict[str, pa.Array] = {}
    created, closed, attribute = _account_columns(accounts, account_ids, values)
    code = Columns(CODED, partial(_coded, rows, values), rows.folder)
    return Frame(
        account_ids=account_ids,
        exchange_ids=rows.ids(),
        account=account,
        start=start,
        ts=ts,
        code=code,
        names=Names({name: partial(_spelt, code, values, name) for name in (*CODED, *values)}),
        number=Columns(NUMBERS, rows.numbers, rows.folder),
        flag=Columns(FLAGS, rows.flags, rows.folder),
        sketch=Lists(partial(rows.lists, "sketch"), rows.count, rows),
        template=Resting(rows.template(), rows.folder).array,
        cues=Lists(partial(rows.lists, "cues"), rows.count),
        capability=Resting(rows.capability(), rows.folder).array,
        created=created,
        closed=closed,
        attribute=attribute,
        launches=_launches(dataset),
        coverage={**_coverage(parts), **stored.coverage(), **_account_coverage(created, attribute)},
        digest=Columns(HASHED, rows.hashes, rows.folder),
    )


def _demand_contract(parts: list[Piece]) -> None:
    """Refuse files whose columns are of other types than the contract's, or lack what every exchange must have."""
    for piece in {piece.file: piece for piece in parts}.values():
        check_columns(piece, _READ)
    for name in _READ:
        if not EXCHANGES.field(name).nullable:
            absent = sum(null_count(piece, name) for piece in parts)
            if absent:
                raise DatasetError(f"column {name!r} is required and has {absent} nulls")


def _coverage(parts: list[Piece]) -> dict[str, float]:
    """Return the share of exchanges that have each column."""
    total = max(1, sum(piece.rows for piece in parts))
    return {name: 1 - sum(null_count(piece, name) for piece in parts) / total for name in _READ}


def _account_coverage(created: Ints, attribute: Mapping[str, Codes]) -> dict[str, float]:
    """Return the share of accounts that have each column of the accounts table, by ``accounts.NAME``."""
    total = max(1, len(created))
    known = {"created_at": created >= 0, **{name: codes >= 0 for name, codes in attribute.items()}}
    return {f"accounts.{name}": np.count_nonzero(there) / total for name, there in known.items()}


def _coded(rows: Rows, values: dict[str, pa.Array], name: str) -> Codes:
    """Return a column's codes, and leave its spellings in ``values``."""
    codes, values[name] = rows.codes(name)
    return codes


def _spelt(code: Mapping[str, Codes], values: dict[str, pa.Array], name: str) -> pa.Array:
    """Return the spellings behind a column's codes, which are made first when nobody asked for them yet."""
    if name not in values:
        code[name]
    return values[name]


def _launches(dataset: Dataset) -> dict[str, int]:
    table = dataset.launches()
    times = table["released_at"].cast(pa.int64()).to_pylist()
    return dict(sorted(zip(table["model"].to_pylist(), times, strict=True)))


def _account_columns(
    accounts: pa.Table, account_ids: pa.Array, values: dict[str, pa.Array]
) -> tuple[Ints, Ints, dict[str, Codes]]:
    """Align the accounts table with the coded accounts; accounts that it lacks get nulls."""
    if pc.count_distinct(accounts["account_id"]).as_py() != len(accounts):
        raise DatasetError("accounts.parquet names an account twice")
    index = pc.index_in(account_ids, value_set=one_array(accounts["account_id"]))
    aligned = accounts.take(index) if len(accounts) else _null_accounts(len(account_ids))
    attribute: dict[str, Codes] = {}
    for name in ACCOUNTS.names:
        if name not in ("account_id", "created_at", "closed_at"):
            own, there = encoded(aligned[name])
            values[f"account.{name}"] = spellings([there])
            attribute[name] = recoded(own, *places([there], values[f"account.{name}"]))
    return _moments(aligned["created_at"]), _moments(aligned["closed_at"]), attribute


def _moments(column: pa.ChunkedArray) -> Ints:
    """Return microseconds since 1970, -1 where unknown."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), -1).to_numpy(), np.int64)


def _null_accounts(rows: int) -> pa.Table:
    return pa.table({f.name: pa.nulls(rows, f.type) for f in ACCOUNTS})
