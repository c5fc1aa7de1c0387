"""Draw prompts from Parquet files of real ones in place of the grammar (benchmarks only; nothing of them is kept here).

Columns: ``source`` (the collection), ``kind``, ``text``, ``system_text`` (may be null), ``lang``. Of the kinds,
``user`` replaces what honest customers ask, ``eval`` the items of evaluation harnesses, ``distill`` what campaigns and
contracted distillation partners ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import ConfigError, InputError
from stillwatch.simulate.chance import Ints, Keys, mix, pick_index, unit

KINDS = ("user", "eval", "distill")
_JOBS = {"eval": {"eval", "bench", "drift", "study"}, "distill": {"camp", "harvest", "partner"}}
_COLUMNS = ["source", "kind", "text", "system_text"]


@dataclass(frozen=True)
class Corpus:
    """Real prompts by kind, ordered by source; ``edges`` are the first rows of the sources and the end."""

    texts: dict[str, pa.Array]
    systems: dict[str, pa.Array]
    edges: dict[str, Ints]

    def draw(self, kind: str, source: Keys, row: Keys) -> Ints:
        """Return rows of a kind: equal ``source`` keys draw from one source, large sources more often.

        >>> corpus = Corpus({"user": pa.array(["a"])}, {}, {"user": np.array([0, 1])})
        >>> corpus.draw("user", mix(1, np.arange(2)), mix(2, np.arange(2))).tolist()
        [0, 0]
        """
        edges = self.edges[kind]
        sizes = np.diff(edges)
        which = pick_index(np.sqrt(sizes.astype(float)), unit(mix(source, "source")))
        return np.asarray(edges[which] + (unit(mix(row, "prompt")) * sizes[which]).astype(np.int64))


def read_corpus(folder: str | Path) -> Corpus:
    """Read every Parquet file of a folder that has the columns ``source``, ``kind`` and ``text``.

    Raises :class:`ConfigError` when a kind is missing, :class:`InputError` when a file cannot be read.

    >>> read_corpus("nowhere")
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: nowhere: no Parquet file with the columns source, kind, text
    """
    parts = [part for file in sorted(Path(folder).glob("*.parquet")) if (part := _read(file)) is not None]
    if not parts:
        raise ConfigError("no Parquet file with the columns source, kind, text", path=folder)
    table = pa.concat_tables(parts)
    table = table.filter(
        pc.and_(pc.is_valid(table["text"]), pc.greater(pc.binary_length(pc.fill_null(table["text"], "")), 0))
    )
    texts, systems, edges = {}, {}, {}
    for kind in KINDS:
        found = table.filter(pc.equal(table["kind"], kind)).sort_by("source").combine_chunks()
        if not found.num_rows:
            raise ConfigError(f"no prompts of kind {kind!r}; kinds are {', '.join(KINDS)}", path=folder)
        texts[kind] = found["text"].combine_chunks()
        systems[kind] = found["system_text"].combine_chunks()
        runs = found["source"].combine_chunks().dictionary_encode().indices.to_numpy()
        edges[kind] = np.concatenate([[0], np.flatnonzero(np.diff(runs)) + 1, [runs.size]]).astype(np.int64)
    return Corpus(texts, systems, edges)


def _read(file: Path) -> pa.Table | None:
    try:
        parquet = pq.ParquetFile(file)
        there = parquet.schema_arrow.names
        if not {"source", "kind", "text"} <= set(there):
            return None
        table = parquet.read(columns=[name for name in _COLUMNS if name in there])
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"not a readable Parquet file: {error}", path=file) from error
    columns = {
        name: table[name].cast(pa.string()) if name in there else pa.nulls(table.num_rows, pa.string())
        for name in _COLUMNS
    }
    return pa.table(columns)


def replace_texts(
    corpus: Corpus, kinds: list[str], job: Ints, source: Keys, row: Keys, system: pa.Array
) -> tuple[pa.Array, pa.Array]:
    """Return (prompts, system prompts): ``kinds`` by job number; a corpus row without system text keeps the account's.

    >>> corpus = Corpus({"user": pa.array(["a"])}, {"user": pa.nulls(1, pa.string())}, {"user": np.array([0, 1])})
    >>> one = np.zeros(1, np.uint64)
    >>> [part.to_pylist() for part in replace_texts(corpus, ["user"], np.array([0]), one, one, pa.array(["s"]))]
    [['a'], ['s']]
    """
    prompt = pa.nulls(job.size, pa.string())
    of_row = np.array(kinds, object)[job]
    for kind in sorted(set(kinds)):
        here = pa.array(of_row == kind)
        drawn = pa.array(corpus.draw(kind, source, row))
        prompt = pc.if_else(here, corpus.texts[kind].take(drawn), prompt)
        system = pc.if_else(here, pc.coalesce(corpus.systems[kind].take(drawn), system), system)
    return prompt, system


def kind_of(job: str) -> str:
    """Return the corpus kind that replaces a job.

    >>> kind_of("eval_math"), kind_of("harvest_clean"), kind_of("chat_qa")
    ('eval', 'distill', 'user')
    """
    return next((kind for kind, jobs in _JOBS.items() if job.split("_")[0] in jobs), "user")
