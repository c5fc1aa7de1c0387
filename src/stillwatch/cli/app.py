"""The Typer application that the command modules register with."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from stillwatch.errors import StillwatchError


class Interrupted(StillwatchError):  # noqa: N818 - named after what happened
    """Ctrl-C: what was there before is unchanged.

    >>> Interrupted("interrupted").exit_code
    130
    """

    exit_code = 130


class _Interruptible(TyperGroup):
    """Say that a command was interrupted as one line: Typer's own answer says nothing or prints a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command, Ctrl-C as :class:`Interrupted`."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; what was there before is unchanged") from None


app = typer.Typer(
    name="stillwatch",
    cls=_Interruptible,
    help="Find adversarial distillation campaigns in LLM exchange logs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
