"""Options of every command that reads or changes what is in force."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from stillwatch.cases.wording import clean

StateUrl = Annotated[
    str,
    typer.Option(
        "--state", envvar="STILLWATCH_STATE", help="Database of the state: sqlite:///FILE or postgresql+pg8000://…"
    ),
]
DEFAULT_STATE = "sqlite:///stillwatch-state.db"

Who = Annotated[str, typer.Option("--as", help="Who acts; goes into the journal (default: your login name).")]
Why = Annotated[str, typer.Option("--why", help="The reason; goes into the journal.")]
PolicyFile = Annotated[Path, typer.Option("--policy", help="Policy file; examples/policy.toml is the shipped default.")]
TrustedKey = Annotated[
    Path | None, typer.Option(help="Ed25519 public key (PEM) that a policy with told = false must be signed by.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]

_SHORT = 16  # cells up to this long are never broken
_LONGEST = 120  # nor ids up to this long
_PROSE = 24  # what has spaces is broken into lines no shorter than this
_WIDEST = 400  # characters of a line, at most


def login() -> str:
    """Return the name of the one who is logged in.

    >>> bool(login())
    True
    """
    return getpass.getuser()


def show(rows: Sequence[dict[str, Any]], *, title: str = "", right: frozenset[str] = frozenset()) -> None:
    """Print rows as a table, their keys as heads; nothing when there are none.

    Where 80 columns are too few (a pipe, a small window) lines are longer: a cut id could not be used.

    >>> show([])
    """
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left")
    for name in rows[0]:
        cells = [str(row[name]) for row in rows]
        widest = max(map(len, [name, *cells]))
        whole = widest <= _SHORT or (widest <= _LONGEST and not any(" " in cell for cell in cells))
        side: Literal["left", "right"] = "right" if name in right else "left"
        least = widest if whole else min(widest, _PROSE)
        table.add_column(name, justify=side, no_wrap=whole, min_width=least, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(str(cell), 300)) for cell in row.values()))
    console = Console()
    console.width = max(console.width, Measurement.get(console, console.options.update(width=_WIDEST), table).minimum)
    console.print(table)
