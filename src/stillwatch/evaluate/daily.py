"""Follow a world day by day: what is reported when, how much leaked until then, and whether ids last."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.evaluate.findings import Detector, Findings
from stillwatch.evaluate.truth import Comparison, Truth
from stillwatch.tables import Dataset, DatasetWriter
from stillwatch.tables.schema import TIMESTAMP

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def prefix(dataset: Dataset, until: int, folder: Path) -> Dataset:
    """Write what was known at a moment: exchanges before it, accounts signed up, closures and launches by then.

    ``until`` is in microseconds since 1970 UTC. Whole days are links to the dataset's own files; no label is copied.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as work:
    ...     first = prefix(example_dataset(), moments(example_dataset(), 24)[0], Path(work) / "first")
    ...     len(first.days()), first.count_exchanges() > 0, len(first.labels()[0])
    (1, True, 0)
    """
    moment = pa.scalar(until, TIMESTAMP)
    people, launches = dataset.accounts(), dataset.launches()
    known = people.filter(pc.less(people["created_at"], moment))
    ended = pc.if_else(pc.less(known["closed_at"], moment), known["closed_at"], pa.scalar(None, TIMESTAMP))
    whole = [file for file in dataset.exchange_files() if _midnight(file) + DAY_US <= until]
    with DatasetWriter(folder) as writer:
        writer.set_accounts(known.set_column(known.column_names.index("closed_at"), "closed_at", ended))
        writer.set_launches(launches.filter(pc.less(launches["released_at"], moment)))
        for file in dataset.exchange_files():
            if _midnight(file) < until < _midnight(file) + DAY_US:
                rows = pq.ParquetFile(file).read()
                writer.add_exchanges(rows.filter(pc.less(rows["ts"], moment)))
        writer.commit()
    for file in whole:
        link = folder / file.relative_to(dataset.path)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    return Dataset.open(folder)


def _midnight(file: Path) -> int:
    """Return the first microsecond of the day that a file of exchanges holds."""
    day = datetime.fromisoformat(file.parent.name.removeprefix("day=")).replace(tzinfo=UTC)
    return int(day.timestamp()) * 1_000_000


def moments(dataset: Dataset, hours: float) -> list[int]:
    """Return when a dataset is scanned: every so many hours from its first midnight until its last day is over.

    >>> [len(moments(example_dataset(), hours)) for hours in (24, 12)]
    [10, 20]
    """
    files = dataset.exchange_files()
    start, end, step = _midnight(files[0]), _midnight(files[-1]) + DAY_US, int(hours * HOUR_US)
    return [min(moment, end) for moment in range(start + step, end + step, step)]


def follow(detector: Detector, dataset: Dataset, work: Path, hours: float = 24) -> Iterator[tuple[int, Findings]]:
    """Yield a detector's findings of each growing prefix of a dataset, with the moment it was scanned at.

    The detector gets the same folder each time, so that it can go on from its earlier findings.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> counts = SimpleNamespace(find=lambda known, work: known.count_exchanges())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grown = [found for _, found in follow(counts, example_dataset(), Path(folder), 120)]
    >>> len(grown), grown[0] < grown[1] == example_dataset().count_exchanges()
    (2, True)
    """
    for moment in moments(dataset, hours):
        known = prefix(dataset, moment, work / "known")
        yield moment, detector.find(known, work / "found")
        shutil.rmtree(known.path)


def lives(truth: Truth, stages: Sequence[tuple[int, Comparison]]) -> list[dict[str, Any]]:
    """Return for each campaign when it was reported, what had leaked until then, and which ids it went by.

    Reported: some reported campaign consists of its accounts by half or more. Found: and holds half or more of the
    accounts that it had used until then. ``leaked`` is the share of its exchanges before the first report (1 when there
    is none), ``unstopped`` the share sent before the sending account itself was reported. ``days`` count from its first
    exchange. ``ids`` are the campaign's ids from the first report on, None when it was lost; ``lasting`` says whether
    the last is the first, ``one_case`` whether the last is held to be part of the first's case; ``closed_since`` counts
    its accounts closed after the first report.

    >>> end = moments(example_dataset(), 24)[-1]
    >>> [life["leaked"] for life in lives(example_comparison().truth, [(end, example_comparison())])]
    [1.0, 1.0, 1.0]
    """
    return [_life(truth, code, stages) for code in range(len(truth.campaigns))]


def _life(truth: Truth, code: int, stages: Sequence[tuple[int, Comparison]]) -> dict[str, Any]:
    asked = truth.asked == code
    times = truth.ts[asked]
    ids = [_name(found, code) for _, found in stages]
    first = next((i for i, name in enumerate(ids) if name), None)
    found = next((i for i, (moment, one) in enumerate(stages) if _found(one, code, moment)), None)
    since = [name for name in ids[first:] if first is not None]
    cases = [_case(found, name) for (_, found), name in zip(stages[first:], since, strict=True)] if since else []
    closed = truth.closed[truth.belongs == code]
    return {
        "campaign": truth.campaigns[code],
        "exchanges": len(times),
        "days": None if first is None else (stages[first][0] - int(times.min())) / DAY_US,
        "leaked": 1.0 if first is None else float((times < stages[first][0]).mean()),
        "days_found": None if found is None else (stages[found][0] - int(times.min())) / DAY_US,
        "leaked_found": 1.0 if found is None else float((times < stages[found][0]).mean()),
        "unstopped": _unstopped(truth, asked, stages),
        "ids": since,
        "lasting": bool(since) and since[-1] == since[0],
        "one_case": bool(cases) and cases[-1] == cases[0],
        "closed_since": 0 if first is None else int((closed >= stages[first][0]).sum()),
    }


def _name(found: Comparison, code: int) -> str | None:
    """Return the reported campaign that is this one's by half or more, the largest when there are several."""
    size = np.bincount(found.reported[found.reported >= 0], minlength=len(found.groups))
    mine = found.reported[(found.truth.belongs == code) & (found.reported >= 0)]
    held = np.bincount(mine, minlength=len(found.groups))
    held[2 * held < size] = 0
    return found.groups[int(np.argmax(held))] if held.any() else None


def _case(found: Comparison, name: str | None) -> str | None:
    return None if name is None else found.cases[found.groups.index(name)]


def _found(found: Comparison, code: int, moment: int) -> bool:
    name = _name(found, code)
    used = np.unique(found.truth.asker[(found.truth.asked == code) & (found.truth.ts < moment)])
    held = 0 if name is None else int((found.reported[used] == found.groups.index(name)).sum())
    return held > 0 and 2 * held >= len(used)


def _unstopped(truth: Truth, asked: npt.NDArray[np.bool_], stages: Sequence[tuple[int, Comparison]]) -> float:
    """Return the share of exchanges sent while their own account was not reported yet."""
    since = np.full(len(truth.owner), np.iinfo(np.int64).max)
    for moment, found in reversed(stages):
        since[found.reported >= 0] = moment
    return float((truth.ts[asked] < since[truth.asker[asked]]).mean())
