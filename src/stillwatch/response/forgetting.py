"""Forget accounts in the state: another name stands wherever theirs stood, and the journal still proves itself.

Measures in force for them end first. Then their id is replaced by a tombstone in every row and in every line of the
journal. The chain of hashes stays, and with it every checkpoint; one more line names each line that was rewritten with
the SHA-256 of what it now says (:func:`stillwatch.response.journal.faults` reads it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from stillwatch.response import schema
from stillwatch.response.actions import end
from stillwatch.response.journal import REWRITTEN, Entry, canonical, seal
from stillwatch.response.store import Change, Row, State

_PROSE = frozenset({"why", "reason", "answer"})
_NAMED = (schema.standings, schema.appeals, schema.verifications)


class Forgotten(msgspec.Struct, frozen=True):
    """What was changed: measures that ended, rows of tables and lines of the journal that were rewritten."""

    ended: int = 0
    rows: int = 0
    lines: int = 0


class Renaming:
    r"""Replace names: whole strings anywhere in JSON (JSON inside strings too), whole words in what people wrote.

    >>> rename = Renaming({"acct-1": "gone-7"})
    >>> rename.text('{"account_id":"acct-1","why":"acct-1 asked","body":"[\\"acct-1\\",\\"acct-10\\"]"}')
    '{"account_id":"gone-7","body":"[\\"gone-7\\",\\"acct-10\\"]","why":"gone-7 asked"}'
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        """Replace each key by its value."""
        self.names = dict(names)
        words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self._words = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.ASCII)

    def prose(self, text: str) -> str:
        """Replace names that stand as words.

        >>> Renaming({"a": "gone-7"}).prose("a and ab")
        'gone-7 and ab'
        """
        return self._words.sub(lambda match: self.names[match[0]], text)

    def text(self, text: str) -> str:
        """Replace a string that is a name, or names inside it when it is JSON."""
        if text in self.names or not text.startswith(("{", "[")):
            return self.names.get(text, text)
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
        fresh = self.value(value)
        return text if fresh == value else canonical(fresh).decode()

    def value(self, value: Any, key: str = "") -> Any:
        """Replace names in a JSON value; ``key`` is the member that holds it.

        >>> Renaming({"a": "gone-7"}).value({"a": [1, "a", "b"]})
        {'gone-7': [1, 'gone-7', 'b']}
        """
        if isinstance(value, dict):
            return {self.names.get(name, name): self.value(held, name) for name, held in value.items()}
        if isinstance(value, list):
            return [self.value(held, key) for held in value]
        if isinstance(value, str):
            return self.prose(value) if key in _PROSE else self.text(value)
        return value


def forget_accounts(state: State, tombstones: Mapping[str, str], *, who: str, why: str) -> Forgotten:
    """Replace account ids (keys) by tombstones (values) in every table and the journal; return what changed.

    The database's files are written anew afterwards. Raises :class:`~stillwatch.errors.StateError` without a name or
    a reason.

    >>> forget_accounts(State.open("sqlite://"), {"acct-1": "gone-7"}, who="anna", why="erasure request")
    Forgotten(ended=0, rows=0, lines=0)
    """
    why = Renaming(tombstones).prose(why)
    mine = [table.c.account_id.in_(list(tombstones)) for table in _NAMED]
    ended, live = 0, sa.select(schema.standings.c.standing_id).where(mine[0], schema.standings.c.ended_at.is_(None))
    if state.rows(live):
        with state.changing(who, "forget", why) as change:
            ended = end(change, mine[0])
    if not holds(state, tombstones):
        return Forgotten()
    with state.changing(who, "forget", why) as change:
        renaming = Renaming({**tombstones, **_row_names(change, tombstones)})
        rows = sum(_rewrite(change, table, renaming) for table in schema.JOURNALED)
        lines = _rewrite_journal(change, renaming)
        change.note(REWRITTEN, canonical(lines).decode())
    state.compact()
    return Forgotten(ended, rows, len(lines))


def holds(state: State, accounts: Mapping[str, str]) -> bool:
    """Say whether the state names one of these accounts anywhere.

    >>> holds(State.open("sqlite://"), {"acct-1": ""})
    False
    """
    renaming = Renaming(dict.fromkeys(accounts, "\0"))
    tables = [*schema.JOURNALED, schema.journal]
    return any(renaming.value(dict(row)) != dict(row) for table in tables for row in state.rows(sa.select(table))) or (
        any(state.rows(sa.select(table).where(table.c.account_id.in_(list(accounts)))) for table in _NAMED)
    )


def _row_names(change: Change, tombstones: Mapping[str, str]) -> dict[str, str]:
    """Return the new names of rows that are named after an account, bare and as subjects of the journal."""
    names: dict[str, str] = {}
    for table in _NAMED:
        key = table.primary_key.columns[0].name
        for row in change.rows(sa.select(table).where(table.c.account_id.in_(list(tombstones)))):
            fresh = tombstones[row["account_id"]] + "/" + row[key].rpartition("/")[2]
            if table is schema.standings:
                fresh = f"{row['plan_id']}/{row['campaign_id']}/{tombstones[row['account_id']]}"
            names |= {row[key]: fresh, f"{table.name}/{row[key]}": f"{table.name}/{fresh}"}
    return names


def _rewrite(change: Change, table: sa.Table, renaming: Renaming) -> int:
    key, count = table.primary_key.columns[0], 0
    for row in change.rows(sa.select(table)):
        if (fresh := _renamed(row, renaming)) != row:
            change.connection.execute(table.update().where(key == row[key.name]).values(**fresh))
            count += 1
    return count


def _renamed(row: Row, renaming: Renaming) -> Row:
    return {name: renaming.value(value, name) for name, value in row.items()}


def _rewrite_journal(change: Change, renaming: Renaming) -> dict[str, str]:
    """Rewrite lines and leave their hashes; return each one's number with the hash of what it now says."""
    table, rewritten = schema.journal, {}
    for row in change.rows(sa.select(table).order_by(table.c.seq)):
        if row["subject"] != REWRITTEN and (fresh := _renamed(row, renaming)) != row:
            change.connection.execute(table.update().where(table.c.seq == row["seq"]).values(**fresh))
            rewritten[str(row["seq"])] = seal(Entry(**fresh)).hash
    return rewritten
