"""`stillwatch forget`: take accounts or old exchanges out of everything that holds them, and prove it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stillwatch.cli.acting import Json, Who, login
from stillwatch.cli.app import app
from stillwatch.cli.forgetting import Forgetting, Receipt, StillThere, spellings
from stillwatch.errors import ConfigError
from stillwatch.tables import Dataset
from stillwatch.tables.erasure import Wanted

_EPILOG = """Example: `stillwatch forget data --account acct-7 --scan out --dry-run`

By age: `stillwatch forget data --before 2026-06-01 --scan out --yes`

Exit codes: 0 nothing is left; 2 a file or setting is wrong; 4 something is left, the receipt says where."""


@app.command(epilog=_EPILOG)
def forget(
    dataset: Annotated[Path, typer.Argument(help="The dataset folder.")],
    account: Annotated[list[str] | None, typer.Option(help="Account to forget, raw or hashed; repeatable.")] = None,
    accounts: Annotated[Path | None, typer.Option(exists=True, help="File with an account id a line.")] = None,
    before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Forget exchanges before this day (UTC).")
    ] = None,
    scan: Annotated[list[Path] | None, typer.Option(help="Out folder of a scan of it; repeatable.")] = None,
    keep: Annotated[list[Path] | None, typer.Option(help="Folder of kept fingerprints of it; repeatable.")] = None,
    state: Annotated[str | None, typer.Option(help="Database of the state, when it is to forget too.")] = None,
    also: Annotated[list[Path] | None, typer.Option(help="Folder that is searched only; repeatable.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Key of the hashes (else STILLWATCH_KEY, else yours).")] = None,
    who: Who = "",
    why: Annotated[str, typer.Option("--why", help="The reason; goes into the journal.")] = "erasure request",
    dry_run: Annotated[bool, typer.Option(help="Say what would go; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take accounts, or all exchanges before a day, out of a dataset and what was made of it; then search for them.

    What goes cannot be brought back. A log that is ingested again brings its rows back: delete there as well.
    """
    names = [*(account or []), *(accounts.read_text(encoding="utf-8").splitlines() if accounts else [])]
    wanted = Wanted(spellings(names, key_file), before.date() if before else None)
    if not wanted.accounts and wanted.before is None:
        raise ConfigError("say whom to forget: --account, --accounts or --before")
    work = Forgetting(Dataset.open(dataset), wanted, scan or [], keep or [], state, also or [], now=datetime.now(UTC))
    receipt = work.look()
    if not dry_run:
        if not yes:
            typer.confirm(f"{_summary(receipt)}. This cannot be undone. Go on?", abort=True, err=True)
        receipt = work.carry_out(who=who or login(), why=why)
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(receipt)) + b"\n")
    else:
        typer.echo(_told(receipt))
    if receipt.left:
        raise StillThere(f"{len(receipt.left):,} places still hold something; the receipt names them")


def _summary(receipt: Receipt) -> str:
    rows = sum(receipt.rows_by_file.values())
    return (
        f"{receipt.exchanges:,} exchanges go; {rows:,} rows in {len(receipt.rows_by_file):,} files of the dataset, "
        f"{len(receipt.scans):,} scans and {receipt.fingerprint_files:,} files of fingerprints are concerned"
    )


def _told(receipt: Receipt) -> str:
    lines = [_summary(receipt)]
    lines += [f"  {name}: {count:,} rows" for name, count in receipt.rows_by_file.items()]
    lines += [f"  {name}: scan again (was {', '.join(files)})" for name, files in receipt.scans.items()]
    if receipt.state:
        lines.append("  state: " + ", ".join(f"{count:,} {what}" for what, count in receipt.state.items()))
    if receipt.searched is None:
        return "\n".join([*lines, "dry run: nothing was changed"])
    done = receipt.searched
    lines.append(
        f"searched {done.files:,} files ({done.bytes:,} bytes) for {done.ids:,} ids and {done.texts:,} of "
        f"{done.texts_in_all:,} texts (SHA-256 {done.sha256[:16]}…): " + ("LEFT" if receipt.left else "nothing is left")
    )
    if receipt.texts_of_others:
        lines.append(
            f"  {receipt.texts_of_others:,} texts were sent by accounts that stay, too, and stay in their rows"
        )
    lines += [
        f"  {left.file} {left.column or 'raw bytes'}: {left.ids} ids, {left.texts} texts" for left in receipt.left
    ]
    return "\n".join(lines)
