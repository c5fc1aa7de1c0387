"""How much room a world needs on disk, said before it is written and refused when there is too little."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from stillwatch.errors import DatasetError
from stillwatch.simulate.corpus import Corpus
from stillwatch.simulate.world import Made

Free = Callable[[Path], int]

# Bytes, measured on tiny, small and seed (docs/simulate.md) and rounded up by a tenth or more.
_ACCOUNT = 400
_FACTS, _TEXT = 150, 1300  # of an exchange in a dataset: columns without text, mean text before compression
_PACKED = 0.21  # of our own text's bytes are left in a dataset
_PACKED_REAL = 0.45  # of a corpus's
_LOGGED = 2500  # of an exchange in raw logs, beside its text


@dataclass(frozen=True)
class Space:
    """What a world is expected to hold, the bytes that takes and the bytes that are free."""

    accounts: int
    exchanges: int
    needed: int
    free: int


def free_bytes(folder: Path) -> int:
    """Return the bytes free where a folder is or would be.

    >>> free_bytes(Path("/no/such/folder")) > 0
    True
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def space(made: Made, folder: str | Path, form: str = "", *, free: Free = free_bytes) -> Space:
    """Return what a world needs in a folder, as a dataset or as raw logs (``form``); an estimate on the safe side.

    >>> from stillwatch.simulate.spec import load_world
    >>> from stillwatch.simulate.world import make_world
    >>> made = make_world(load_world("tiny", scale=0.1), seed=1)
    >>> found = space(made, ".", free=lambda folder: 5)
    >>> found.free, found.needed > 100 * found.exchanges > 0
    (5, True)
    """
    text, packed = (_mean_bytes(made.corpus), _PACKED_REAL) if made.corpus else (_TEXT, _PACKED)
    each = _LOGGED + text if form else _FACTS + packed * text
    accounts, exchanges = sum(crowd.size for crowd in made.crowds), round(made.exchanges)
    return Space(accounts, exchanges, round(each * exchanges + _ACCOUNT * accounts), free(Path(folder)))


def require(room: Space, folder: str | Path) -> None:
    """Raise :class:`DatasetError` when a world has too little room.

    >>> require(Space(1, 1, 2_000_000, 1_000_000), "data")
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: data: the world needs about 2 MB and 1 MB are free; choose another ...
    """
    if room.needed > room.free:
        raise DatasetError(
            f"{folder}: the world needs about {amount(room.needed)} and {amount(room.free)} are free; "
            "choose another folder or a smaller scale"
        )


def amount(size: float) -> str:
    """Return a number of bytes in words.

    >>> amount(2_000_000), amount(36_400_000_000)
    ('2 MB', '36.4 GB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _mean_bytes(corpus: Corpus) -> float:
    """Return the mean length of a corpus's prompts with their system prompts."""
    parts = [*corpus.texts.values(), *corpus.systems.values()]
    total = sum(pc.sum(pc.binary_length(part)).as_py() or 0 for part in parts)
    return float(total / max(1, np.sum([len(part) for part in corpus.texts.values()])))
