"""The command: it measures, resumes, compares, writes pages that hold, and never lets a detector see a label."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from stillwatch.cases.folder import ScanOutput
from stillwatch.cli import app
from stillwatch.cli.bench import GotWorse
from stillwatch.errors import ConfigError, DatasetError
from stillwatch.evaluate import pages
from stillwatch.evaluate.baseline import changes, compared
from stillwatch.evaluate.bench import Scorecard, Scored, bench, pooled
from stillwatch.evaluate.cells import Cell, Order, Scene, carry_out
from stillwatch.evaluate.detectors import DETECTORS
from stillwatch.evaluate.figures import Figure
from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.measures import measure
from stillwatch.evaluate.ours import read_findings
from stillwatch.evaluate.plan import Wish
from stillwatch.evaluate.truth import compare, read_truth
from stillwatch.tables import Dataset

SMALL = ["--worlds", "tiny:901", "--scale", "0.05", "--jobs", "1", "--quiet"]
BASELINE = Path(__file__).parents[2] / "benchmarks" / "baseline.json"


class Nosy:
    """A detector that looks for labels and accuses nobody."""

    name = "nosy"
    looked: list[int] = []  # noqa: RUF012 - shared on purpose

    def fit(self, calibration: Dataset) -> Nosy:
        """Return itself."""
        return self

    def find(self, dataset: Dataset, work: Path) -> Findings:
        """Count the labels that can be seen."""
        self.looked.append(sum(len(table) for table in dataset.labels()))
        return Findings(pa.table({"account_id": [], "score": []}))


@pytest.fixture(scope="module")
def card(tiny: Dataset, scanned: Path, tmp_path_factory: pytest.TempPathFactory) -> Scorecard:
    """Return a scorecard of the session's scan of the tiny world, as a run would make it."""
    measured = measure(compare(read_truth(tiny), read_findings(ScanOutput.open(scanned))))
    cost = {"seconds": 9.0, "cpu_seconds": 8.0, "peak_mb": 500.0, "exchanges": tiny.count_exchanges()}
    entry = {"part": "worlds", "row": "", "level": "", "cell": msgspec.to_builtins(Cell(Scene("tiny", 2)))}
    cells = [Scored(entry, {**measured, "cost": cost, "bills": []})]
    empty = bench(Wish(), tmp_path_factory.mktemp("empty"), now=datetime(2026, 1, 2, tzinfo=UTC))
    return msgspec.structs.replace(empty, cells=cells, figures=pooled(cells))


def test_detection_on_a_fixed_world_holds(card: Scorecard) -> None:
    """On the tiny world of seed 2: two campaigns of three or more are found, and hardly an innocent is swept in.

    The margins are far below what is measured (docs/benchmarks.md): noise does not cross them, a broken detector does.
    """
    made = card.figures["worlds/tiny/stillwatch"]
    assert made["campaign recall"].hits is not None
    assert made["campaign recall"].hits >= 2
    assert made["account recall"].value >= 0.6
    assert made["account precision"].value >= 0.85
    assert made["innocents swept"].value <= 0.02


