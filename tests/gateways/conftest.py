"""The model and the node that all gateways stand between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .model import Model, serving_model
from .node import Node
from .processes import running


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the node."""
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the configurations and logs of one module's servers."""
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="session")
def node(node_folder: Path) -> Iterator[Node]:
    """Run one gateway node for all modules; a test that stops it starts it again."""
    with running(Node(node_folder)) as started:
        assert isinstance(started, Node)
        yield started


@pytest.fixture(scope="session")
def served() -> Iterator[Model]:
    """Run a model server."""
    with serving_model() as started:
        yield started


@pytest.fixture
def model(served: Model) -> Model:
    """Return the model server with an empty memory."""
    served.seen.clear()
    served.stepwise, served.permits = False, None
    return served
