"""The seed world: the reported proportions at any scale, room on disk asked for first, and nothing half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stillwatch.cli.app import app
from stillwatch.cli.simulate import simulate_command  # noqa: F401 - registers the command
from stillwatch.errors import DatasetError
from stillwatch.simulate import Made, Summary, load_world, make_world, space, write_dataset, write_logs
from stillwatch.simulate.chance import key_of, named
from stillwatch.simulate.day import Sent, pieces, send
from stillwatch.simulate.rows import compose
from stillwatch.simulate.truth import Truth
from stillwatch.tables import Dataset

HOUR_US = 3_600_000_000
RUN = CliRunner()


def small_tiny() -> Made:
    """Return a few days of a tenth of the tiny world."""
    return make_world(load_world("tiny", scale=0.1, settings=["world.days=3"]), seed=5)


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Summary, Made]:
    """Write a 2,000th of the seed world in six days, a model launched on the third."""
    folder = tmp_path_factory.mktemp("seed")
    given = ["world.days=6", "world.launches={ aster-3 = 2.5 }"]
    made = make_world(load_world("seed", scale=0.0005, settings=given), seed=1)
    summary = write_dataset(made, folder)
    return Dataset.open(folder), summary, made


def test_the_seed_world_is_of_the_reported_size() -> None:
    """24,000 accounts with the successors of banned ones, 16.55 million exchanges, five times as many of innocents."""
    world = load_world("seed")
    fleets = [(count, population.campaign) for population, count in world.campaigns]
    assert sum(count + round(count * knobs.banned) for count, knobs in fleets if knobs) == 24_000
    assert [knobs.exchanges for _, knobs in fleets if knobs] == [150_000, 3_400_000, 13_000_000]
    assert sum(count for _, count in world.populations) == 276_000
    assert world.exchanges == 5 * 16_550_000


def test_a_small_scale_keeps_the_proportions(seed: tuple[Dataset, Summary, Made]) -> None:
    """Accounts and exchanges shrink together, and each campaign keeps its share of the exchanges."""
    _, summary, made = seed
    wanted = {"reasoning": 75, "low_and_slow": 1_700, "launch_pivot": 6_500}
    assert set(summary.campaign_exchanges) == set(wanted)
    for name, count in wanted.items():
        assert summary.campaign_exchanges[name] == pytest.approx(count, rel=0.3), name
    assert sum(summary.exchanges.values()) == pytest.approx(made.exchanges, rel=0.15)
    own = sum(summary.campaign_exchanges.values())
    assert 4.2 < (sum(summary.exchanges.values()) - own) / own < 6.5
    assert sum(summary.accounts.values()) == pytest.approx(150, rel=0.3)


def test_half_of_the_large_campaign_moves_to_a_new_model_within_a_day(seed: tuple[Dataset, Summary, Made]) -> None:
    """The campaign of 13 million turns about half of its traffic in the first day; the innocents do not."""
    dataset = seed[0]
    truth = dataset.labels()[1]
    table = pa.Table.from_batches(list(dataset.batches(["exchange_id", "ts", "model"]))).join(truth, "exchange_id")
    released = dataset.launches()["released_at"].cast(pa.int64())[0].as_py()
    age = (table["ts"].cast(pa.int64()).to_numpy() - released) / HOUR_US
    new, day = np.array(table["model"].to_pylist()) == "aster-3", (age > 8) & (age < 24)
    whose = np.array(table["campaign_id"].fill_null("").to_pylist())
    assert new[day & (whose == "launch_pivot")].mean() > 0.45
    assert new[day & (whose == "")].mean() < 0.4
    assert not new[age < 0].any()


def test_an_exchange_is_the_same_in_whatever_piece_it_is_written() -> None:
    """Pieces of 97 exchanges, put together, are the day written in one go; none is larger, all in order of time."""
    made = small_tiny()
    day_us = made.days()[1]
    launches = list(made.launches.values())
    day = [sent for stream in made.streams if (sent := send(stream, day_us, launches, made.seed))]

    def written(part: list[Sent]) -> pa.Table:
        made_of = [compose(sent, made.world, made.launches, day_us) for sent in part]
        return pa.concat_tables(made_of).sort_by([("ts", "ascending"), ("exchange_id", "ascending")])

    parts = [written(part) for part in pieces(day, 97)]
    assert {part.num_rows for part in parts[:-1]} == {97}
    assert pa.concat_tables(parts).combine_chunks() == written(day).combine_chunks()


@given(st.lists(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from([None, "a", "b", "c"])), max_size=20)))
@settings(max_examples=40, deadline=None)
def test_the_truth_comes_back_in_order_of_ids(given: list[list[tuple[int, str | None]]]) -> None:
    """What was kept in pieces is what sorting all in memory gives."""
    with Truth(Path.cwd()) as truth:
        tables = [
            pa.table(
                {
                    "exchange_id": named("ex_", np.array([key for key, _ in part], np.uint64)),
                    "campaign_id": pa.array([name for _, name in part], pa.string()),
                }
            )
            for part in given
        ]
        for table in tables:
            truth.add(table)
        found = truth.reader().read_all()
    pairs = sorted((f"ex_{key:016x}", name or "") for part in given for key, name in part)
    assert (
        sorted(zip(found["exchange_id"].to_pylist(), found["campaign_id"].fill_null("").to_pylist(), strict=True))
        == pairs
    )
    assert found["exchange_id"].to_pylist() == [name for name, _ in pairs]


@given(st.lists(st.integers(0, 2**64 - 1)), st.text("abc_", max_size=5), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_names_and_keys_are_one_to_one(keys: list[int], prefix: str, skip: int) -> None:
    """A key comes back from its name, also in a slice of the names."""
    names = named(prefix, np.array(keys, np.uint64))
    assert names.to_pylist() == [f"{prefix}{key:016x}" for key in keys]
    assert key_of(names.slice(skip)).tolist() == keys[skip:]


def test_too_little_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The message says what is needed and what is free; enough room is taken without a word."""
    made = small_tiny()
    need = space(made, tmp_path).needed
    with pytest.raises(DatasetError, match=r"needs about .* MB and 0 MB are free"):
        write_dataset(made, tmp_path / "a", free=lambda folder: 100)
    assert not (tmp_path / "a").exists()
    write_dataset(made, tmp_path / "a", free=lambda folder: need)
    assert Dataset.open(tmp_path / "a").count_exchanges() > 0


