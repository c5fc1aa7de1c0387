"""The audit journal: lines chained by their hashes, so that an edit, a gap, a swap or a new line in between shows.

Each line's SHA-256 is over its canonical JSON (sorted keys, no spaces, UTF-8; RFC 8785 for the values used here), in
which the hash of the line before stands. A cut at the end shows only against a *checkpoint* kept elsewhere: the number
and hash of a line, signed with Ed25519.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stillwatch.errors import ConfigError
from stillwatch.response.signing import is_signed, private_key, public_key, sign

BEGINNING = "0" * 64
REWRITTEN = "journal/lines"
"""Subject of a line that vouches for earlier lines in which an account's name was replaced: number to SHA-256."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line: who did what to ``subject`` (table/key) and why, with the row before and after as canonical JSON.

    ``at`` is microseconds since 1970 UTC. ``hash`` covers all other fields.
    """

    seq: int
    at: int
    who: str
    action: str
    why: str
    subject: str
    before: str | None
    after: str | None
    previous: str
    hash: str = ""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the journal as it was at a time, with an Ed25519 signature; kept outside the database."""

    seq: int
    hash: str
    at: int
    signature: str = ""


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value.

    >>> canonical({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    return msgspec.json.encode(value, order="sorted")


def seal(entry: Entry) -> Entry:
    """Return the line with its hash.

    >>> line = Entry(seq=1, at=0, who="anna", action="undo", why="mistake", subject="standings/1", before=None,
    ...              after=None, previous=BEGINNING)
    >>> seal(line).hash == seal(seal(line)).hash
    True
    """
    bare = msgspec.structs.replace(entry, hash="")
    return msgspec.structs.replace(entry, hash=hashlib.sha256(canonical(bare)).hexdigest())


def faults(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a sentence for each line that does not follow from the one before; nothing when the chain is whole.

    A line that no longer gives its hash is right when a later line vouches for it as it now is (an account was
    forgotten): the hashes that chain the lines stay those of what was first written.

    >>> line = Entry(seq=2, at=0, who="a", action="x", why="y", subject="t/1", before=None, after=None, previous="?")
    >>> list(faults([line]))[0]
    'line 2 stands where line 1 should: a line was taken out, put in or moved'
    """
    previous, expected = BEGINNING, 1
    changed: dict[str, str] = {}
    vouched: dict[str, str] = {}
    for entry in entries:
        if entry.seq != expected:
            yield f"line {entry.seq} stands where line {expected} should: a line was taken out, put in or moved"
        if entry.previous != previous:
            yield f"line {entry.seq} does not follow from the line before it"
        if (content := seal(entry).hash) != entry.hash:
            changed[str(entry.seq)] = content
        elif entry.subject == REWRITTEN and entry.after is not None:
            vouched |= msgspec.json.decode(entry.after, type=dict[str, str])
        previous, expected = entry.hash, entry.seq + 1
    for seq, content in changed.items():
        if vouched.get(seq) != content:
            yield f"line {seq} was changed after it was written"


def rebuilt(entries: Iterable[Entry]) -> dict[str, str]:
    """Return what every row must be by the journal: subject to canonical JSON.

    >>> rebuilt([Entry(seq=1, at=0, who="a", action="x", why="y", subject="t/1", before=None, after="{}", previous="")])
    {'t/1': '{}'}
    """
    rows: dict[str, str] = {}
    for entry in entries:
        if entry.subject == REWRITTEN:
            continue
        if entry.after is None:
            rows.pop(entry.subject, None)
        else:
            rows[entry.subject] = entry.after
    return rows


def write_checkpoint(file: Path, last: Entry, at: int, key: Path) -> Checkpoint:
    """Sign the last line (``at`` in microseconds since 1970) and write it to a file, to be kept elsewhere.

    >>> import tempfile
    >>> from stillwatch.response.signing import make_keys
    >>> line = Entry(seq=1, at=0, who="a", action="x", why="y", subject="t/1", before=None, after=None, previous="")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     public = make_keys(Path(folder) / "key")
    ...     _ = write_checkpoint(Path(folder) / "head.json", seal(line), 0, Path(folder) / "key")
    ...     read_checkpoint(Path(folder) / "head.json", public).seq
    1
    """
    bare = Checkpoint(seq=last.seq, hash=last.hash, at=at)
    signed = msgspec.structs.replace(bare, signature=sign(canonical(bare), private_key(key)))
    file.write_bytes(canonical(signed) + b"\n")
    return signed


def read_checkpoint(file: Path, trusted: Path) -> Checkpoint:
    """Read a checkpoint; raises :class:`ConfigError` when it is not one or not signed by the trusted key.

    >>> read_checkpoint(Path("no-such-file"), Path("key.pub"))
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-file: cannot be read: No such file or directory
    """
    try:
        checkpoint = msgspec.json.decode(file.read_bytes(), type=Checkpoint)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=file) from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"not a checkpoint: {error}", path=file) from error
    bare = canonical(msgspec.structs.replace(checkpoint, signature=""))
    if not is_signed(bare, checkpoint.signature, public_key(trusted)):
        raise ConfigError("the signature is not the trusted key's", path=file)
    return checkpoint


def against(checkpoint: Checkpoint, at_that_line: Entry | None) -> str | None:
    """Say what is wrong between a checkpoint and the line of its number; None when they agree.

    >>> against(Checkpoint(seq=9, hash="ab", at=0), None)
    'line 9 was there when the checkpoint was made and is gone: the journal was cut'
    """
    if at_that_line is None:
        return f"line {checkpoint.seq} was there when the checkpoint was made and is gone: the journal was cut"
    if at_that_line.hash != checkpoint.hash:
        return f"line {checkpoint.seq} is not the one of the checkpoint: the journal was written anew"
    return None
