"""Whole scans on a cluster: text read by executors, habits and telemetry folded there, the same campaigns."""

from __future__ import annotations

import pickle
from operator import attrgetter
from pathlib import Path

import pytest

from stillwatch.cases.report import write_report
from stillwatch.cases.scan import scan
from stillwatch.cases.source import source
from stillwatch.errors import ConfigError, DatasetError
from stillwatch.signals.condensed import condense
from stillwatch.signals.stored import piece_key
from stillwatch.tables import Dataset
from stillwatch.tables.cluster import Cluster, cluster
from stillwatch.tables.pieces import Piece, pieces

from .results import results

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # PySpark leaves sockets to the collector


def test_a_scan_on_spark_finds_what_a_scan_here_finds(spark: Cluster, tiny: Dataset, tmp_path: Path) -> None:
    """Every file but run.json byte for byte; both engines condense to the same files; telemetry is the same too."""
    wanted = results(scan(tiny, tmp_path / "here").path)
    assert wanted["campaigns.json"].count(b'"verdict": "campaign"') >= 1
    small = condense(tiny, tmp_path / "kept", share=spark.share)
    mine = condense(tiny, tmp_path / "own")
    assert {f.name: f.read_bytes() for f in small.exchange_files()} == {
        f.name: f.read_bytes() for f in mine.exchange_files()
    }
    assert results(scan(small, tmp_path / "there", cluster=spark.connection).path) == wanted
    page = write_report(small, tmp_path / "there", cluster=spark.connection).read_bytes()
    assert page == write_report(small, tmp_path / "there").read_bytes()


def test_work_comes_back_in_order_whoever_does_it(spark: Cluster, tiny: Dataset) -> None:
    """Answers of many pieces arrive in the order of the pieces."""
    parts = pieces(tiny, rows=1)
    assert list(spark.share(parts, attrgetter("rows"))) == [p.rows for p in parts]


def test_what_goes_wrong_on_an_executor_is_one_sentence_here(spark: Cluster, tmp_path: Path) -> None:
    """The file is named, and no stack of the cluster is shown."""
    broken = Piece(tmp_path / "day=2026-01-02" / "none.parquet", (0,), 0, 5)
    with pytest.raises(DatasetError, match=r"an executor gave up: .*none.parquet") as caught:
        list(spark.share([broken], piece_key))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("master", ["", "spark:/h", "http://h", "local[2]x"])
def test_a_master_that_is_none_is_refused_before_anything_starts(master: str) -> None:
    """The message lists what a master may be."""
    with pytest.raises(ConfigError, match="none of local"), cluster(master):
        pass


def test_workers_elsewhere_need_a_folder_that_all_see(tmp_path: Path) -> None:
    """Without --keep the work of other machines would be lost with a temporary folder of this one."""
    with pytest.raises(ConfigError, match="needs --keep"), source(str(tmp_path), master="spark://h:7077"):
        pass


def test_a_piece_travels_without_its_footer() -> None:
    """What goes to executors is small, whatever the file holds."""
    assert len(pickle.dumps(Piece(Path("/data/day=2026-01-02/part-0.parquet"), (0, 1), 0, 9))) < 400
