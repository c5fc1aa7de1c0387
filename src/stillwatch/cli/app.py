"""The Typer application that the command modules register with."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="stillwatch",
    help="Find adversarial distillation campaigns in LLM exchange logs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
