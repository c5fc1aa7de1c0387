"""The decision snapshot: every measure in force, in 28 bytes an account, immutable, numbered and signed.

A snapshot file is ``SWSNAP01``, the length of the head (uint32, big-endian), the head (JSON: version, issuer, measures,
SHA-256 of the body), an Ed25519 signature of the head, and the body: five columns, sorted by account hash. The
signature covers the head and the head covers the body, so a delta that rebuilds the body is checked by the very
signature of the full snapshot (:mod:`stillwatch.service.delta`).
"""

from __future__ import annotations

import hashlib
import math
import struct
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stillwatch.errors import SnapshotRefused
from stillwatch.response.decide import Measure
from stillwatch.response.standing import Standing
from stillwatch.service.signing import SIGNATURE_BYTES, Signer, Trust

MAGIC = b"SWSNAP01"
ROW = np.dtype([("high", "<u8"), ("low", "<u8"), ("measure", "<u4"), ("starts", "<u4"), ("expires", "<u4")])
"""One account under one measure: 128-bit hash of the account, place of the measure, times in seconds since 1970."""

Rows = npt.NDArray[np.void]
_PAIR = struct.Struct("<QQ")
_LENGTH = struct.Struct(">I")
_LATEST = (1 << 32) - 1
_MOST_HEAD = 64 << 20
_SHELVES = np.arange(1 << 16, dtype="<u8") << np.uint64(48)  # hashes by their first 16 bits: a search begins near


class Head(msgspec.Struct, frozen=True):
    """What is signed: ``version`` only grows, ``created_at`` is in seconds since 1970, ``digest`` is of the body."""

    version: int
    created_at: float
    issuer: str
    rows: int
    digest: str
    measures: tuple[Measure, ...]


class Sealed(NamedTuple):
    """A signed head, as bytes and as a value."""

    raw: bytes
    signature: bytes
    head: Head

    @property
    def data(self) -> bytes:
        """The head as it stands in a file: magic, length, head, signature."""
        return MAGIC + _LENGTH.pack(len(self.raw)) + self.raw + self.signature


