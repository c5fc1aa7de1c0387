"""How the cost of a scan's signals grows with the data: the first days of a dataset, more and more of them.

    python -m benchmarks.growth DATASET

For each share of the days: CPU seconds of a frame from text, of a frame from kept fingerprints, and of all that is
drawn from it, with a bar, and the exponent of the line through them (1: twice the data cost twice the time).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.floors import Cost, cost
from stillwatch.signals.activity import rhythm
from stillwatch.signals.frame import Frame, read_frame
from stillwatch.signals.tasks import task_vectors, tasks
from stillwatch.signals.traits import client_traits, content_traits, identity_traits, main_value, network_traits
from stillwatch.signals.worth import high_value_ids, worth
from stillwatch.tables import Dataset

SHARES = (0.1, 0.3, 1.0)
_Costs = tuple[Cost, Cost, Cost]


def first_days(dataset: Dataset, share: float, folder: Path) -> Dataset:
    """Return a dataset of the first days of another, by links to their files; at least one file."""
    files = dataset.exchange_files()
    for file in files[: max(1, round(share * len(files)))]:
        there = folder / "exchanges" / file.parent.name
        there.mkdir(parents=True, exist_ok=True)
        (there / file.name).symlink_to(file.resolve())
    return Dataset.open(folder)


def drawn(frame: Frame) -> None:
    """Make everything that is drawn from a frame."""
    content_traits(frame)
    client_traits(frame)
    network_traits(frame)
    identity_traits(frame)
    rhythm(frame, main_value(frame, "country"))
    labels = tasks(frame)
    task_vectors(frame, labels)
    worth(frame, labels, high_value=high_value_ids())


def measured(dataset: Dataset, keep: Path) -> _Costs:
    """Return what a frame from text costs, one from kept fingerprints, and what is drawn from it."""
    rows = f"{dataset.count_exchanges():,} exchanges"
    text = cost(f"frame from text, {rows}", lambda: read_frame(dataset, keep=keep))
    frames: list[Frame] = []
    warm = cost(f"frame from kept fingerprints, {rows}", lambda: frames.append(read_frame(dataset, keep=keep)))
    return text, warm, cost(f"all that is drawn from it, {rows}", lambda: drawn(frames[0]))


def exponent(rows: list[int], seconds: list[float]) -> float:
    """Return the slope of the line through the logarithms (least squares).

    >>> round(exponent([1, 10, 100], [2.0, 20.0, 200.0]), 6)
    1.0
    """
    return float(np.polyfit(np.log(rows), np.log(np.maximum(seconds, 1e-9)), 1)[0])


def show(whole: Dataset, work: Path, known: _Costs | None = None) -> None:
    """Print a line a share and stage, and exponents; ``known`` are the costs of the whole where measured already."""
    rows: list[int] = []
    found: list[_Costs] = []
    for share in SHARES:
        some = first_days(whole, share, work / f"days-{share:g}")
        rows.append(some.count_exchanges())
        found.append(known if known and share == 1 else measured(some, work / f"kept-{share:g}"))
    for k, stage in enumerate(("frame from text", "frame from kept fingerprints", "all that is drawn from it")):
        seconds = [line[k].cpu for line in found]
        print(f"{stage}: exponent {exponent(rows, seconds):.2f}")
        for n, s in zip(rows, seconds, strict=True):
            bar = "█" * min(60, round(s / n * 2e6))
            print(f"  {n:>12,} exchanges {s:>9.2f} CPU s {s / n * 1e6:>6.2f} µs each {bar}")


def main() -> None:
    """Measure a dataset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("dataset", type=Path)
    with tempfile.TemporaryDirectory(prefix="stillwatch-bench-") as work:
        show(Dataset.open(parser.parse_args().dataset), Path(work))


if __name__ == "__main__":
    main()
