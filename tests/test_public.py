"""What the package promises: its version, its folders, its console script, and that importing it is light."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

import stillwatch

SOURCE = Path(stillwatch.__file__).parent
FOLDERS = (
    "attribution",
    "campaigns",
    "cases",
    "cli",
    "evaluate",
    "ingest",
    "linkage",
    "response",
    "service",
    "signals",
    "simulate",
    "tables",
)


def modules() -> list[str]:
    """Return the names of all modules of the package that people wrote."""
    found = (m.name for m in pkgutil.walk_packages([str(SOURCE)], "stillwatch."))
    return sorted(name for name in found if not name.endswith(("__main__", "_pb2")))


def test_the_version_is_that_of_the_distribution() -> None:
    """One number, wherever it is read."""
    assert stillwatch.__version__ == metadata.version("stillwatch")


def test_the_console_script_is_the_command_line() -> None:
    """`stillwatch` is installed and points at main."""
    (script,) = metadata.entry_points(group="console_scripts", name="stillwatch")
    assert script.value == "stillwatch.cli:main"


def test_the_stages_are_folders() -> None:
    """The folders of the architecture, no more: each appears when it has working code."""
    assert tuple(sorted(p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists())) == FOLDERS


def test_the_main_job_is_importable_by_name() -> None:
    """The functions that the README calls have these names and take what they say."""
    from stillwatch.cases.scan import ScanSettings, scan
    from stillwatch.ingest import ingest
    from stillwatch.simulate import load_world, simulate
    from stillwatch.tables import Dataset, DatasetWriter

    assert list(inspect.signature(scan).parameters)[:2] == ["dataset", "out"]
    assert list(inspect.signature(ingest).parameters)[:2] == ["sources", "into"]
    assert all(callable(one) for one in (ScanSettings, load_world, simulate, Dataset, DatasetWriter))


@pytest.mark.parametrize(
    "folder", [name for name in FOLDERS if (SOURCE / name / "__init__.py").read_text().count("__all__")]
)
def test_all_that_is_promised_is_there(folder: str) -> None:
    """Every name in a folder's ``__all__`` can be imported from it, and is documented."""
    package = importlib.import_module(f"stillwatch.{folder}")
    for name in package.__all__:
        value = getattr(package, name)
        assert not inspect.isfunction(value) or inspect.getdoc(value), name


@pytest.mark.parametrize("name", modules())
def test_public_functions_say_what_they_do(name: str) -> None:
    """Every public module, class and function of the package has a docstring of its own."""
    module = importlib.import_module(name)
    assert module.__doc__
    for member, value in public(module):
        assert value.__doc__, f"{name}.{member}"


def public(module: ModuleType) -> list[tuple[str, object]]:
    """Return the public functions and classes that a module defines itself."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("heavy", ["numba", "duckdb", "networkit", "rich"])
def test_importing_the_package_is_light(heavy: str) -> None:
    """`import stillwatch` brings in nothing heavy."""
    code = f"import sys, stillwatch; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_source_names_a_machine() -> None:
    """No absolute path of anybody's machine and no work left undone stands in the sources."""
    bad = re.compile(r"(?<![\w.])/(?:home|root|tmp|work)/|\bTO" + r"DO\b|\bFIX" + r"ME\b")
    for file in sorted(SOURCE.rglob("*.py")):
        assert not bad.search(file.read_text(encoding="utf-8")), file.name


def test_modules_and_functions_keep_their_size() -> None:
    """At most 400 lines a module."""
    sizes = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in SOURCE.rglob("*.py")}
    assert {name: lines for name, lines in sizes.items() if lines > 400} == {}
