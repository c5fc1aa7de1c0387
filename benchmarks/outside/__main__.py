"""Build, ingest, scan and score the outside worlds; print one table (docs/real-input.md).

python -m benchmarks.outside --data DIR --out OUT [--world W01 …] [--seed 0] [--json]
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from benchmarks.outside.corpus import Corpus, read_corpus
from benchmarks.outside.designs import DESIGNS, build
from benchmarks.outside.logs import write
from benchmarks.outside.score import Found, ingest, scan, table


def one_world(name: str, corpus: Corpus, folder: Path, seed: int) -> Found:
    """Make, ingest, scan and score one world in a folder of its own, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    design = DESIGNS[name]
    write(build(design, corpus, seed), folder / "raw")
    ingest(folder, design.setting)
    return scan(folder)


def main() -> None:
    """Run the worlds that were asked for, all unless told otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outside", description="Run the outside worlds.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the Parquet files of real prompts")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets a folder a world")
    parser.add_argument("--world", nargs="+", choices=DESIGNS, default=list(DESIGNS), metavar="W01")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other draws of the same designs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    corpus = read_corpus(given.data)
    found = {name: one_world(name, corpus, given.out / name, given.seed) for name in given.world}
    print(json.dumps(found, indent=1) if given.json else table(found))


if __name__ == "__main__":
    main()
