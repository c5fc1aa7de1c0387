"""What `stillwatch forget` does, in an order that can be repeated after a crash: copies first, the dataset last."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from stillwatch.cases.forgetting import holds, scan_files, shorten_scan
from stillwatch.cases.inputs import HEADS
from stillwatch.errors import ConfigError, StillwatchError
from stillwatch.ingest.privacy import PREFIX, Key, sealed_ids
from stillwatch.signals.stored import kept_files
from stillwatch.tables import Dataset
from stillwatch.tables.erasure import Found, Wanted, erase, find
from stillwatch.tables.probes import Left, search


class StillThere(StillwatchError):  # noqa: N818 - named after what happened
    """The search afterwards found something: the receipt says where.

    >>> StillThere("1 place").exit_code
    4
    """

    exit_code = 4


class Remnant(msgspec.Struct, frozen=True):
    """A place that still holds something: file, column (None: raw bytes), how many different ids and texts."""

    file: str
    column: str | None
    ids: int
    texts: int


class Searched(msgspec.Struct, frozen=True):
    """What the search afterwards covered; ``sha256`` is over all values that were looked for."""

    files: int
    bytes: int
    ids: int
    texts: int
    texts_in_all: int
    sha256: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What goes or went, by place, and what the search found; it names nobody. ``searched`` is None before.

    ``at`` is when, ISO 8601 UTC.
    """

    at: str
    accounts: int
    before: str | None
    exchanges: int
    rows_by_file: dict[str, int]
    scans: dict[str, list[str]]
    fingerprint_files: int
    state: dict[str, int] = {}
    searched: Searched | None = None
    texts_of_others: int = 0
    left: tuple[Remnant, ...] = ()


def spellings(names: Iterable[str], key_file: Path | None) -> frozenset[str]:
    """Return account ids as logs have them and as `ingest` stores them (e-mails and keys under the keyed hash).

    Raises :class:`ConfigError` when a name needs the key and there is none.

    >>> spellings(["acct-7", " "], None)
    frozenset({'acct-7'})
    """
    plain = {name.strip() for name in names} - {""}
    return frozenset(plain.union(sealed_ids(plain, key_file, os.environ).values()))


@dataclass(frozen=True)
class Forgetting:
    """Whom to forget and where: dataset, scans, kept fingerprints, state, and folders that are searched only."""

    dataset: Dataset
    wanted: Wanted
    scans: list[Path]
    kept: list[Path]
    state: str | None
    also: list[Path]
    now: datetime

    def look(self) -> Receipt:
        """Say what would go; raises :class:`ConfigError` for a folder that is not there."""
        for folder in (*self.scans, *self.kept, *self.also):
            if not folder.exists():
                raise ConfigError("is not there", path=folder)
        return self._receipt(find(self.dataset, self.wanted))

    def carry_out(self, *, who: str, why: str) -> Receipt:
        """Forget: scans, fingerprints and state first, the dataset in one commit last; then search everywhere."""
        found = find(self.dataset, self.wanted)
        receipt = self._receipt(found)
        for folder in receipt.scans:
            shorten_scan(Path(folder), self.wanted.accounts)
        for file in self._fingerprints(found):
            file.unlink()
        state = self._forget_in_state(who, why)
        if not found.is_empty():
            erase(self.dataset, self.wanted, found)
        return self._search(msgspec.structs.replace(receipt, state=state), found)

    def _receipt(self, found: Found) -> Receipt:
        probes = found.probes(self.wanted)
        return Receipt(
            at=self.now.isoformat(),
            accounts=len(self.wanted.accounts),
            before=self.wanted.before.isoformat() if self.wanted.before else None,
            exchanges=len(found.exchange_ids),
            rows_by_file=found.rows,
            scans={str(one): [f.name for f in scan_files(one)] for one in self.scans if holds(one, probes)},
            fingerprint_files=len(self._fingerprints(found)),
        )

    def _fingerprints(self, found: Found) -> list[Path]:
        """Return what scans kept, all of it when exchanges go: fingerprints do not say whose they are."""
        folders = self.kept if found.exchange_ids else []
        heads = [folder / HEADS for folder in folders if (folder / HEADS).exists()]
        return [file for folder in folders for file in kept_files(folder)] + heads

    def _forget_in_state(self, who: str, why: str) -> dict[str, int]:
        if self.state is None or not self.wanted.accounts:
            return {}
        from stillwatch.response.forgetting import forget_accounts
        from stillwatch.response.store import State

        once = Key(secrets.token_bytes(32))  # thrown away: nobody can find the name behind a tombstone
        tombstones = {name: "forgotten-" + once.hash("account", _bare(name))[-24:] for name in self.wanted.accounts}
        state = State.open(self.state, make=False)
        try:
            return msgspec.structs.asdict(forget_accounts(state, tombstones, who=who, why=why))
        finally:
            state.close()

    def _files(self) -> list[Path]:
        roots = [self.dataset.path, *self.scans, *self.kept, *self.also]
        below = {file for root in roots for file in (root.rglob("*") if root.is_dir() else [root])}
        return sorted(file for file in {*below, *_state_files(self.state)} if file.is_file())

    def _search(self, receipt: Receipt, found: Found) -> Receipt:
        files, probes = self._files(), found.probes(self.wanted)
        others, left = 0, []
        for hit in search(files, probes):
            if self._is_of_others(hit):
                others = max(others, hit.texts)
            else:
                left.append(Remnant(str(hit.file), hit.column, hit.ids, hit.texts))
        searched = Searched(
            files=len(files),
            bytes=sum(file.stat().st_size for file in files),
            ids=len(self.wanted.accounts) + len(found.exchange_ids),
            texts=len(found.texts),
            texts_in_all=found.texts_in_all,
            sha256=probes.digest,
        )
        return msgspec.structs.replace(receipt, searched=searched, texts_of_others=others, left=tuple(left))

    def _is_of_others(self, hit: Left) -> bool:
        """Say whether a hit is a text in a row of an account that stays: the same words, sent by somebody else."""
        return not hit.ids and hit.file.is_relative_to(self.dataset.path / "exchanges")


def _bare(name: str) -> str:
    """Return a name that a key hashes even when it is a keyed hash already."""
    return name.removeprefix(PREFIX)


def _state_files(url: str | None) -> list[Path]:
    """Return the files of an SQLite state; what PostgreSQL keeps cannot be searched from here."""
    if url is None:
        return []
    from sqlalchemy import make_url

    database = make_url(url)
    if database.get_backend_name() != "sqlite" or not database.database:
        return []
    return [Path(database.database + ending) for ending in ("", "-wal", "-shm")]
