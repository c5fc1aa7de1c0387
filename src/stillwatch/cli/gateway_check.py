"""`stillwatch gateway-check`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stillwatch.cli.app import app
from stillwatch.errors import ConfigError

_EPILOG = """Example: `stillwatch gateway-check http://127.0.0.1:10000 --held "x-account-id: test-limited"`

A header's value may be `@FILE`, so that keys stay out of the command line. Exit code 1: a check failed."""


@app.command("gateway-check", epilog=_EPILOG)
def gateway_check(
    url: Annotated[str, typer.Argument(help="Where customers reach your gateway.")],
    ordinary: Annotated[
        list[str] | None, typer.Option(help="Header ('name: value') of an account under no measure; may be repeated.")
    ] = None,
    held: Annotated[
        list[str] | None, typer.Option(help="Header of a test account under a measure that refuses; may be repeated.")
    ] = None,
    path: Annotated[str, typer.Option(help="Path that is asked; it also tells the dialect.")] = "/v1/chat/completions",
    model: Annotated[str, typer.Option(help="Model that is asked for.")] = "large",
    down: Annotated[
        str | None, typer.Option(help="Stillwatch is stopped now; the gateway must fail open, or closed.")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests to time.")] = 20,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one request may take.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Check your own gateway as its customers see it: refusals, streams, headers, and life without Stillwatch."""
    from stillwatch.service.conformance import Target, check_gateway, check_without

    target = Target(
        url=url,
        path=path,
        model=model,
        ordinary=headers_of(ordinary or ["x-account-id: stillwatch-ordinary"]),
        held=headers_of(held or []),
        requests=requests,
        timeout_s=timeout,
    )
    if down is None:
        checks = list(check_gateway(target))
    elif down == "open":
        checks = list(check_without(target, "open"))
    elif down == "closed":
        checks = list(check_without(target, "closed"))
    else:
        raise ConfigError(f"--down is {down!r}; known: open, closed")
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(checks)).decode() + "\n")
    else:
        _print((check.name, check.outcome, check.seen) for check in checks)
    if any(check.outcome == "failed" for check in checks):
        raise typer.Exit(1)


def headers_of(texts: list[str]) -> dict[str, str]:
    """Read headers given as ``name: value`` or ``name: @FILE``; raises :class:`ConfigError` for anything else.

    >>> headers_of(["X-Account-Id: a"])
    {'X-Account-Id': 'a'}
    """
    headers = {}
    for text in texts:
        name, colon, value = (part.strip() for part in text.partition(":"))
        if not (name and colon and value):
            raise ConfigError(f"{text!r} is no header; write 'name: value'")
        headers[name] = Path(value[1:]).read_text(encoding="utf-8").strip() if value.startswith("@") else value
    return headers


_STYLES = {"passed": "green", "failed": "bold red", "skipped": "dim", "noted": "cyan"}


def _print(rows: Iterable[tuple[str, str, str]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("check", "outcome", "seen"):
        table.add_column(column, overflow="fold")
    for name, outcome, seen in rows:
        table.add_row(Text(name), Text(outcome, style=_STYLES[outcome]), Text(seen))
    Console().print(table)
