"""Datasets as the peers see them: accounts in an order that no id decides, so that renaming ids changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.signals.frame import Frame, Ints, read_frame
from stillwatch.tables import EXCHANGES, Dataset


@dataclass(frozen=True)
class Roster:
    """Who was judged: account ids, and each one's first and last exchange (microseconds since 1970, -1: none).

    >>> len(Roster(pa.array(["a"]), np.array([5]), np.array([9])))
    1
    """

    ids: pa.Array
    first: Ints
    last: Ints

    def __len__(self) -> int:
        return len(self.ids)


def roster(frame: Frame) -> Roster:
    """Return who is in a frame, in its order.

    >>> from types import SimpleNamespace
    >>> frame = SimpleNamespace(account_ids=pa.array(["a", "b"]), start=np.array([0, 2, 2]), ts=np.array([3, 8]))
    >>> frame.volume = lambda: np.diff(frame.start)
    >>> roster(frame).first.tolist(), roster(frame).last.tolist()
    ([3, -1], [8, -1])
    """
    has = frame.volume() > 0
    first, last = np.full((2, len(has)), -1, np.int64)
    first[has] = frame.ts[frame.start[:-1][has]]
    last[has] = frame.ts[frame.start[1:][has] - 1]
    return Roster(frame.account_ids, first, last)


def peer_frame(dataset: Dataset) -> Frame:
    """Read a dataset with its accounts in the order of sign-up, volume and times instead of their ids' spelling.

    Greedy methods and seeded samplers depend on the order of their input; here it is the same whatever ids are called
    and however rows are stored. Accounts alike in all of these, and exchanges of one account and microsecond, keep the
    order of their ids. Errors as in :func:`stillwatch.signals.frame.read_frame`.

    >>> import tempfile
    >>> from stillwatch.tables import DatasetWriter
    >>> rows = [{"exchange_id": i, "account_id": i, "ts": t, "model": "m"} for i, t in (("a", 9), ("b", 5))]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist(rows))
    ...         writer.commit()
    ...     peer_frame(Dataset.open(folder)).account_ids.to_pylist()
    ['b', 'a']
    """
    frame = read_frame(dataset)
    who, volume = roster(frame), frame.volume()
    total = np.bincount(frame.account, (frame.ts - frame.ts.min(initial=0)) / 1e6, frame.n_accounts)
    return _reordered(frame, np.lexsort((total, who.last, who.first, volume, frame.created)))


def _reordered(frame: Frame, order: Ints) -> Frame:
    """Return the frame with its accounts in another order, each with its exchanges."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    rows = np.argsort(place[frame.account], kind="stable")
    return replace(
        frame,
        account_ids=frame.account_ids.take(pa.array(order)),
        exchange_ids=frame.exchange_ids.take(pa.array(rows)),
        account=place[frame.account][rows].astype(np.int32),
        start=np.concatenate(([0], np.cumsum(frame.volume()[order]))).astype(np.int64),
        ts=frame.ts[rows],
        code={name: values[rows] for name, values in frame.code.items()},
        number={name: values[rows] for name, values in frame.number.items()},
        flag={name: values[rows] for name, values in frame.flag.items()},
        digest={name: values[rows] for name, values in frame.digest.items()},
        sketch=frame.sketch.take(rows),
        template=frame.template[rows],
        cues=frame.cues.take(rows),
        capability=frame.capability[rows],
        created=frame.created[order],
        closed=frame.closed[order],
        attribute={name: values[order] for name, values in frame.attribute.items()},
    )


def prompts(dataset: Dataset, frame: Frame) -> pa.Array:
    """Return the prompt of each exchange, in the frame's order; null where the dataset keeps no text.

    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> prompts(Dataset(Path("no-such-folder")), SimpleNamespace(exchange_ids=pa.array([], pa.string()))).to_pylist()
    []
    """
    schema = pa.schema([EXCHANGES.field("exchange_id"), EXCHANGES.field("prompt_text")])
    table = pa.Table.from_batches(dataset.batches(schema.names), schema)
    at = pc.index_in(frame.exchange_ids, value_set=table["exchange_id"].combine_chunks())
    return table["prompt_text"].combine_chunks().take(at)