@pytest.mark.parametrize("form", ["", "litellm", "csv"])
def test_the_announced_room_is_enough_and_not_far_off(form: str, tmp_path: Path) -> None:
    """What is written takes between two fifths and all of the estimate, as a dataset and as logs."""
    made = make_world(load_world("tiny", scale=0.3, settings=["world.days=3"]), seed=1)
    if form:
        write_logs(made, tmp_path, form)
    else:
        write_dataset(made, tmp_path)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert 0.4 < size / space(made, tmp_path, form).needed <= 1.0


def test_the_command_says_what_the_world_needs(tmp_path: Path) -> None:
    """Exchanges, bytes needed and bytes free on stderr and in --json; nothing with --quiet."""
    arguments = ["simulate", "seed", "--scale", "0.0001", "--set", "world.days=1", "--json", "--out"]
    said = RUN.invoke(app, [*arguments, str(tmp_path / "a")])
    quiet = RUN.invoke(app, [*arguments, str(tmp_path / "b"), "--quiet"])
    assert "exchanges of" in said.stderr
    assert "free)" in said.stderr
    assert not quiet.stderr
    disk = json.loads(said.stdout)["disk"]
    assert 0 < disk["needed"] < disk["free"]


def test_a_world_that_is_interrupted_leaves_nothing_that_opens(tmp_path: Path) -> None:
    """After Ctrl-C in the middle there is no dataset; the same world can then be written there."""
    command = [sys.executable, "-m", "stillwatch.cli", "simulate", "tiny", "--out", str(tmp_path / "w"), "--quiet"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    while running.poll() is None and not list(tmp_path.glob("w/.staging/*.parquet")):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode != 0
    with pytest.raises(DatasetError, match="holds no dataset"):
        Dataset.open(tmp_path / "w")
    assert not list((tmp_path / "w").rglob("*.parquet"))
    write_dataset(small_tiny(), tmp_path / "w")
    assert pc.min(Dataset.open(tmp_path / "w").accounts()["created_at"]).is_valid


def test_replacing_a_world_is_all_or_nothing(tmp_path: Path) -> None:
    """Interrupted, the earlier world is still whole; carried through, nothing of it is left."""
    made = small_tiny()
    write_dataset(make_world(load_world("tiny", scale=0.1, settings=["world.days=4"]), seed=9), tmp_path / "w")
    before = tree(tmp_path / "w")

    def stop(stage: str, done: int, total: int | None = None, unit: str = "rows") -> None:
        if stage == "simulate" and done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(made, tmp_path / "w", replace=True, progress=stop)
    assert tree(tmp_path / "w") == before
    write_dataset(made, tmp_path / "w", replace=True)
    write_dataset(made, tmp_path / "fresh")
    assert tree(tmp_path / "w") == tree(tmp_path / "fresh") != before


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
