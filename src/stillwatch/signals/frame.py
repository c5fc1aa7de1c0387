"""Canonical tables -> one integer-coded frame: exchanges sorted by account and time, beside their sketches.

Identifiers are coded once, in the order of their spelling, so that the same world gives the same codes whatever
files, formats or order its rows came in. Text is read once, by the fingerprint function, and is not kept; a dataset
that stores fingerprints instead of text (content-free mode) gives the same frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import DatasetError
from stillwatch.signals.fingerprint import fingerprint
from stillwatch.tables import ACCOUNTS, EXCHANGES, Dataset
from stillwatch.tables.schema import FINGERPRINT_COLUMNS
from stillwatch.types import Progress, silent

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

CODED = (
    "model", "surface", "ip", "ip_prefix", "asn", "network_kind", "country", "user_agent",
    "tls_fingerprint", "client_fingerprint", "session_id", "prior_reasoning_id", "api_key_id", "end_user_id",
)  # fmt: skip
NUMBERS = ("input_tokens", "output_tokens", "reasoning_tokens", "max_tokens", "temperature", "n_choices", "status")
FLAGS = ("logprobs_requested", "refused")
_TEXTS = ("system_text", "prompt_text", "tools_json", "modalities")


@dataclass(frozen=True)
class Ragged:
    """A list of 64-bit hashes per row: ``flat[offsets[i]:offsets[i + 1]]`` belongs to row i.

    >>> r = Ragged(np.array([0, 2, 3]), np.array([7, 8, 9], np.uint64))
    >>> r.flat[r.offsets[0] : r.offsets[1]].tolist()
    [7, 8]
    """

    offsets: Ints
    flat: npt.NDArray[np.uint64]

    def rows(self) -> Ints:
        """Return the row of every element of ``flat``.

        >>> Ragged(np.array([0, 2, 3]), np.array([7, 8, 9], np.uint64)).rows().tolist()
        [0, 0, 1]
        """
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def take(self, order: Ints) -> Ragged:
        """Return the rows in another order.

        >>> r = Ragged(np.array([0, 2, 3]), np.array([7, 8, 9], np.uint64)).take(np.array([1, 0]))
        >>> r.flat.tolist()
        [9, 7, 8]
        """
        lengths = np.diff(self.offsets)[order]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        starts = self.offsets[:-1][order]
        index = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)
        return Ragged(offsets, self.flat[index])


@dataclass(frozen=True)
class Frame:
    """Exchanges in memory, sorted by account, time and id; -1 (codes) or NaN (numbers) where evidence is absent.

    ``account_ids`` are all accounts (with or without exchanges) in order; ``start[a]:start[a + 1]`` are the rows of
    account a. ``code[name]`` holds int32 codes into ``names[name]``; ``number[name]`` floats; ``ts`` is microseconds
    since 1970 UTC. ``created``/``closed`` are microseconds, -1 when absent. ``attribute[name]`` holds the
    string columns of the accounts table as codes into ``names["account." + name]``.
    """

    account_ids: pa.Array
    exchange_ids: pa.Array
    account: Codes
    start: Ints
    ts: Ints
    code: dict[str, Codes]
    names: dict[str, list[str]]
    number: dict[str, npt.NDArray[np.float64]]
    flag: dict[str, npt.NDArray[np.int8]]
    sketch: Ragged
    template: npt.NDArray[np.uint64]
    cues: Ragged
    capability: npt.NDArray[np.uint8]
    created: Ints
    closed: Ints
    attribute: dict[str, Codes]
    launches: dict[str, int]
    coverage: dict[str, float] = field(default_factory=dict)

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


def read_frame(dataset: Dataset, *, progress: Progress = silent) -> Frame:
    """Read a dataset into a :class:`Frame`, fingerprinting its text on the way.

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
    >>> frame.account_ids.to_pylist(), frame.names["model"]
    (['a'], ['m'])
    """
    chunks = list(_fingerprinted(dataset, progress))
    table = pa.concat_tables(chunks) if chunks else _empty()
    _demand_distinct(table["exchange_id"])
    accounts = dataset.accounts()
    account_ids = pc.unique(
        pa.chunked_array([table["account_id"].combine_chunks(), accounts["account_id"].combine_chunks()])
    )
    account_ids = account_ids.take(pc.array_sort_indices(account_ids))
    owner = pc.index_in(table["account_id"], value_set=account_ids).to_numpy().astype(np.int32)
    ts = table["ts"].cast(pa.int64()).to_numpy()
    rank = pc.rank(table["exchange_id"].combine_chunks(), tiebreaker="first").to_numpy()
    order = np.lexsort((rank, ts, owner))
    names: dict[str, list[str]] = {}
    code = {name: _coded(table[name], name, names)[order] for name in CODED}
    created, closed, attribute = _account_columns(accounts, account_ids, names)
    return Frame(
        account_ids=account_ids,
        exchange_ids=table["exchange_id"].combine_chunks().take(pa.array(order)),
        account=owner[order],
        start=np.searchsorted(owner[order], np.arange(len(account_ids) + 1)).astype(np.int64),
        ts=ts[order],
        code=code,
        names=names,
        number={name: _number(table[name])[order] for name in NUMBERS},
        flag={name: _flag(table[name])[order] for name in FLAGS},
        sketch=_ragged(table["sketch"]).take(order),
        template=pc.fill_null(table["template_id"], 0).to_numpy()[order],
        cues=_ragged(table["cues"]).take(order),
        capability=pc.fill_null(table["capability"], 0).to_numpy()[order],
        launches=_launches(dataset),
        coverage={name: 1 - table[name].null_count / max(1, len(table)) for name in table.column_names},
        created=created,
        closed=closed,
        attribute=attribute,
    )


def _demand_distinct(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    often = counts.filter(pc.greater(counts.field("counts"), 1))
    example = often.field("values")[0].as_py()
    raise DatasetError(f"{len(often):,} exchange ids occur more than once, such as {example!r}")


def _fingerprinted(dataset: Dataset, progress: Progress) -> Iterator[pa.Table]:
    """Yield the wanted columns, with fingerprints from text where there is text and from the store elsewhere."""
    wanted = ["exchange_id", "account_id", "ts", *CODED, *NUMBERS, *FLAGS]
    total, done = dataset.count_exchanges(), 0
    for batch in dataset.batches([*wanted, *_TEXTS, *FINGERPRINT_COLUMNS]):
        table = pa.Table.from_batches([batch])
        if any(table[name].null_count < len(table) for name in ("prompt_text", "system_text", "tools_json")):
            table = _refingerprint(table)
        done += len(table)
        progress("read and fingerprint", done, total, "exchanges")
        yield table.select([*wanted, *FINGERPRINT_COLUMNS])


def _refingerprint(table: pa.Table) -> pa.Table:
    """Fingerprint the rows with text; keep the stored fingerprint of rows without any."""
    has_text = pc.or_(
        pc.is_valid(table["prompt_text"]), pc.or_(pc.is_valid(table["system_text"]), pc.is_valid(table["tools_json"]))
    )
    made = fingerprint(table.drop_columns(list(FINGERPRINT_COLUMNS)))
    for name in FINGERPRINT_COLUMNS:
        fresh = made[name].cast(EXCHANGES.field(name).type)
        if table[name].null_count < len(table):
            fresh = pc.if_else(has_text, fresh, table[name])
        table = table.set_column(table.schema.get_field_index(name), name, fresh)
    return table


def _empty() -> pa.Table:
    names = ["exchange_id", "account_id", "ts", *CODED, *NUMBERS, *FLAGS, *FINGERPRINT_COLUMNS]
    return pa.schema([EXCHANGES.field(name) for name in names]).empty_table()


def _coded(column: pa.ChunkedArray, name: str, names: dict[str, list[str]]) -> Codes:
    """Code a column in the order of its spelling; nulls and empty strings are -1."""
    text = column.combine_chunks()
    if not pa.types.is_string(text.type):
        text = text.cast(pa.string())
    text = pc.if_else(pc.equal(text, ""), None, text)
    values = pc.drop_null(pc.unique(text))
    values = values.take(pc.array_sort_indices(values))
    names[name] = values.to_pylist()
    return np.asarray(pc.fill_null(pc.index_in(text, value_set=values), -1).to_numpy(zero_copy_only=False), np.int32)


def _number(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False), np.float64)


def _flag(column: pa.ChunkedArray) -> npt.NDArray[np.int8]:
    return np.asarray(pc.fill_null(column.cast(pa.int8()), -1).to_numpy(), np.int8)


def _ragged(column: pa.ChunkedArray) -> Ragged:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(array).to_numpy(zero_copy_only=False).astype(np.uint64)
    return Ragged(np.concatenate(([0], np.cumsum(lengths))).astype(np.int64), flat)


def _launches(dataset: Dataset) -> dict[str, int]:
    table = dataset.launches()
    times = table["released_at"].cast(pa.int64()).to_pylist()
    return dict(sorted(zip(table["model"].to_pylist(), times, strict=True)))


def _account_columns(
    accounts: pa.Table, account_ids: pa.Array, names: dict[str, list[str]]
) -> tuple[Ints, Ints, dict[str, Codes]]:
    """Align the accounts table with the coded accounts; accounts that it lacks get nulls."""
    if pc.count_distinct(accounts["account_id"]).as_py() != len(accounts):
        raise DatasetError("accounts.parquet names an account twice")
    index = pc.index_in(account_ids, value_set=accounts["account_id"].combine_chunks())
    aligned = accounts.take(index) if len(accounts) else _null_accounts(len(account_ids))
    skip = {"account_id", "created_at", "closed_at"}
    attribute = {name: _coded(aligned[name], f"account.{name}", names) for name in ACCOUNTS.names if name not in skip}
    return _moments(aligned["created_at"]), _moments(aligned["closed_at"]), attribute


def _moments(column: pa.ChunkedArray) -> Ints:
    """Return microseconds since 1970, -1 where unknown."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), -1).to_numpy(), np.int64)


def _null_accounts(rows: int) -> pa.Table:
    return pa.table({f.name: pa.nulls(rows, f.type) for f in ACCOUNTS})
