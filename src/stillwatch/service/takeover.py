"""From the spool and watched folders to the dataset, by `stillwatch ingest` in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import shutil
import struct
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from stillwatch.errors import InputError
from stillwatch.ingest.sources import find_files
from stillwatch.service.intake import Intake
from stillwatch.service.node import write_whole
from stillwatch.service.spool import read_segment

log = logging.getLogger("stillwatch.service")
_TRIES = 3
_INPUT_WRONG = 2


class Done(NamedTuple):
    """How a command ended: its exit code, what it printed, and its last words on stderr."""

    code: int
    out: bytes
    err: str


async def stillwatch(*arguments: str | Path, holding: Sequence[int] = ()) -> Done:
    """Run one of our commands in a process of its own, so that its memory and its faults are its own.

    ``holding`` are files that stay open (and locked) for as long as it runs, even when this process is killed.

    >>> asyncio.run(stillwatch("explain", "no-such-folder", "SW-1")).code
    2
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stillwatch.cli",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=holding,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    last = err.decode("utf-8", "replace").strip().splitlines()
    return Done(process.returncode or 0, out, last[-1] if last else "")


def freeze(dataset: Path, copy: Path) -> None:
    """Replace ``copy`` by hard links to the files of a dataset, which are never written twice, only replaced.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "data").mkdir()
    ...     Path(folder, "data", "accounts.parquet").touch()
    ...     freeze(Path(folder, "data"), Path(folder, "copy"))
    ...     [file.name for file in Path(folder, "copy").iterdir()]
    ['accounts.parquet']
    """
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for file in sorted(dataset.rglob("*")):
        place = file.relative_to(dataset)
        if file.is_file() and not any(part.startswith(".") for part in place.parts):
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            (copy / place).hardlink_to(file)


def export(segments: Iterable[Path], folder: Path) -> dict[str, list[Path]]:
    """Write the deliveries of segments as files that ``ingest`` reads; returns them by format.

    Names follow from the segments, so that rows without ids are named the same when a crash has it done again.

    >>> export([], Path("no-such-folder"))
    {}
    """
    files: dict[str, list[Path]] = {}
    for segment in segments:
        parts: dict[str, list[bytes]] = defaultdict(list)
        for delivery in read_segment(segment):
            framed = delivery.kind.endswith(".pb")
            parts[delivery.kind] += [struct.pack(">I", len(delivery.body))] if framed else []
            parts[delivery.kind] += [delivery.body] if framed else [delivery.body, b"\n"]
        for kind, pieces in parts.items():
            path = folder / f"{segment.stem}-{kind}"
            write_whole(path, b"".join(pieces))
            files.setdefault(kind.partition(".")[0], []).append(path)
    return files


