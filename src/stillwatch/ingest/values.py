"""A stream of JSON objects, in arrays or not, over any number of lines, one object in memory at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from stillwatch.ingest.reader import Record, Rejected
from stillwatch.ingest.streams import Broken

_BETWEEN = re.compile(r"[\s,\[\]\ufeff]*")
_NEXT_OBJECT = re.compile(r"\n\s*[\[{]")
_NEAR_END = 1 << 16


def json_values(name: str, blocks: Iterator[bytes], limit: int) -> Iterator[Record | Rejected]:
    r"""Yield every object of a JSON array, of arrays one after another, or of values over several lines.

    Brackets and commas between objects are passed over, so an array that breaks in one element goes on with the
    next line that begins an object. Raises :class:`Broken` when the text ends inside an object, when no further
    object can be found, or when one is longer than ``limit`` characters.

    >>> text = b'[{"a": 1},\n {"a": 2}]\n[{"a": 3}]'
    >>> [(record.value["a"], record.line) for record in json_values("a.json", iter([text[:7], text[7:]]), 100)]
    [(1, 1), (2, 2), (3, 3)]
    """
    scan = _Scan(name, limit)
    unpack = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for block in blocks:
        scan.add(unpack.decode(block))
        yield from scan.complete(last=False)
    scan.add(unpack.decode(b"", final=True))
    yield from scan.complete(last=True)


class _Scan:
    """The text not yet understood, and the line it begins on."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit = name, limit
        self.text, self.line, self._counted = "", 1, 0
        self._scan = json.JSONDecoder().raw_decode

    def add(self, text: str) -> None:
        self.text += text

    def complete(self, *, last: bool) -> Iterator[Record | Rejected]:
        """Yield what is whole, keep the rest."""
        position = 0
        while True:
            position = self._skip(position)
            if position >= len(self.text):
                break
            try:
                value, end = self._scan(self.text, position)
            except (json.JSONDecodeError, RecursionError, ValueError) as error:
                at = error.pos if isinstance(error, json.JSONDecodeError) else position
                if not last and self._may_be_cut(error, at, position):
                    break
                yield self._reject(error, at, position)
                position = self._resume(max(at, position + 1), position, last=last)
                continue
            yield self._record(value, position, end)
            position = end
        self.line, self._counted = self._line_at(position), 0
        self.text = self.text[position:]

    def _skip(self, position: int) -> int:
        match = _BETWEEN.match(self.text, position)
        return match.end() if match else position

    def _line_at(self, position: int) -> int:
        """Return the line of a position; counts on from the last one asked for, as records come in order."""
        if position >= self._counted:
            self.line += self.text.count("\n", self._counted, position)
            self._counted = position
            return self.line
        return self.line - self.text.count("\n", position, self._counted)

    def _may_be_cut(self, error: Exception, at: int, position: int) -> bool:
        """Say whether more text could mend the value: it breaks near the end, or inside an open string."""
        unfinished = isinstance(error, json.JSONDecodeError) and error.msg.startswith("Unterminated")
        cut = unfinished or at > len(self.text) - _NEAR_END
        if cut and len(self.text) - position > self.limit:
            long = f"a JSON value is longer than {self.limit / (1 << 20):g} MB"
            raise Broken(long, path=self.name, line=self._line_at(position))
        return cut

    def _record(self, value: object, position: int, end: int) -> Record | Rejected:
        record = Record(value, self.name, self._line_at(position))
        text = self.text[position:end]
        try:
            if not text.isascii():
                text.encode()
        except UnicodeEncodeError as error:
            raw = text.encode("utf-8", "surrogateescape")
            return Rejected(record._replace(value=None, raw=raw), "not UTF-8", error.start + 1)
        return record

    def _reject(self, error: Exception, at: int, position: int) -> Rejected:
        line = self._line_at(at)
        column = at - self.text.rfind("\n", 0, at)
        message = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raw = self.text[position : position + 4096].encode("utf-8", "surrogateescape")
        return Rejected(Record(None, self.name, line, raw), f"not JSON: {message[:1].lower()}{message[1:]}", column)

    def _resume(self, at: int, start: int, *, last: bool) -> int:
        """Find the next line that begins an object; without one the rest of the file cannot be read."""
        found = _NEXT_OBJECT.search(self.text, at)
        if found is None:
            rest = "ends inside a value" if last else "breaks and no later object can be found"
            raise Broken(f"the JSON text {rest}", path=self.name, line=self._line_at(start))
        return found.end() - 1
