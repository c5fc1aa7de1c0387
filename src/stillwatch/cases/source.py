"""What a scan reads, and who does the reading: this machine or a cluster, a folder or object storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stillwatch.errors import ConfigError
from stillwatch.signals.condensed import condense
from stillwatch.tables import Dataset
from stillwatch.tables.objects import is_object
from stillwatch.tables.threads import mapped
from stillwatch.types import Progress, silent


@dataclass(frozen=True)
class Source:
    """A dataset ready to scan; ``cluster`` is the connection whose engine folds its rows (None: this process).

    ``keep`` is where the scan keeps fingerprints (None: nowhere, or the dataset is made of them already).

    >>> Source(Dataset(Path("data"))).cluster is None
    True
    """

    dataset: Dataset
    cluster: Any | None = None
    keep: Path | None = None


@contextmanager
def source(
    path: str,
    *,
    since: date | None = None,
    master: str | None = None,
    keep: Path | None = None,
    progress: Progress = silent,
) -> Iterator[Source]:
    """Open a dataset for a scan: a folder as it is, anything else condensed first (into ``keep``, for the next scan).

    With ``since`` exchanges of earlier days take no part in the scan; what is kept of them stays. With ``master`` a
    Spark cluster condenses it, and folds its rows as long as the source is open. A dataset in object storage
    (``s3://…``) is condensed by this machine's processors otherwise. Raises what
    :func:`~stillwatch.tables.cluster.cluster` and :func:`~stillwatch.signals.condensed.condense` raise, and
    :class:`ConfigError` for a cluster of other machines without ``keep``, which all of them must see.

    >>> with source("data", master="spark://h:7077"):
    ...     pass
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: --master spark://h:7077 needs --keep, a folder that its workers see by the same path
    """
    if master and not master.startswith("local") and keep is None:
        raise ConfigError(f"--master {master} needs --keep, a folder that its workers see by the same path")
    dataset = Dataset.open(path)
    if not master and not is_object(dataset.path):
        yield Source(_since(dataset, since), keep=keep)
        return
    with ExitStack() as stack:
        hands = stack.enter_context(_cluster(master)) if master else None
        folder = keep or Path(stack.enter_context(TemporaryDirectory(prefix="stillwatch-")))
        small = condense(dataset, folder.resolve(), share=hands.share if hands else mapped, progress=progress)
        yield Source(_since(small, since), hands.connection if hands else None)


def _since(dataset: Dataset, day: date | None) -> Dataset:
    return dataset.since(day) if day else dataset


def _cluster(master: str) -> Any:
    from stillwatch.tables.cluster import cluster

    return cluster(master)
