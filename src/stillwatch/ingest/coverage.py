"""Which columns were filled, and from what: detectors must know which evidence is absent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stillwatch.ingest.reader import Cells
from stillwatch.tables import EXCHANGES

_OWN = ("source", "source_line")
COLUMNS = tuple(name for name in EXCHANGES.names if name not in _OWN)


@dataclass(slots=True)
class Coverage:
    """Rows added, and for each column how many were filled from which attribute.

    >>> coverage = Coverage()
    >>> coverage.count({"model": ("m", "gen_ai.request.model")})
    >>> coverage.filled("model"), "ip" in coverage.absent()
    (1, True)
    """

    rows: int = 0
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, cells: Cells, leave_out: Container[str] = ()) -> None:
        """Count one added row, but for the columns left out (those that a content-free run does not store)."""
        self.rows += 1
        sources = self.sources
        for column, (_, origin) in cells.items():
            if column not in leave_out:
                sources[column, origin] += 1

    def count_columns(self, origins: Mapping[str, Iterable[str | None]], rows: int) -> None:
        """Count added rows by the origins of each column; None is a row without it.

        >>> coverage = Coverage()
        >>> coverage.count_columns({"ip": ["client.address", None]}, 2)
        >>> coverage.rows, coverage.filled("ip")
        (2, 1)
        """
        self.rows += rows
        for column, found in origins.items():
            for origin, count in Counter(found).items():
                if origin is not None:
                    self.sources[column, origin] += count

    def filled(self, column: str) -> int:
        """Return how many rows have the column."""
        return sum(count for (name, _), count in self.sources.items() if name == column)

    def absent(self) -> list[str]:
        """Return the columns that no row has, in the order of the contract."""
        present = {name for (name, _), count in self.sources.items() if count}
        return [name for name in COLUMNS if name not in present]

    def origins(self, column: str) -> dict[str, int]:
        """Return the attributes a column came from, commonest first."""
        found = [(origin, count) for (name, origin), count in self.sources.items() if name == column and count]
        return dict(sorted(found, key=lambda pair: (-pair[1], pair[0])))

    def as_json(self) -> dict[str, Any]:
        """Return the coverage as plain data, columns in the order of the contract."""
        columns = {
            name: {"filled": self.filled(name), "from": self.origins(name)} for name in COLUMNS if self.filled(name)
        }
        return {"rows": self.rows, "columns": columns, "absent": self.absent()}


def total(runs: Iterable[Mapping[str, Any]]) -> Coverage:
    """Add up the coverage of runs, as stored.

    >>> one = {"rows": 2, "columns": {"model": {"filled": 2, "from": {"a": 2}}}}
    >>> total([one, one]).as_json()["columns"]
    {'model': {'filled': 4, 'from': {'a': 4}}}
    """
    added = Coverage()
    for run in runs:
        added.rows += int(run.get("rows", 0))
        for column, entry in run.get("columns", {}).items():
            for origin, count in entry.get("from", {}).items():
                added.sources[column, origin] += int(count)
    return added


def encoded(value: Mapping[str, Any]) -> bytes:
    r"""Return plain data as JSON for people and programs, the same bytes each time.

    >>> encoded({"a": 1})
    b'{\n  "a": 1\n}\n'
    """
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
