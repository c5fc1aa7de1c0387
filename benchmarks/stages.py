"""The stages of a scan on a dataset: time, CPU, memory and speed of each, as a ratio to this machine's floors.

    python -m benchmarks.stages DATASET                    # a dataset of your own
    python -m benchmarks.stages --world small --scale 1    # a simulated world, made first when it is not there

Stages up to the evidence of linkage, and how they grow with the data (benchmarks/growth.py); ``stillwatch scan`` writes
the time of the later ones to ``run.json``. What is measured now, and since when, is said on stderr.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import floors, growth
from benchmarks.floors import HEAD, STRINGS, Cost, cost
from benchmarks.growth import first_days
from stillwatch.cli.progress import progress_bar
from stillwatch.linkage.bundles import bundle
from stillwatch.signals.activity import rhythm
from stillwatch.signals.automaton import scan
from stillwatch.signals.cueing import machine
from stillwatch.signals.frame import Frame, read_frame
from stillwatch.signals.sketch import sketch_texts, spans
from stillwatch.signals.tasks import Tasks, task_vectors, tasks
from stillwatch.signals.traits import (
    Incidence,
    client_traits,
    content_traits,
    identity_traits,
    main_value,
    network_traits,
)
from stillwatch.signals.worth import high_value_ids, worth
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset
from stillwatch.tables.pieces import piece_batches, pieces


def measure(dataset: Dataset, keep: Path) -> tuple[Cost, Cost, Cost]:
    """Print a line a floor and a stage; return the costs of frames from text and kept fingerprints, and of the rest."""
    rows, size = dataset.count_exchanges(), floors.text_size(dataset)
    print(f"{rows:,} exchanges, {size / 1e9:.2f} GB of text; {platform.processor() or platform.machine()}, "
          f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC).date()}")  # fmt: skip
    print(HEAD)
    strings, text = floors.scanned(dataset, STRINGS), floors.text_scanned(dataset, size)
    print(strings.line(), text.line(), sep="\n")
    _kernels(dataset)
    cold = cost("frame from text", lambda: read_frame(dataset, keep=keep), rows=rows, size=size)
    print(cold.line(text, 6))
    frames: list[Frame] = []
    warm = cost("frame from kept fingerprints", lambda: frames.append(read_frame(dataset, keep=keep)), rows=rows)
    print(warm.line(strings, 6))
    rest = _features(frames[0], strings)
    kept = sum(file.stat().st_size for file in keep.iterdir())
    print(f"kept fingerprints: {kept / 1e6:.0f} MB, {kept / max(1, rows):.0f} bytes an exchange")
    return cold, warm, rest


def _kernels(dataset: Dataset) -> None:
    """Print the text kernels on prompts in memory, one thread."""
    touch, _ = floors.bytes_touched(dataset)
    print(touch.line())
    held, size = [], 0
    for piece in pieces(dataset):
        held += [batch.column(0) for batch in piece_batches(piece, ["prompt_text"])]
        size = sum(column.nbytes for column in held)
        if size > touch.size:
            break
    print(cost("sketches of prompts", lambda: [sketch_texts(c, threads=1) for c in held], size=size, rounds=3)
          .line(_like(touch, size), 5))  # fmt: skip
    places = [spans(column) for column in held]
    print(cost("cues of prompts", lambda: [scan(machine().automaton, *one) for one in places], size=size, rounds=3)
          .line(_like(touch, size), 5))  # fmt: skip


def _like(floor: Cost, size: int) -> Cost:
    """Return a floor as it would be for as many bytes."""
    return Cost(floor.name, floor.wall, floor.cpu * size / max(1, floor.size), floor.peak_mb, 0, size)


def _features(frame: Frame, strings: Cost) -> Cost:
    """Print what is drawn from the frame, with what needs no text as a ratio to a scan; return the cost of all."""
    labels: list[Tasks] = []
    content: list[Incidence] = []
    rows = frame.n_exchanges
    plain = [
        _shown("client", lambda: client_traits(frame), rows),
        _shown("networks", lambda: network_traits(frame), rows),
        _shown("identities", lambda: identity_traits(frame), frame.n_accounts),
        _shown("rhythm", lambda: rhythm(frame, main_value(frame, "country")), rows),
    ]
    print(_sum("all of these", plain, rows).line(strings, 8), flush=True)
    more = [
        _shown("tasks", lambda: labels.append(tasks(frame)), rows),
        _shown("work of accounts", lambda: task_vectors(frame, labels[0]), rows),
        _shown("worth", lambda: worth(frame, labels[0], high_value=high_value_ids()), rows),
        _shown("content traits", lambda: content.append(content_traits(frame)), rows),
    ]
    _shown("bundles", lambda: bundle(content[0]), len(content[0].account))
    print(floors.joined(frame).line())
    return _sum("all that is drawn from it", [*plain, *more], rows)


def _shown(name: str, work: Callable[[], object], rows: int) -> Cost:
    found = cost(name, work, rows=rows)
    print(found.line(), flush=True)
    return found


def _sum(name: str, costs: list[Cost], rows: int) -> Cost:
    return Cost(name, sum(c.wall for c in costs), sum(c.cpu for c in costs), max(c.peak_mb for c in costs), rows, 0)


def main() -> None:
    """Measure a dataset or a simulated world."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--world", default="small")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=Path("bench"))
    given = parser.parse_args()
    data = given.dataset or given.folder / f"{given.world}-{given.scale:g}"
    if given.dataset is None and not data.exists():
        floors.begins(f"simulating {data.name}")
        with progress_bar() as progress:
            simulate(load_world(given.world, scale=given.scale), data, seed=101, progress=progress)
    with tempfile.TemporaryDirectory(prefix="stillwatch-bench-") as work:
        read_frame(first_days(Dataset.open(data), 0, Path(work) / "day"))  # compiles what is not compiled yet
        whole = measure(Dataset.open(data), Path(work) / "kept")
        growth.show(Dataset.open(data), Path(work), whole)


if __name__ == "__main__":
    main()