def test_no_detector_sees_a_label(tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a detector is given holds no label, measured once or day by day."""
    monkeypatch.setitem(DETECTORS, "nosy", Nosy())
    for kind in ("measure", "daily"):
        cell = Cell(Scene("tiny", 2), kind, "nosy", hours=120)  # type: ignore[arg-type]
        result = carry_out(Order(str(tiny.path), cell=cell, work=str(tmp_path / "work")))
        assert result["cpu_seconds"] >= 0
    assert Nosy.looked == [0, 0, 0]


def test_a_run_measures_resumes_and_compares(tmp_path: Path) -> None:
    """A run writes three pages; the same run again takes its cells from the first; it is no worse than itself."""
    out = tmp_path / "out"
    first = CliRunner().invoke(app, ["bench", *SMALL, "--out", str(out)])
    assert first.exit_code == 0, first.output
    cell = next((out / "cells").glob("*.json"))
    before = cell.stat().st_mtime_ns
    assert sorted(file.name for file in out.iterdir() if file.is_dir()) == ["cells"]
    again = ["bench", *SMALL[:-1], "--out", str(out), "--baseline", str(out / "scorecard.json")]
    second = CliRunner().invoke(app, again)
    assert second.exit_code == 0, second.output
    assert "0 worse, 0 better" in second.output
    assert cell.stat().st_mtime_ns == before
    assert pages.load(out / "scorecard.json").cells[0].result is not None


def test_a_cell_that_fails_is_named(card: Scorecard) -> None:
    """A peer that could not run does not hide: where it fails says so."""
    broken = [Scored(one.entry, error="MemoryError") for one in card.cells]
    assert "did not finish (worlds): MemoryError" in pages.markdown(msgspec.structs.replace(card, cells=broken))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to measure"),
        (["--plan", "huge"], "known are quick, standard, full"),
        (["--worlds", "atlantis:1"], "atlantis"),
        (["--worlds", "tiny:1", "--detectors", "oracle"], "no detector 'oracle'"),
        (["--worlds", "tiny:1", "--calibrate-on", "tiny:1"], "among the measured ones"),
        (["--sweep", "luck"], "known are wording"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(options: list[str], said: str, tmp_path: Path) -> None:
    """A wrong name is one clear line, and nothing is written."""
    done = CliRunner().invoke(app, ["bench", *options, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_pages_hold_every_table_and_load_nothing(card: Scorecard, tmp_path: Path) -> None:
    """Markdown rows are as wide as their header; the page has a curve, no script and no address to load from."""
    written = pages.write_pages(card, tmp_path)
    assert pages.dump(pages.load(written[0])) == pages.dump(card)
    for block in re.findall(r"(?:^\|.*\n)+", written[1].read_text(encoding="utf-8"), re.M):
        assert len({row.count("|") for row in block.splitlines()}) == 1
    page = written[2].read_text(encoding="utf-8")
    assert "<svg" in page
    assert not re.search(r"<script|https?://|url\(", page)


def test_a_page_is_filled_between_its_marks(card: Scorecard, tmp_path: Path) -> None:
    """What stands before and after the marks stays, twice as well as once; a page without marks is an error."""
    page = tmp_path / "page.md"
    page.write_text("# Title\n<!-- scorecard:begin (filled) -->\nwhat stood here\n<!-- scorecard:end -->\nafter\n")
    pages.write_docs(card, page)
    once = page.read_text()
    pages.write_docs(card, page)
    assert page.read_text() == once
    assert once.startswith("# Title\n<!-- scorecard:begin (filled) -->\n")
    assert once.endswith("<!-- scorecard:end -->\nafter\n")
    assert "what stood here" not in once
    page.write_text("# Title\n")
    with pytest.raises(DatasetError, match="scorecard:begin"):
        pages.write_docs(card, page)


def test_only_a_fall_beyond_both_intervals_is_worse(card: Scorecard) -> None:
    """Half of the campaigns lost in many worlds is worse; the same in one world is noise; more swept in is worse."""
    figure = card.figures["worlds/tiny/stillwatch"]["campaign recall"]

    def with_figure(name: str, value: float, interval: tuple[float, float] | None, better: str) -> Scorecard:
        changed = msgspec.structs.replace(figure, value=value, interval=interval, better=better)
        return msgspec.structs.replace(card, figures={"worlds/tiny/stillwatch": {name: changed}})

    good = with_figure("recall", 0.95, (0.9, 0.99), "higher")
    bad = with_figure("recall", 0.5, (0.4, 0.6), "higher")
    noisy = with_figure("recall", 0.5, (0.1, 0.95), "higher")
    assert [change.worse for change in changes(good, bad)] == [True]
    assert [change.worse for change in changes(bad, good)] == [False]
    assert changes(good, noisy) == []
    few, many = (with_figure("swept", share, (share / 2, share * 2), "lower") for share in (0.001, 0.1))
    assert [change.worse for change in changes(few, many)] == [True]
    assert "1 worse, 0 better" in compared(few, many)


def test_a_worse_run_ends_in_error(card: Scorecard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends with exit code 4 when a figure fell beyond both intervals."""
    now, before = (
        msgspec.structs.replace(card, figures={"worlds/tiny/stillwatch": {"AUC": figure}})
        for figure in (Figure(0.4, (0.3, 0.5)), Figure(0.9, (0.8, 1.0)))
    )
    (tmp_path / "before.json").write_text(pages.dump(before))
    monkeypatch.setattr("stillwatch.evaluate.bench.bench", lambda *_, **__: now)
    command = ["bench", *SMALL, "--out", str(tmp_path), "--baseline", str(tmp_path / "before.json")]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, GotWorse)
    assert done.exception.exit_code == 4


def test_the_committed_baseline_can_be_compared_with() -> None:
    """The baseline is a scorecard of this schema with figures of worlds and of null worlds."""
    before = pages.load(BASELINE)
    parts = {name.split("/")[0] for name in before.figures}
    assert {"worlds", "null"} <= parts
    assert changes(before, before) == []
    assert all(one.result is not None for one in before.cells)
