"""Files in object storage, seen as paths: enough of a path for reading a dataset from ``s3://bucket/prefix``.

Arrow's own S3 client does the work. Keys, region and endpoint come from where S3 clients look for them: the variables
``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, the files under ``~/.aws``, or
the role of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast
from urllib.parse import quote

import pyarrow.fs as pafs

SCHEME = "s3://"


class ObjectPath(PurePosixPath):
    """A key or prefix of a bucket, with what reading needs of a path: join, parent, glob, stat, open.

    >>> file = ObjectPath("logs/data") / "exchanges" / "day=2026-01-02" / "part-0.parquet"
    >>> str(file), file.parent.name, file.relative_to(ObjectPath("logs/data")).parts[0]
    ('s3://logs/data/exchanges/day=2026-01-02/part-0.parquet', 'day=2026-01-02', 'exchanges')
    """

    __slots__ = ()

    def __str__(self) -> str:
        return SCHEME + self.key if self.parts else SCHEME

    def __fspath__(self) -> str:
        """Return the address as a URI, which is how Arrow's readers are told of objects."""
        return SCHEME + quote(self.key, safe="/=")

    @property
    def key(self) -> str:
        """Return bucket and key as Arrow spells them.

        >>> ObjectPath("logs/data").key
        'logs/data'
        """
        return "/".join(self.parts)

    def exists(self) -> bool:
        """Say whether there is an object or prefix of that name; raises OSError when storage cannot be asked."""
        return bool(self._about().type != pafs.FileType.NotFound)

    def stat(self) -> os.stat_result:
        """Return size and time of change; FileNotFoundError when there is no such object."""
        about = self._about()
        if about.type != pafs.FileType.File:
            raise FileNotFoundError(2, "no such object", str(self))
        changed = about.mtime_ns or 0
        times = [0, 0, 0, 0, 0, 0, about.size, 0, changed // 10**9, 0, 0.0, changed / 10**9, 0.0, 0, changed, 0]
        return os.stat_result(times)

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open an object for reading bytes from any place of it.

        >>> ObjectPath("logs/a").open("wb")
        Traceback (most recent call last):
        ValueError: objects are opened with mode 'rb', not 'wb'
        """
        if mode != "rb":
            raise ValueError(f"objects are opened with mode 'rb', not {mode!r}")
        return cast("IO[bytes]", _storage(self).open_input_file(self.key))

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yield the objects below this prefix whose last names match, such as ``day=*/*.parquet``."""
        below = pafs.FileSelector(self.key, allow_not_found=True, recursive=True)
        for about in _storage(self).get_file_info(below):
            if about.type == pafs.FileType.File and PurePosixPath(about.path).match(pattern):
                yield ObjectPath(about.path)

    def resolve(self) -> ObjectPath:
        """Return the path itself: objects have no links.

        >>> ObjectPath("logs").resolve() == ObjectPath("logs")
        True
        """
        return self

    def _about(self) -> Any:
        return _storage(self).get_file_info(self.key)


def is_object(path: str | os.PathLike[str]) -> bool:
    """Say whether a path names object storage.

    >>> is_object("s3://logs/data"), is_object("data")
    (True, False)
    """
    return os.fspath(path).startswith(SCHEME)


def located(path: str | Path) -> Path:
    """Return what a user names as something to read from: a path, or an :class:`ObjectPath` for ``s3://…``.

    >>> located("data"), located("s3://logs/data")
    (PosixPath('data'), ObjectPath('s3://logs/data'))
    """
    if isinstance(path, str) and is_object(path):
        return cast("Path", ObjectPath(path.removeprefix(SCHEME)))
    return path if isinstance(path, Path) else Path(path)


def _storage(path: ObjectPath) -> Any:
    return pafs.FileSystem.from_uri(SCHEME + path.parts[0])[0]