def account_hash(account: str) -> tuple[int, int]:
    """Return the 128-bit BLAKE2b hash of an account id as two uint64.

    >>> account_hash("a") == account_hash("a") != account_hash("b")
    True
    """
    digest = hashlib.blake2b(account.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return _PAIR.unpack(digest)


class Snapshot:
    """A snapshot in memory, ready to answer; nothing in it changes.

    >>> from datetime import UTC, datetime
    >>> from stillwatch.response.ladder import Rung
    >>> from stillwatch.response.standing import Scope
    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> start, end = (datetime(2026, 9, day, tzinfo=UTC) for day in (1, 2))
    >>> standing = Standing(account_id="a", campaign_id="SW-1", plan_id="P-1", rung=Rung.TAG,
    ...     scope=Scope(whole_account=True), starts_at=start, expires_at=end)
    >>> signer = Signer(Ed25519PrivateKey.generate())
    >>> data = build([standing], version=1, created_at=start.timestamp(), signer=signer)
    >>> snapshot = open_snapshot(data, Trust.of(signer.public))
    >>> [m.campaign_id for m in snapshot.find("a", start.timestamp())], snapshot.find("a", end.timestamp())
    (['SW-1'], [])
    """

    def __init__(self, sealed: Sealed, body: bytes) -> None:
        """Lay the columns over the body; :func:`open_snapshot` has checked both."""
        self.sealed, self.head, self.body = sealed, sealed.head, body
        self.version = sealed.head.version
        self._measures = sealed.head.measures
        columns = columns_of(body, sealed.head.rows)
        self._high, self._low, self._measure, self._starts, self._expires = (column.data for column in columns)
        self._begin = np.append(np.searchsorted(columns[0], _SHELVES), len(columns[0])).astype("<u4").data

    @property
    def rows(self) -> int:
        """How many rows there are: one an account and measure."""
        return self.head.rows

    @property
    def data(self) -> bytes:
        """The snapshot as a file."""
        return self.sealed.data + self.body

    @property
    def nbytes(self) -> int:
        """Bytes of the columns in memory; the measures, shared by thousands of accounts, and 256 kB come on top."""
        return len(self.body)

    def find(self, account: str, now: float) -> Sequence[Measure]:
        """Return the measures in force for an account at ``now`` (seconds since 1970)."""
        high, low = account_hash(account)
        shelf = high >> 48
        end = self._begin[shelf + 1]
        at = bisect_left(self._high, high, self._begin[shelf], end)
        found: list[Measure] = []
        while at < end and self._high[at] == high:
            if self._low[at] == low and self._starts[at] <= now < self._expires[at]:
                found.append(self._measures[self._measure[at]])
            at += 1
        return found


def build(standings: Iterable[Standing], *, version: int, created_at: float, signer: Signer) -> bytes:
    """Return the signed snapshot of standings as a file; the same standings in any order give the same body.

    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> signer = Signer(Ed25519PrivateKey.generate())
    >>> open_snapshot(build([], version=1, created_at=0.0, signer=signer), Trust.of(signer.public)).rows
    0
    """
    encode = msgspec.json.Encoder(order="deterministic").encode
    listed = list(standings)
    shared = [Measure.of(standing) for standing in listed]
    by_text = {encode(measure): measure for measure in set(shared)}
    measures = tuple(by_text[text] for text in sorted(by_text))
    place = {measure: number for number, measure in enumerate(measures)}
    rows = np.array(
        [
            (*account_hash(one.account_id), place[measure], *_interval(one))
            for one, measure in zip(listed, shared, strict=True)
        ],
        ROW,
    )
    return seal(rows, measures, version=version, created_at=created_at, signer=signer)


def seal(rows: Rows, measures: tuple[Measure, ...], *, version: int, created_at: float, signer: Signer) -> bytes:
    """Sign rows (any order; repeats are dropped) and their measures; returns the file.

    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> data = seal(np.empty(0, ROW), (), version=1, created_at=0.0, signer=Signer(Ed25519PrivateKey.generate()))
    >>> data[:8]
    b'SWSNAP01'
    """
    body = body_of(in_order(rows))
    digest = hashlib.sha256(body).hexdigest()
    head = Head(version, created_at, signer.issuer, len(body) // ROW.itemsize, digest, measures)
    raw = msgspec.json.encode(head)
    return Sealed(raw, signer.sign(raw), head).data + body


def _interval(standing: Standing) -> tuple[int, int]:
    """Return a standing's times in whole seconds, shortened rather than stretched."""
    starts, expires = math.ceil(standing.starts_at.timestamp()), math.floor(standing.expires_at.timestamp())
    return min(max(starts, 0), _LATEST), min(max(expires, 0), _LATEST)


def in_order(rows: Rows) -> Rows:
    """Return the rows sorted by all fields, each once; shape (rows,) in, at most that out.

    >>> in_order(np.array([(2, 0, 0, 0, 1), (1, 0, 0, 0, 1), (2, 0, 0, 0, 1)], ROW))["high"].tolist()
    [1, 2]
    """
    rows = rows[np.lexsort([rows[name] for name in reversed(ROW.names or ())])]
    return rows[np.concatenate([[True], rows[1:] != rows[:-1]])] if len(rows) else rows


def body_of(rows: Rows) -> bytes:
    """Return rows as five columns, one behind another.

    >>> len(body_of(np.zeros(3, ROW)))
    84
    """
    return b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in ROW.names or ())


def columns_of(body: bytes, rows: int) -> list[npt.NDArray[Any]]:
    """Return the five columns of a body, without copying.

    >>> [len(column) for column in columns_of(body_of(np.zeros(3, ROW)), 3)]
    [3, 3, 3, 3, 3]
    """
    columns, at = [], 0
    for name in ROW.names or ():
        columns.append(np.frombuffer(body, ROW[name], rows, at))
        at += ROW[name].itemsize * rows
    return columns


def rows_of(snapshot: Snapshot) -> Rows:
    """Return a snapshot's rows as records (a copy)."""
    rows = np.empty(snapshot.rows, ROW)
    for name, column in zip(ROW.names or (), columns_of(snapshot.body, snapshot.rows), strict=True):
        rows[name] = column
    return rows


def open_snapshot(data: bytes, trust: Trust) -> Snapshot:
    """Check a snapshot file and return it open.

    Raises :class:`SnapshotRefused`: ``corrupt`` (cut, changed, not a snapshot), ``unsigned`` or ``foreign``.

    >>> open_snapshot(b"something else", Trust.of())
    Traceback (most recent call last):
    stillwatch.errors.SnapshotRefused: corrupt: not a snapshot
    """
    sealed, end = read_head(data, trust)
    return check(sealed, data[end:])


def read_head(data: bytes, trust: Trust) -> tuple[Sealed, int]:
    """Read and verify the signed head at the front of ``data``; returns it and where it ends.

    >>> read_head(MAGIC + bytes(4), Trust.of())
    Traceback (most recent call last):
    stillwatch.errors.SnapshotRefused: corrupt: the head is cut short
    """
    if data[:8] != MAGIC:
        raise SnapshotRefused("corrupt", "not a snapshot")
    start = 8 + _LENGTH.size
    length = _LENGTH.unpack(data[8:start])[0] if len(data) >= start else 0
    end = start + length + SIGNATURE_BYTES
    if not 0 < length <= _MOST_HEAD or len(data) < end:
        raise SnapshotRefused("corrupt", "the head is cut short")
    raw, signature = data[start : start + length], data[start + length : end]
    try:
        trust.check(msgspec.json.decode(raw, type=_Issuer).issuer, raw, signature)
        return Sealed(raw, signature, msgspec.json.decode(raw, type=Head)), end
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotRefused("corrupt", f"the head is not what a snapshot has: {error}") from None


class _Issuer(msgspec.Struct):
    """The one word of a head that is read before its signature is known to be good."""

    issuer: str


def check(sealed: Sealed, body: bytes) -> Snapshot:
    """Check that a body is the one that was signed; returns the snapshot.

    Raises :class:`SnapshotRefused` (``corrupt``).
    """
    if len(body) != sealed.head.rows * ROW.itemsize or hashlib.sha256(body).hexdigest() != sealed.head.digest:
        raise SnapshotRefused("corrupt", "the content is not the one that was signed")
    return Snapshot(sealed, body)