class TakeOver:
    """Moves what was delivered into the dataset, exactly once, however often it is interrupted.

    ``options`` are passed to ``ingest`` (identity map, key file, content-free …). Files that ``ingest`` cannot read at
    all go to ``refused/`` after three tries, so that they do not hold up the others; ``put_aside`` counts them.

    >>> TakeOver.__name__
    'TakeOver'
    """

    def __init__(
        self, intake: Intake, home: Path, *, watched: Sequence[Path] = (), options: Sequence[str] = ()
    ) -> None:
        """``home`` holds ``data`` (the dataset), ``work`` and ``refused``."""
        self.intake, self.home, self.watched, self.options = intake, home, tuple(watched), tuple(options)
        self.dataset = home / "data"
        self.added = self.duplicates = self.rejected = self.put_aside = self.failures = 0
        self._tries: dict[Path, int] = defaultdict(int)
        self._ledger = home / "watched.json"
        self._done = self._read_ledger()
        self._marks: dict[str, tuple[int, int]] = {}
        self._writing = asyncio.Lock()

    async def step(self) -> int:
        """Take over what waits; returns the number of exchanges that were added."""
        before = self.added
        async with self.intake.lock:
            segments = await asyncio.to_thread(self.intake.spool.seal)
        async with self._writing:
            if segments:
                await self._take_segments(segments)
            await self._take_watched()
        return self.added - before

    async def frozen(self, before: Callable[[], object] = lambda: None) -> Path:
        """Return a copy of the dataset (hard links), so that a scan and the next take-over do not meet.

        ``before`` is called first, while nobody else writes.
        """
        copy = self.home / "work" / "frozen"
        async with self._writing:
            await asyncio.to_thread(before)
            await asyncio.to_thread(freeze, self.dataset, copy)
        return copy

    async def _take_segments(self, segments: list[Path]) -> None:
        by_format = await asyncio.to_thread(export, segments, self.home / "work")
        results = [await self._ingest(form, files) for form, files in sorted(by_format.items())]
        if all(results):
            async with self.intake.lock:
                await asyncio.to_thread(self.intake.spool.retire, segments)
            self.intake.on_disk = self.intake.spool.nbytes
            for file in (file for files in by_format.values() for file in files):
                file.unlink(missing_ok=True)

    async def _ingest(self, form: str | None, files: Sequence[Path]) -> bool:
        """Ingest files of one format; says whether they are dealt with (taken over, or put aside for good)."""
        form_option = ["--format", form] if form else []
        always: list[str | Path] = ["--into", self.dataset, "--max-reject-share", "1", "--allow-truncated", "--json"]
        done = await stillwatch("ingest", *files, *form_option, *always, *self.options)
        if done.code == 0:
            report = msgspec.json.decode(done.out, type=_Report)
            self.added += report.added
            self.duplicates += report.duplicates
            self.rejected += report.rejected
            return True
        self.failures += 1
        log.error("ingest failed: %s", done.err, extra={"code": done.code, "files": len(files)})
        return done.code == _INPUT_WRONG and await self._isolate(form, files)

    async def _isolate(self, form: str | None, files: Sequence[Path]) -> bool:
        """After three tries take each file alone, and put aside the one that cannot even be looked at."""
        for file in files:
            self._tries[file] += 1
        if min(self._tries[file] for file in files) < _TRIES:
            return False
        if len(files) > 1:
            return all([await self._ingest(form, [file]) for file in files])
        (file,) = files
        look = await stillwatch(
            "ingest", file, *(["--format", form] if form else []), "--into", self.dataset, "--dry-run"
        )
        if look.code != _INPUT_WRONG:
            return False  # the file can be read, so the fault is elsewhere (disk, key, another writer): go on trying
        write_whole(self.home / "refused" / file.name, file.read_bytes())
        self.put_aside += 1
        log.error("put aside: no reader takes it", extra={"file": file.name})
        return True

    async def _take_watched(self) -> None:
        """Ingest files of the watched folders that are new or changed, and have been still since the last look."""
        marks = {}
        for folder in self.watched:
            for file in _files(folder):
                found = file.stat()
                marks[str(file)] = (found.st_mtime_ns, found.st_size)
        still = [name for name, mark in marks.items() if self._marks.get(name) == mark and self._done.get(name) != mark]
        self._marks = marks
        if still and await self._ingest(None, [Path(name) for name in sorted(still)]):
            self._done |= {name: marks[name] for name in still}
            write_whole(self._ledger, msgspec.json.encode(self._done))

    def _read_ledger(self) -> dict[str, tuple[int, int]]:
        """Return which watched files were taken over; a lost ledger has them read again, and no row counted twice."""
        try:
            return msgspec.json.decode(self._ledger.read_bytes(), type=dict[str, tuple[int, int]])
        except (OSError, msgspec.MsgspecError):
            return {}


class _Report(msgspec.Struct):
    """What is read of the report that ``ingest --json`` prints."""

    added: int
    duplicates: int
    rejected: int


def _files(folder: Path) -> list[Path]:
    try:
        return [file.path for file in find_files([folder])]
    except InputError:
        return []
