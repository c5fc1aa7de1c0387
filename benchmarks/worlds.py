"""Simulate worlds, scan them and score the scans: the figures that docs quote.

python -m benchmarks.worlds --world small --seeds 101 102 103 104 105 --out DIR
python -m benchmarks.worlds --world small-null --seeds 201 202 203 --out DIR
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.score import labelled, score
from stillwatch.cases.scan import scan
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset


def measure(world: str, seed: int, folder: Path, settings: list[str], scale: float = 1.0) -> dict[str, Any]:
    """Simulate, scan and score one world."""
    data, out = folder / "world", folder / "scan"
    shutil.rmtree(folder, ignore_errors=True)
    simulate(load_world(world, scale=scale, settings=settings), data, seed=seed)
    scan(Dataset.open(data), out)
    result = {"world": world, "seed": seed, **score(out, labelled(data))}
    shutil.rmtree(data)
    return result


def main() -> None:
    """Measure every seed; print a line each and write all to ``results.json``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--world", default="small")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    results = []
    for seed in given.seeds:
        result = measure(given.world, seed, given.out / f"{given.world}-{seed}", given.settings, given.scale)
        results.append(result)
        print(json.dumps(result), flush=True)
    stamp = {"date": datetime.now(UTC).date().isoformat(), "machine": platform.processor() or platform.machine()}
    (given.out / "results.json").write_text(json.dumps({**stamp, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
