"""Small worlds with one planted group: what the tests of the peers share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stillwatch.errors import ConfigError
from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.peers.packages import peers_python
from stillwatch.tables import Dataset, DatasetWriter

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 20_600 * DAY
CROWD, GROUP, ASKED = 60, 12, 12

Row = dict[str, Any]
Change = Callable[[Row, int, int], Row]
PACKAGES = ("toolkit-60s", "toolkit-600s", "honeypotllm", "splink")


def words(rng: np.random.Generator, count: int, first: int = 0, kinds: int = 400) -> str:
    """Return made-up words, of ``kinds`` ones from the ``first``."""
    drawn = rng.integers(first, first + kinds, count)
    return " ".join(
        f"{'bdfglmnprstvz'[i % 13]}{'aeiou'[i // 13 % 5]}{'klmnrst'[i // 65 % 7]}o{'xyhjq'[i // 455]}" for i in drawn
    )


class Plan:
    """Sixty strangers and a group of twelve; ``asked`` and ``person`` change the group's rows before they are written.

    ``asked(row, member, number)`` gets each exchange of the group, ``person(row, member)`` each account of it, and
    ``each`` is how many exchanges a member has; ``everyone`` applies both to the strangers too.
    """

    def __init__(
        self,
        asked: Change = lambda row, member, number: row,
        person: Callable[[Row, int], Row] = lambda row, member: row,
        *,
        each: int = ASKED,
        everyone: bool = False,
    ) -> None:
        """Keep what the group does."""
        self.asked, self.person, self.each, self.everyone = asked, person, each, everyone

    def write(self, folder: Path, seed: int) -> Dataset:
        """Write the world, labels included."""
        rng = np.random.default_rng(seed)
        rows, people = [], []
        for number in range(CROWD + GROUP):
            member = number - CROWD
            planted = member >= 0 or self.everyone
            person = self._person(rng, number)
            people.append(self.person(person, max(member, number % GROUP)) if planted else person)
            for nth in range(self.each if planted else ASKED):
                row = self._row(rng, number, nth)
                rows.append(self.asked(row, member % GROUP, nth) if planted else row)
        with DatasetWriter(folder) as writer:
            writer.add_exchanges(pa.Table.from_pylist(rows))
            writer.set_accounts(pa.Table.from_pylist(people))
            names = [person["account_id"] for person in people]
            guilty = pa.array(["planted" if n >= CROWD else None for n in range(len(names))], pa.string())
            population = ["campaign" if n >= CROWD else "ordinary" for n in range(len(names))]
            asked = pa.array(["planted" if row["account_id"] in names[CROWD:] else None for row in rows], pa.string())
            labels = pa.table({"account_id": names, "population": population, "campaign_id": guilty})
            ids = [row["exchange_id"] for row in rows]
            writer.set_labels(labels, pa.table({"exchange_id": ids, "campaign_id": asked}))
            writer.commit()
        return Dataset.open(folder)

    @staticmethod
    def _person(rng: np.random.Generator, number: int) -> Row:
        return {
            "account_id": f"a{(number * 37) % 72:03d}",
            "created_at": START - int(rng.integers(1, 90 * DAY)),
            "email_domain": "mail.example",
            "payment_hash": f"p{number}",
            "payment_bin": f"b{rng.integers(5)}",
            "device_hash": f"d{number}",
            "phone_hash": f"t{number}",
            "billing_country": ["DE", "BR", "IN"][rng.integers(3)],
        }

    @staticmethod
    def _row(rng: np.random.Generator, number: int, nth: int) -> Row:
        return {
            "exchange_id": f"e{number}-{nth}",
            "account_id": f"a{(number * 37) % 72:03d}",
            "ts": START + int(rng.integers(0, 10 * DAY)),
            "model": "m",
            "prompt_text": words(rng, 14),
            "ip_prefix": f"10.0.{number}.0/24",
            "user_agent": f"client/{rng.integers(6)}",
            "input_tokens": int(rng.integers(50, 400)),
            "output_tokens": int(rng.integers(50, 400)),
        }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Dataset]:
    """Return a function that writes a plan as a dataset."""
    count = iter(range(100))
    return lambda plan, seed=1: plan.write(tmp_path / f"world-{next(count)}", seed)


@pytest.fixture
def need() -> Callable[[str], None]:
    """Return a function that skips where a package's test has no environment to run in; in CI it fails."""

    def demand(name: str) -> None:
        if not name.startswith(PACKAGES):
            return
        try:
            peers_python()
        except ConfigError as error:
            if "CI" in os.environ:
                raise
            pytest.skip(str(error))

    return demand


def singled_out(found: Findings, dataset: Dataset) -> bool:
    """Say whether some reported group is the planted one: most of its members, and few others."""
    names, groups = (found.accounts[name].to_pylist() for name in ("account_id", "group"))
    planted = {row["account_id"] for row in dataset.labels()[0].to_pylist() if row["campaign_id"]}
    held: dict[str, set[str]] = {}
    for name, group in zip(names, groups, strict=True):
        if group:
            held.setdefault(group, set()).add(name)
    return any(len(g & planted) >= 0.75 * len(planted) and len(g & planted) >= 0.75 * len(g) for g in held.values())
