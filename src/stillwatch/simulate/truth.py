"""The truth about every exchange, kept beside memory until it can be written in an order that tells nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.simulate.chance import key_of, named
from stillwatch.tables import LABELS_EXCHANGES

_BUCKETS = 64
_GROUP = 1 << 20  # rows of a row group
_NOBODY = 255
_RECORD = np.dtype([("key", np.uint64), ("campaign", np.uint8)])


class Truth:
    """Which campaign each exchange belongs to, sorted by id on disk: nine bytes an exchange in files without a name.

    The files are cut by the first bits of the id and vanish with the process. At most 255 campaigns.

    >>> import tempfile
    >>> table = pa.table({"exchange_id": named("ex_", np.array([2, 1], np.uint64)), "campaign_id": ["c", None]})
    >>> with tempfile.TemporaryDirectory() as folder, Truth(Path(folder)) as truth:
    ...     truth.add(table)
    ...     truth.reader().read_all()["campaign_id"].to_pylist()
    [None, 'c']
    """

    def __init__(self, folder: Path) -> None:
        """Keep the files in the file system of ``folder``, which is made when it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._files = [stack.enter_context(TemporaryFile(dir=folder)) for _ in range(_BUCKETS)]
            self._closing = stack.pop_all()
        self._campaigns: list[str] = []

    def __enter__(self) -> Truth:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def add(self, table: pa.Table) -> None:
        """Keep ``exchange_id`` and ``campaign_id`` of exchanges."""
        column = table["campaign_id"].combine_chunks()
        self._campaigns += [n for n in pc.unique(column).drop_null().to_pylist() if n not in self._campaigns]
        campaign = pc.index_in(column, pa.array(self._campaigns, pa.string()), skip_nulls=True)
        found = np.empty(table.num_rows, _RECORD)
        found["key"] = key_of(table["exchange_id"].combine_chunks())
        found["campaign"] = pc.fill_null(campaign, _NOBODY).to_numpy()
        bucket = found["key"] // np.uint64(2**64 // _BUCKETS)
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(_BUCKETS + 1, dtype=np.uint64))
        for file, (low, high) in zip(self._files, pairwise(ends), strict=True):
            file.write(found[order[low:high]].tobytes())

    def reader(self) -> pa.RecordBatchReader:
        """Return all exchanges in order of id, in batches of a row group."""
        return pa.RecordBatchReader.from_batches(LABELS_EXCHANGES, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        names = pa.array([*self._campaigns, None], pa.string())
        rest = np.empty(0, _RECORD)
        for number, file in enumerate(self._files, 1):
            file.seek(0)
            rest = np.concatenate([rest, np.sort(np.frombuffer(file.read(), _RECORD), order="key")])
            while rest.size >= _GROUP or (rest.size and number == _BUCKETS):
                part, rest = rest[:_GROUP], rest[_GROUP:]
                campaign = np.minimum(part["campaign"], len(self._campaigns)).astype(np.int64)
                columns = [named("ex_", part["key"]), names.take(pa.array(campaign))]
                yield pa.RecordBatch.from_arrays(columns, schema=LABELS_EXCHANGES)
