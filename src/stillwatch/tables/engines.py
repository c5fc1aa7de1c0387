"""Where engines are named and where they differ, and nowhere else: the connections that Ibis expressions run on.

DuckDB runs in this process; a Spark cluster is :mod:`stillwatch.tables.cluster`.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import ibis
import pyarrow as pa

# Spark has no unsigned types. Small ones are read as the next type that holds them; 64-bit hashes as the signed number
# of the same bits, since as the decimals that Spark would choose they are objects, and many times slower.
_ON_SPARK = {"uint64": "int64", "uint32": "int64", "uint16": "int32", "uint8": "int16"}


def connect(*, threads: int | None = None, memory_limit: str | None = None) -> Any:
    """Open an in-process DuckDB connection for Ibis: spilling to disk, order of rows not kept.

    Instants leave as epoch microseconds (``epoch_us``): DuckDB's time-zone extension is not always there, and
    integers mean the same on every engine.

    ``threads`` defaults to the processors of this machine; ``memory_limit`` is DuckDB's, such as ``"2GB"``.

    >>> connect(threads=1).list_tables()
    []
    """
    settings: dict[str, Any] = {
        "threads": threads or os.cpu_count() or 1,
        "temp_directory": tempfile.gettempdir(),
        "preserve_insertion_order": False,
    }
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    return ibis.duckdb.connect(**settings)


def read_files(connection: Any, files: list[str], schema: pa.Schema) -> Any:
    """Return Parquet files as one Ibis table with the columns of ``schema``; what a file lacks is null.

    On Spark unsigned columns come as the type it has for them: 64-bit hashes as signed numbers of the same bits.

    >>> import pyarrow.parquet as pq
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pq.write_table(pa.table({"model": ["m"]}), f"{folder}/a.parquet")
    ...     wanted = pa.schema({"model": pa.string(), "status": pa.int64()})
    ...     read_files(connect(threads=1), [f"{folder}/a.parquet"], wanted).to_pyarrow().to_pylist()
    [{'model': 'm', 'status': None}]
    """
    if connection.name == "pyspark":
        return _on_spark(connection, files, schema)
    table = connection.read_parquet(files, union_by_name=True, hive_partitioning=False)
    wanted = ibis.Schema.from_pyarrow(schema)
    return table.select(
        **{
            name: (table[name].cast(dtype) if name in table.columns else ibis.null(dtype))
            for name, dtype in wanted.items()
        }
    )


def fetched(connection: Any, expression: Any) -> pa.Table:
    """Run a table expression and return its rows.

    >>> fetched(connect(threads=1), ibis.memtable(pa.table({"n": [1, 2]}))).to_pylist()
    [{'n': 1}, {'n': 2}]
    """
    if connection.name != "pyspark":
        return connection.to_pyarrow(expression)
    connection._run_pre_execute_hooks(expression)  # Ibis 12 itself would go through pandas, and change types there
    return connection._session.sql(connection.compile(expression)).toArrow()


def held(connection: Any, expression: Any) -> Any:
    """Return a table expression computed once, its rows held for further questions as long as the connection.

    What comes from a cluster is small beside what it was made of, and is held in this process: a question of a few
    rows costs a cluster a second or more.

    >>> rows = ibis.memtable(pa.table({"n": [1, 2]}))
    >>> int(held(connect(threads=1), rows.filter(rows.n > 1)).count().to_pyarrow().as_py())
    1
    """
    name = ibis.util.gen_name("held")
    if connection.name == "pyspark":
        return connect().create_table(name, ibis.memtable(fetched(connection, expression)), temp=True)
    return connection.create_table(name, expression, temp=True)


def _on_spark(connection: Any, files: list[str], schema: pa.Schema) -> Any:
    """Read with a declared schema: no file is opened to infer one, and columns a file lacks come as nulls.

    Spark 4.0's vectorised reader fails on dictionaries of unsigned 64-bit values (it decodes them as 32-bit ones), so
    rows are read by its other one.
    """
    from ibis.backends.pyspark.datatypes import PySparkSchema

    connection._session.conf.set("spark.sql.parquet.enableVectorizedReader", "false")
    declared = ibis.Schema({name: spark_type(dtype) for name, dtype in ibis.Schema.from_pyarrow(schema).items()})
    frame = connection._session.read.schema(PySparkSchema.from_ibis(declared)).parquet(*files)
    name = ibis.util.gen_name("stillwatch")
    frame.createOrReplaceTempView(name)
    return connection.table(name)


def spark_type(dtype: Any) -> Any:
    """Return the Ibis type that Spark reads a column of another Ibis type as.

    >>> str(spark_type(ibis.dtype("array<uint64>"))), str(spark_type(ibis.dtype("string")))
    ('array<int64>', 'string')
    """
    if dtype.is_array():
        return ibis.dtype(f"array<{spark_type(dtype.value_type)}>")
    return ibis.dtype(_ON_SPARK.get(str(dtype).lstrip("!"), dtype))
