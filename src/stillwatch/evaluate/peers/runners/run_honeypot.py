"""Run honeypotllm's suspicion score over a log; write each key's greatest, mean and last score as CSV.

``python -I run_honeypot.py requests.ndjson scores.csv``. A request is ``{"key", "ts", "prompt", "tokens"}`` in the
order of ``ts`` (seconds). The package takes no time, so its clock is replaced by the event's.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path


def main(requests: Path, scores: Path) -> None:
    """Score every request at its own time, with the package's default configuration."""
    now = [0.0]
    vars(time)["time"] = lambda: now[0]  # before the import: the package keeps time.time as a default of its states
    from honeypotllm.config import ScoringConfig
    from honeypotllm.scoring import SuspicionScorer

    scorer = SuspicionScorer(ScoringConfig())
    most: dict[str, float] = {}
    total: dict[str, list[float]] = {}
    with requests.open(encoding="utf-8") as handle:
        for line in handle:
            request = json.loads(line)
            now[0] = request["ts"]
            result = scorer.score_request(request["key"], prompt=request["prompt"], input_tokens=request["tokens"])
            most[request["key"]] = max(most.get(request["key"], 0.0), result.score_after)
            total.setdefault(request["key"], []).append(result.score_after)
    with scores.open("w", newline="", encoding="utf-8") as handle:
        rows = [(key, most[key], sum(seen) / len(seen), seen[-1]) for key, seen in total.items()]
        csv.writer(handle).writerows([("key", "most", "mean", "last"), *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
