"""API keys ``swk_<id>_<secret>``: stored as hashes with scopes, checked in constant time, paced one by one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stillwatch.errors import ConfigError
from stillwatch.service.answers import problem
from stillwatch.service.node import write_whole
from stillwatch.service.web import Problem

SCOPES = ("ingest", "decide", "read", "enforce", "admin")
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


class KeyEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key as it is stored: ``hash`` is the SHA-256 of its secret (256 random bits, so no salt is needed)."""

    id: str
    hash: str
    scopes: tuple[str, ...]
    created_at: str
    note: str = ""
    revoked_at: str | None = None


def read_keys(path: Path) -> list[KeyEntry]:
    """Return the keys of a file; none when it is not there. Raises :class:`ConfigError` when it is not a key file.

    >>> read_keys(Path("no-such-file"))
    []
    """
    if not path.exists():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[KeyEntry])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a key file: {error}", path=path) from error


def create_key(path: Path, scopes: Iterable[str], *, note: str = "", now: datetime) -> str:
    """Add a key to a file and return it; it is shown this once and stored as a hash.

    Raises :class:`ConfigError` for an unknown scope.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     key = create_key(Path(folder, "keys.json"), ["decide"], now=datetime(2026, 9, 1, tzinfo=UTC))
    ...     key.startswith("swk_"), key.split("_")[2] in Path(folder, "keys.json").read_text()
    (True, False)
    """
    wanted = tuple(sorted(set(scopes)))
    unknown = set(wanted) - set(SCOPES)
    if unknown or not wanted:
        named = f"unknown scope {min(unknown)!r}" if unknown else "a key needs a scope"
        raise ConfigError(f"{named}; known: {', '.join(SCOPES)}")
    name, secret = secrets.token_hex(6), secrets.token_hex(32)
    _write(path, [*read_keys(path), KeyEntry(name, _hash(secret), wanted, _stamp(now), note)])
    return f"swk_{name}_{secret}"


def revoke_key(path: Path, name: str, *, now: datetime) -> None:
    """Mark a key as revoked; running services notice within a few seconds.

    Raises :class:`ConfigError` when the file has no such key.

    >>> revoke_key(Path("no-such-file"), "0a", now=datetime(2026, 9, 1, tzinfo=UTC))
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-file: no key with id 0a
    """
    keys = read_keys(path)
    if name not in {key.id for key in keys}:
        raise ConfigError(f"no key with id {name}", path=path)
    replaced = [msgspec.structs.replace(key, revoked_at=_stamp(now)) if key.id == name else key for key in keys]
    _write(path, replaced)


def _write(path: Path, keys: list[KeyEntry]) -> None:
    write_whole(path, msgspec.json.format(msgspec.json.encode(keys), indent=1) + b"\n")
    path.chmod(0o600)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")


class Door:
    """Who may come in: keys of a file (read again when it changes), or everybody when there is none.

    ``per_second`` bounds the requests of one key (0: no bound).

    >>> Door(None).admit(None, "decide")
    'anyone'
    """

    def __init__(self, path: Path | None, *, per_second: float = 0.0, clock: Callable[[], float] = lambda: 0.0) -> None:
        """Read the file (:class:`ConfigError` when it is none); ``clock`` counts seconds and never goes back."""
        self._path, self._pace, self._clock = path, Pace(per_second), clock
        self._keys = {key.id: key for key in read_keys(path)} if path else {}
        self._mark: tuple[int, int] | None = None
        self._look_again = 0.0

    def admit(self, presented: str | None, scope: str) -> str:
        """Return the id of a key that may do this; ``admin`` may do everything.

        Raises :class:`~stillwatch.service.web.Problem`: 401 without a good key, 403 without the scope, 429 too fast.
        """
        if self._path is None:
            return self._paced("anyone")
        now = self._clock()
        if now >= self._look_again:
            self._look_again = now + 2.0
            self._refresh(self._path)
        key = self._known(presented)
        if key is None:
            answer = problem(
                401, "No valid key", "Send a key as 'Authorization: Bearer swk_…'.", www_authenticate="Bearer"
            )
            raise Problem(answer)
        if scope not in key.scopes and "admin" not in key.scopes:
            raise Problem(problem(403, "Not allowed", f"This key lacks the scope '{scope}'."))
        return self._paced(key.id)

    def _known(self, presented: str | None) -> KeyEntry | None:
        name, _, secret = (presented or "").removeprefix("swk_").partition("_")
        key = self._keys.get(name)
        fits = hmac.compare_digest(_hash(secret), key.hash if key else _NOBODY)
        return key if key is not None and fits and key.revoked_at is None else None

    def _paced(self, name: str) -> str:
        if not self._pace.bounds:
            return name
        wait = self._pace.take(name, self._clock())
        if wait > 0:
            told = problem(429, "Too many requests", "This key is over its pace.", retry_after=str(int(wait) + 1))
            raise Problem(told)
        return name

    def _refresh(self, path: Path) -> None:
        """Read the file again when it changed; one that cannot be read leaves the keys as they are."""
        try:
            found = path.stat()
            mark = found.st_mtime_ns, found.st_size
            if mark != self._mark:
                self._keys, self._mark = {key.id: key for key in read_keys(path)}, mark
        except (OSError, ConfigError):
            return


class Pace:
    """How often each caller may come: ``per_second`` on average, twice that at once; 0 for no bound.

    >>> pace = Pace(1.0)
    >>> [pace.take("k", now) for now in (0.0, 0.0, 0.0, 1.0)]
    [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, per_second: float) -> None:
        """Begin with nobody known."""
        self.bounds, self._rate, self._burst = per_second > 0, per_second, 2 * per_second
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str, now: float) -> float:
        """Return 0 for a caller who may go on, else seconds to wait."""
        if not self.bounds:
            return 0.0
        left, at = self._left.get(name, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._rate)
        granted = left >= 1
        self._left[name] = (left - 1 if granted else left, now)
        return 0.0 if granted else (1 - left) / self._rate
