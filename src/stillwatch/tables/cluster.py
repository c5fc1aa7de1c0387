"""A Spark cluster: a connection that the same Ibis expressions run on, and hands that share pieces of a dataset.

The driver keeps small tables. Whatever reads text runs on the executors through ``mapInArrow``, a piece a task, with
the very function that one machine uses (docs/decisions/0011-spark.md).
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import ibis
import pyarrow as pa

from stillwatch.errors import ConfigError, DatasetError, MissingExtra
from stillwatch.tables.pieces import Piece

T = TypeVar("T")
TASKS_A_PROCESSOR = 8
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}


@dataclass(frozen=True)
class Cluster:
    """A running Spark session and the Ibis connection on it.

    >>> Cluster(session=None, connection=None).connection is None
    True
    """

    session: Any
    connection: Any

    def share(self, parts: Sequence[Piece], work: Callable[[Piece], T]) -> Iterator[T]:
        """Yield ``work(piece)`` of every piece in order, done by the executors, a piece a task.

        ``work`` travels by name: the package must be installed on the workers, and files must have the same path (or
        ``s3://…``) there. Answers come back through the driver and should be small. Rounds of eight tasks a processor
        keep what waits small. Raises :class:`DatasetError` with what went wrong on the executor.
        """
        round_ = TASKS_A_PROCESSOR * self.session.sparkContext.defaultParallelism
        for first in range(0, len(parts), round_):
            yield from self._one_round([replace(piece, footer=None) for piece in parts[first : first + round_]], work)

    def _one_round(self, parts: list[Piece], work: Callable[[Piece], T]) -> list[T]:
        from pyspark.errors import PythonException

        numbers = self.session.range(0, len(parts), 1, len(parts))
        answers = numbers.mapInArrow(partial(_answered, parts, work), "number long, answer binary")
        try:
            rows = answers.collect()
        except PythonException as error:
            raise DatasetError(f"an executor gave up: {_last_line(str(error))}") from error
        return [pickle.loads(row.answer) for row in sorted(rows, key=lambda row: row.number)]


@contextmanager
def cluster(master: str = "local[*]", settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Open a Spark session on ``master`` (``local[2]``, ``spark://host:7077``, ``yarn`` …) and close it afterwards.

    ``settings`` are Spark's own and go before ours; those of ``spark-defaults.conf`` hold as for any application.
    Raises :class:`MissingExtra` without PySpark, :class:`ConfigError` without Java or when no session can be had.

    >>> with cluster("nonsense"):
    ...     pass
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: --master 'nonsense' is none of local[N], spark://HOST:PORT, yarn, k8s://URL
    """
    if not re.match(r"local(\[.+\])?$|(spark|k8s)://|yarn$", master):
        raise ConfigError(f"--master {master!r} is none of local[N], spark://HOST:PORT, yarn, k8s://URL")
    session = _session(master, {**_SETTINGS, **(settings or {})})
    try:
        yield Cluster(session, ibis.pyspark.connect(session))
    finally:
        session.stop()


def _session(master: str, settings: Mapping[str, str]) -> Any:
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingExtra("pyspark", extra="spark", purpose="Scans on a cluster") from error
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ConfigError("Spark needs Java 17 or 21: install one, or set JAVA_HOME")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if re.match(r"local|spark://(127\.|localhost)", master):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName("stillwatch").master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, Py4JError) as error:
        raise ConfigError(f"no Spark session on {master}: {_last_line(str(error))}") from error


def _answered(
    parts: list[Piece], work: Callable[[Piece], object], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Run on an executor: the work of the pieces whose numbers come in."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield pa.record_batch({"number": [number], "answer": [pickle.dumps(work(parts[number]))]})


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("\t", "  "))]
    return lines[-1] if lines else text
