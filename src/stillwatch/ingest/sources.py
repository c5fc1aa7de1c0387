"""From what the user typed (files, folders, globs) to the files to read, in a stable order."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stillwatch.errors import InputError

KNOWN = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".pb", ".binpb", ".otlp", ".log")
PACKED = (".gz", ".zst", ".zstd")
_NOT_LOGS = {"labels", "rejects", "coverage"}


class SourceFile(NamedTuple):
    """A file to read and the name that rows and rejects carry for it, which holds no machine's folders."""

    path: Path
    name: str


def find_files(sources: Iterable[str | Path]) -> list[SourceFile]:
    """Expand files, folders (searched through, by known endings) and globs.

    Folders named labels, rejects and coverage, and files that begin with a dot, are no logs and are passed over.
    A file named twice is read once.

    Raises :class:`InputError` for a source that is not there or a folder that holds nothing readable.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.jsonl", "a.csv.gz", "notes.md"):
    ...         Path(folder, name).touch()
    ...     [file.name.split("/")[1] for file in find_files([folder])]
    ['a.csv.gz', 'b.jsonl']
    """
    found: dict[Path, SourceFile] = {}
    for source in sources:
        for file in _expand(source):
            found.setdefault(file.path.resolve(), file)
    return list(found.values())


def _expand(source: str | Path) -> list[SourceFile]:
    path = Path(source)
    if path.is_file():
        return [SourceFile(path, path.name)]
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_log(file.relative_to(path))]
        if not files:
            raise InputError(f"the folder holds no log (known endings: {', '.join(KNOWN)}, packed or not)", path=path)
        base = path.resolve().name
        return [SourceFile(file, f"{base}/{file.relative_to(path).as_posix()}") for file in files]
    matches = sorted(glob.glob(str(source), recursive=True))  # noqa: PTH207 - patterns may be absolute
    if not matches:
        raise InputError("no such file or folder, and no match as a pattern", path=path)
    return [file for match in matches if not Path(match).name.startswith(".") for file in _expand(match)]


def _is_log(relative: Path) -> bool:
    if any(part.startswith(".") or part in _NOT_LOGS for part in relative.parts):
        return False
    if relative.name == "coverage.json":
        return False
    suffixes = [suffix.lower() for suffix in relative.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in KNOWN
