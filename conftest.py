"""What the examples in docstrings may use: ``example_frame()`` and the like, from a small simulated world."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from stillwatch.attribution.verdict import judge
from stillwatch.campaigns.discover import Found, discover
from stillwatch.campaigns.harvest import harvest
from stillwatch.campaigns.lineage import Lineage
from stillwatch.cases.record import Recorded
from stillwatch.linkage.groups import candidates
from stillwatch.linkage.space import Space, build_space
from stillwatch.signals.frame import Frame, read_frame
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset


@pytest.fixture(scope="session")
def _worlds_for_examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Build the world when an example first asks for it, once a process."""

    @functools.cache
    def example_dataset() -> Dataset:
        folder: Path = tmp_path_factory.mktemp("example")
        simulate(load_world("tiny"), folder, seed=1)
        return Dataset.open(folder)

    @functools.cache
    def example_frame() -> Frame:
        return read_frame(example_dataset())

    @functools.cache
    def example_space() -> Space:
        return build_space(example_frame())

    @functools.cache
    def example_found() -> Found:
        return max(discover(example_space(), candidates(example_space())), key=lambda found: found.worth)

    @functools.cache
    def example_recorded() -> Recorded:
        judged = judge(example_space(), example_found())
        return Recorded(judged, Lineage("SW-example", "new", ()), harvest(example_frame(), example_found()), [])

    return {
        "example_dataset": example_dataset,
        "example_recorded": example_recorded,
        "example_frame": example_frame,
        "example_space": example_space,
        "example_found": example_found,
    }


@pytest.fixture(autouse=True)
def _names_for_examples(doctest_namespace: dict[str, Any], _worlds_for_examples: dict[str, Any]) -> None:
    doctest_namespace.update(_worlds_for_examples)
