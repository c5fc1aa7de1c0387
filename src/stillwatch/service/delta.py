"""From one snapshot to the next: what changed, checked by the signature of the result.

A delta file is ``SWDELT01``, a head (JSON: base version and digest, counts), the signed head of the snapshot that it
leads to, and a body: the new place of each old measure (int32, -1 when it is gone), rows that go, rows that come. A
node that applies it and does not arrive at exactly the signed content refuses it.
"""

from __future__ import annotations

import struct

import msgspec
import numpy as np
import numpy.typing as npt

from stillwatch.errors import SnapshotRefused
from stillwatch.response.decide import Measure
from stillwatch.service.signing import Trust
from stillwatch.service.snapshot import ROW, Rows, Sealed, Snapshot, body_of, check, in_order, read_head, rows_of

DELTA_MAGIC = b"SWDELT01"
_LENGTH = struct.Struct(">I")
_GONE = -1


class _DeltaHead(msgspec.Struct, frozen=True):
    base: int
    base_digest: str
    measures: int
    removed: int
    added: int


def make_delta(before: Snapshot, after: Snapshot) -> bytes:
    """Return the delta that leads from one snapshot to the next.

    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> from stillwatch.service.signing import Signer
    >>> from stillwatch.service.snapshot import build, open_snapshot
    >>> signer = Signer(Ed25519PrivateKey.generate())
    >>> trust = Trust.of(signer.public)
    >>> old, new = (open_snapshot(build([], version=v, created_at=0.0, signer=signer), trust) for v in (1, 2))
    >>> apply_delta(old, make_delta(old, new), trust).version
    2
    """
    places = _places(before.head.measures, after.head.measures)
    removed, added = _difference(_moved(rows_of(before), places), rows_of(after))
    head = _DeltaHead(before.version, before.head.digest, len(places), len(removed), len(added))
    raw = msgspec.json.encode(head)
    body = places.tobytes() + removed.tobytes() + added.tobytes()
    return DELTA_MAGIC + _LENGTH.pack(len(raw)) + raw + after.sealed.data + body


def apply_delta(before: Snapshot | None, data: bytes, trust: Trust) -> Snapshot:
    """Return the snapshot that a delta leads to.

    Raises :class:`SnapshotRefused`: ``unfit`` when it does not begin at ``before``, else as for a full snapshot.

    >>> apply_delta(None, DELTA_MAGIC, Trust.of())
    Traceback (most recent call last):
    stillwatch.errors.SnapshotRefused: corrupt: the delta is cut short
    """
    head, sealed, body = _taken_apart(data, trust)
    if before is None or (before.version, before.head.digest) != (head.base, head.base_digest):
        held = before.version if before else "nothing"
        raise SnapshotRefused("unfit", f"it begins at version {head.base}, this node holds {held}")
    sizes = (4 * head.measures, ROW.itemsize * head.removed, ROW.itemsize * head.added)
    if min(sizes) < 0 or sum(sizes) != len(body) or head.measures != len(before.head.measures):
        raise SnapshotRefused("corrupt", "the delta is not as long as it says")
    places = np.frombuffer(body, "<i4", head.measures)
    removed = np.frombuffer(body, ROW, head.removed, sizes[0])
    added = np.frombuffer(body, ROW, head.added, sizes[0] + sizes[1])
    kept, _ = _difference(_moved(rows_of(before), places), removed)
    return check(sealed, body_of(in_order(np.concatenate([kept, added]))))


def _taken_apart(data: bytes, trust: Trust) -> tuple[_DeltaHead, Sealed, bytes]:
    start = 8 + _LENGTH.size
    length = _LENGTH.unpack(data[8:start])[0] if len(data) >= start else 0
    if data[:8] != DELTA_MAGIC or length == 0 or len(data) < start + length:
        raise SnapshotRefused("corrupt", "the delta is cut short")
    try:
        head = msgspec.json.decode(data[start : start + length], type=_DeltaHead)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotRefused("corrupt", f"the head is not what a delta has: {error}") from None
    rest = data[start + length :]
    sealed, end = read_head(rest, trust)
    return head, sealed, rest[end:]


def _places(before: tuple[Measure, ...], after: tuple[Measure, ...]) -> npt.NDArray[np.int32]:
    """Return where each old measure stands now; shape (old measures,)."""
    now = {measure: number for number, measure in enumerate(after)}
    return np.array([now.get(measure, _GONE) for measure in before], "<i4")


def _moved(rows: Rows, places: npt.NDArray[np.int32]) -> Rows:
    """Renumber the measures of rows, dropping those whose measure is gone."""
    moved = places[rows["measure"]] if len(rows) else np.empty(0, np.int32)
    kept: Rows = rows[moved != _GONE].copy()
    kept["measure"] = moved[moved != _GONE]
    return kept


def _difference(left: Rows, right: Rows) -> tuple[Rows, Rows]:
    """Return the rows that only ``left`` has, and those that only ``right`` has; each has a row once."""
    both = np.concatenate([left, right])
    if not len(both):
        return both, both
    order = np.lexsort([both[name] for name in reversed(ROW.names or ())])
    sorted_ = both[order]
    same = np.concatenate([[False], sorted_[1:] == sorted_[:-1], [False]])
    alone = ~(same[1:] | same[:-1])
    from_left = order < len(left)
    return sorted_[alone & from_left], sorted_[alone & ~from_left]
