"""From sources to outcomes: which reader gets which file, and the stream of rows, rejects and skips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from stillwatch.errors import ConfigError, InputError
from stillwatch.ingest.catalogue import READERS, recognise
from stillwatch.ingest.containers import Limits, container_of, first_values, json_line, records
from stillwatch.ingest.fieldmap import FieldMap
from stillwatch.ingest.identity import IdentityMap, default_identity
from stillwatch.ingest.lanes import AT_ONCE, Block, Lane
from stillwatch.ingest.networks import Networks
from stillwatch.ingest.places import nearest
from stillwatch.ingest.reader import Mapper, Outcome, Plan, Reader, Record, Rejected, Table, kind_of
from stillwatch.ingest.sources import SourceFile, find_files
from stillwatch.ingest.streams import Broken, Line, chunks, lines


@dataclass(frozen=True, slots=True)
class Options:
    """How to read. ``form`` names a reader for every log file (None: told by content).

    ``accounts`` and ``launches`` are extra files of those tables. ``max_reject_share`` (0 to 1) is the share of
    rejected rows of any table above which a run ends in an error. ``allow_truncated`` takes the rows before the
    break of a damaged file. ``join_window`` bounds the halves waiting for each other.
    """

    form: str | None = None
    field_map: FieldMap | None = None
    identity: IdentityMap = field(default_factory=default_identity)
    accounts: tuple[Path, ...] = ()
    launches: tuple[Path, ...] = ()
    networks: Networks | None = None
    content_free: bool = False
    max_reject_share: float = 0.05
    allow_truncated: bool = False
    limits: Limits = field(default_factory=Limits)
    join_window: int = 100_000


class Input(NamedTuple):
    """A file, its container and its reader; an empty file has none."""

    file: SourceFile
    container: str
    reader: Reader | None


def find_inputs(sources: Iterable[str | Path], options: Options) -> list[Input]:
    """Find the files and tell container and format of each.

    Raises :class:`InputError` for a file that no reader recognises, :class:`ConfigError` for an unknown format.
    """
    if options.form is not None and options.form not in READERS:
        raise ConfigError(f"unknown format {options.form!r}: {nearest(options.form, READERS)}")
    extra = {"accounts": options.accounts, "launches": options.launches}
    found = [_recognised(file, options) for file in find_files(sources)]
    for table, paths in extra.items():
        for file in find_files(paths):
            mapped = options.field_map is not None and table in options.field_map.tables
            container = container_of(file)
            reader = None if container == "empty" else READERS[f"map-{table}" if mapped else table]
            found.append(Input(file, container, reader))
    if not found:
        raise InputError("nothing to read: no source given")
    if all(one.reader is None for one in found):
        raise InputError(
            f"nothing to read: {'every source' if len(found) > 1 else 'the source'} is empty", path=found[0].file.name
        )
    return found


def _recognised(file: SourceFile, options: Options) -> Input:
    container = container_of(file)
    if container == "empty":
        return Input(file, container, None)
    stem = file.path.name.split(".", 1)[0]
    if stem not in ("accounts", "launches"):
        if options.form is not None:
            return Input(file, container, READERS[options.form])
        if options.field_map is not None and "exchanges" in options.field_map.tables:
            return Input(file, container, READERS["map"])
    values = first_values(file, container, options.limits)
    reader = recognise(values)
    if reader is None:
        raise InputError(_not_recognised(values), path=file.name)
    return Input(file, container, reader)


def _not_recognised(values: list[object]) -> str:
    if not values:
        return "no readable record among the first lines"
    seen = values[0]
    held = f"members {', '.join(sorted(map(str, seen))[:12])}" if isinstance(seen, dict) else kind_of(seen)
    return f"format not recognised (first record: {held}); name one with --format or describe it with --map"


@dataclass(slots=True)
class Reading:
    """A run's way through its files, counting as it goes."""

    inputs: list[Input]
    options: Options
    moved: Callable[[int], None] = lambda _: None
    truncated: list[str] = field(default_factory=list)
    _mappers: dict[str, Mapper] = field(default_factory=dict)

    def outcomes(self, *, limit: int | None = None) -> Iterator[tuple[Table, Outcome | Block]]:
        """Yield every outcome with the table it is for, files in order, then what waited for its other half.

        Lines that a reader's fast lane takes come in blocks. ``limit`` stops each file after so many records, and
        takes no lane (for a preview). Raises
        :class:`~stillwatch.ingest.streams.Broken` at the break of a damaged file, unless truncated files are
        allowed: then its name goes to ``truncated``.
        """
        for one in self.inputs:
            if one.reader is not None:
                yield from self._file(one, one.reader, limit)
        for name, mapper in self._mappers.items():
            for outcome in mapper.finish():
                yield READERS[name].table, outcome

    def _file(self, one: Input, reader: Reader, limit: int | None) -> Iterator[tuple[Table, Outcome | Block]]:
        plan = Plan(self.options.identity, self.options.field_map, self.options.join_window)
        if reader.name not in self._mappers:
            self._mappers[reader.name] = reader.open(plan)
        mapper, table = self._mappers[reader.name], reader.table
        usual = reader.lane and limit is None and one.container == "ndjson"
        lane = reader.lane(plan) if reader.lane and usual else None
        try:
            if lane:
                for found_by_lane in self._by_lane(one, lane, mapper):
                    yield table, found_by_lane
                return
            for seen, found in enumerate(self._records(one)):
                if limit is not None and seen >= limit:
                    return
                if isinstance(found, Rejected):
                    yield table, found
                else:
                    for outcome in mapper.feed(found):
                        yield table, outcome
        except Broken as error:
            if not self.options.allow_truncated:
                hint = f"{error.message} (--allow-truncated takes the rows before the break)"
                raise Broken(hint, path=error.path, line=error.line, column=error.column) from error
            self.truncated.append(str(error))

    def _by_lane(self, one: Input, lane: Lane, mapper: Mapper) -> Iterator[Outcome | Block]:
        """Yield blocks of the lines that the lane takes, and outcomes of the others, in order."""
        held: list[tuple[Line, Any]] = []
        try:
            for line in lines(chunks(one.file.path, self.moved), self.options.limits.line_bytes):
                taken = None if line.too_long else lane.takes(line.data)
                if taken is not None:
                    held.append((line, taken))
                if held and (taken is None or len(held) == AT_ONCE):
                    yield self._block(one, lane, mapper, held)
                    held = []
                if taken is None:
                    yield from self._one_by_one(one, mapper, [line])
        except Broken as error:
            if held:
                yield self._block(one, lane, mapper, held)
            raise Broken(error.message, path=one.file.name, line=error.line, column=error.column) from error
        if held:
            yield self._block(one, lane, mapper, held)

    def _block(self, one: Input, lane: Lane, mapper: Mapper, held: list[tuple[Line, Any]]) -> Block:
        taken = [line for line, _ in held]
        columns = lane.columns([value for _, value in held])
        return Block(
            columns, one.file.name, [line.number for line in taken], lambda: self._one_by_one(one, mapper, taken)
        )

    def _one_by_one(self, one: Input, mapper: Mapper, taken: list[Line]) -> Iterator[Outcome]:
        for line in taken:
            for found in json_line(one.file.name, line, self.options.limits):
                if isinstance(found, Rejected):
                    yield found
                else:
                    yield from mapper.feed(found)

    def _records(self, one: Input) -> Iterator[Record | Rejected]:
        return records(one.file, one.container, self.options.limits, self.moved)
