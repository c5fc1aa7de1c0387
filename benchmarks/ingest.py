"""How fast raw logs are read, a core, against the least that any reader of JSON does: decoding every line to objects.

    python -m benchmarks.ingest                # simulated logs in LiteLLM's, OTel's and other forms
    python -m benchmarks.ingest LOGS           # a folder of your own logs

The floor decodes the same lines with msgspec and drops them. Both are CPU seconds of one process, in turns, the least
of some rounds; one more round keeps no text (``--content-free``). Bytes are those of the files as they lie.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.floors import begins
from stillwatch.ingest import Key, Options, ingest
from stillwatch.signals.fingerprint import fingerprint
from stillwatch.simulate import load_world, make_world, write_logs

FORMS = ("litellm", "otel", "openai", "anthropic", "ndjson")
ROUNDS = 3
_HEAD = (
    ("rows", 9), ("B/row", 9), ("decode", 9), ("ingest", 9), ("ratio", 8), ("µs/row", 9), ("content-free", 14),
)  # fmt: skip
_NOW = datetime(2100, 1, 1, tzinfo=UTC)


def decoded(files: list[Path]) -> int:
    """Decode every line of JSON to objects; return how many there are."""
    decode = msgspec.json.Decoder().decode
    lines = 0
    for file in files:
        with file.open("rb") as handle:
            for line in handle:
                decode(line)
                lines += 1
    return lines


def ingested(logs: Path, *, content_free: bool = False) -> int:
    """Ingest the logs into a dataset that is dropped; return how many exchanges it had."""
    with tempfile.TemporaryDirectory(prefix="stillwatch-bench-") as folder:
        options, kernel = Options(content_free=content_free), fingerprint if content_free else None
        key = Key(b"a key for benchmarks")
        return ingest([logs], Path(folder, "data"), options, key=key, now=_NOW, fingerprint=kernel).added


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measured(name: str, logs: Path) -> None:
    """Print the line of one folder of logs."""
    begins(f"ingest of {name}")
    files = sorted(file for file in logs.rglob("*") if file.is_file())
    size, rows = sum(file.stat().st_size for file in files) / 1e6, ingested(logs)
    spent = [(seconds(lambda: decoded(files)), seconds(lambda: ingested(logs))) for _ in range(ROUNDS)]
    floor, whole = (min(column) for column in zip(*spent, strict=True))
    free = seconds(lambda: ingested(logs, content_free=True))
    print(
        f"{name:<12}{rows:>9,}{size * 1e6 / max(1, rows):>9,.0f}{size / floor:>9.0f}{size / whole:>9.1f}"
        f"{whole / floor:>8.1f}{whole / max(1, rows) * 1e6:>9.1f}{size / free:>14.1f}",
        flush=True,
    )


def main() -> None:
    """Measure logs of one's own, or simulated ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("logs", type=Path, nargs="?")
    logs = parser.parse_args().logs
    gc.set_threshold(100_000, 20, 20)  # as `stillwatch ingest` has it
    print(f"{'MB/s a core':<12}" + "".join(f"{name:>{width}}" for name, width in _HEAD))
    if logs:
        measured(logs.name, logs)
        return
    with tempfile.TemporaryDirectory(prefix="stillwatch-bench-") as folder:
        ingested(_written("litellm", Path(folder), 0.005), content_free=True)  # compiles the text kernel
        for form in FORMS:
            measured(form, _written(form, Path(folder), 0.03))


def _written(form: str, folder: Path, scale: float) -> Path:
    out = folder / f"{form}-{scale}"
    write_logs(make_world(load_world("small", scale=scale), seed=1), out, form)
    return out / "logs"


if __name__ == "__main__":
    main()
