"""Speed of the text kernel, a core, against a byte-touch floor measured in the same run.

    python benchmarks/text_kernel.py                       # 40 MB of generated prompts
    python benchmarks/text_kernel.py PROMPTS.parquet text  # a column of real ones

Figures are MB of UTF-8 per CPU second of one thread, the best of three rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.signals.cueing import hits
from stillwatch.signals.fingerprint import fingerprint
from stillwatch.signals.sketch import sketch_texts, spans


@numba.njit(nogil=True)
def touched(data: npt.NDArray[np.uint8]) -> np.uint64:
    """Multiply and xor over every byte: the least that a hash of the text must do."""
    h = np.uint64(0)
    for i in range(len(data)):
        h = (h ^ np.uint64(data[i])) * np.uint64(0x9E3779B97F4A7C15)
    return h


def generated(rows: int = 60_000) -> pa.Array:
    """Prompts of about 690 bytes: words of a Zipf vocabulary, numbers, quotations and code, seed fixed."""
    rng = np.random.default_rng(1)
    words = np.array(["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 11))) for _ in range(20_000)])
    extra = np.array(['"a quoted part"', "12", "3.5", "`x = 1`", "https://example.org/p", "(so)", "well,", "end.\n"])
    words = np.concatenate([words[:3000], np.repeat(extra, 40), words[3000:]])
    picks = np.minimum(rng.zipf(1.2, (rows, 110)), 40_000) % len(words)
    return pa.array([" ".join(line) for line in words[picks]])


def speed(work: Callable[[], object], size: int) -> float:
    """MB per CPU second, the best of three rounds after one to warm up."""
    work()
    spent = []
    for _ in range(3):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return size / 1e6 / min(spent)


def main() -> None:
    """Print one line a stage."""
    if len(sys.argv) > 2:
        column = pq.read_table(sys.argv[1], columns=[sys.argv[2]]).column(0)
        texts = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in column.chunks])
    else:
        texts = generated()
    data, _, _ = spans(texts)
    floor = speed(lambda: touched(data), len(data))
    print(f"{len(texts):,} prompts, {len(data) / 1e6:.1f} MB")
    print(f"{'byte-touch floor':<28}{floor:>8.0f} MB/s")
    for name, work in (
        ("sketches", lambda: sketch_texts(texts, threads=1)),
        ("cue hits", lambda: hits(texts)),
        ("fingerprint, end to end", lambda: fingerprint(pa.table({"prompt_text": texts}))),
    ):
        found = speed(work, len(data))
        print(f"{name:<28}{found:>8.0f} MB/s   1 : {floor / found:.1f}")


if __name__ == "__main__":
    main()
