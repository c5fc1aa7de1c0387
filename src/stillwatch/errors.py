"""The whole error tree on one page: each error says what happened, where, and what to do.

::

    StillwatchError              anything a user can mend; printed without a traceback, exit code 2
    ├── InputError               a file or row cannot be read (path, line, column)
    │   └── TooManyRejects       the share of bad rows is over the limit (exit code 3)
    ├── DatasetError             a dataset folder does not keep the contract
    ├── ConfigError              a setting, field map or world file is wrong
    ├── MissingExtra             an optional package is needed
    ├── StateError               the response state cannot be opened, or does not allow what was asked
    │   ├── TamperedWith         the journal or the tables are not as they were written (exit code 4)
    │   └── UnknownToState       no such plan, or nothing was ever in force for what was named (exit code 5)
    └── SnapshotRefused          a decision snapshot that a node must not use (older, unsigned, foreign, corrupt)
"""

from __future__ import annotations

from pathlib import Path


class StillwatchError(Exception):
    """Base of every error that a user can mend."""

    exit_code = 2


class InputError(StillwatchError):
    """A file or a row of it cannot be read.

    >>> str(InputError("not JSON", path="log.jsonl", line=3, column=7))
    'log.jsonl:3:7: not JSON'
    """

    def __init__(
        self, message: str, *, path: str | Path | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        """Keep the place apart from the message, so that tests and JSON output can read both."""
        self.message, self.path, self.line, self.column = message, path, line, column
        place = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)


class TooManyRejects(InputError):  # noqa: N818 - named after what happened
    """More rows were rejected than the run allows; nothing was added."""

    exit_code = 3


class DatasetError(StillwatchError):
    """A dataset folder does not keep the contract (missing table, column or type)."""


class ConfigError(InputError):
    """A setting, field map or world file is wrong."""


class MissingExtra(StillwatchError):  # noqa: N818
    """An optional package is needed.

    >>> str(MissingExtra("opentelemetry-proto", extra="otlp", purpose="OTLP protobuf files"))
    "OTLP protobuf files need the package opentelemetry-proto: pip install 'stillwatch[otlp]'"
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        """Name the extra that brings the package."""
        super().__init__(f"{purpose} need the package {package}: pip install 'stillwatch[{extra}]'")


class SnapshotRefused(StillwatchError):  # noqa: N818 - named after what happened
    """A decision snapshot that a node must not use; ``why`` is one word for counters.

    >>> str(SnapshotRefused("older", "version 3 after version 7"))
    'older: version 3 after version 7'
    """

    def __init__(self, why: str, message: str) -> None:
        """Keep the word apart from the message."""
        self.why = why
        super().__init__(f"{why}: {message}")


class StateError(StillwatchError):
    """The response state cannot be opened, or does not allow what was asked."""


class TamperedWith(StateError):  # noqa: N818
    """The journal or the tables are not as they were written.

    >>> TamperedWith("line 3 was changed after it was written").exit_code
    4
    """

    exit_code = 4


class UnknownToState(StateError):  # noqa: N818
    """No such plan, or nothing was ever in force for the account or campaign that was named.

    >>> UnknownToState("nothing was ever in force for account acct-1").exit_code
    5
    """

    exit_code = 5
