"""`stillwatch key`: the API keys of the service. `keypair`: keys that sign. `stored`: how the logs hold a name."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.app import app
from stillwatch.errors import ConfigError

_EPILOG = """Example: `stillwatch key create --keys keys.json --scope decide --note "gateway in Oslo"`

ACTION is create (prints the new key, once), list (ids and scopes) or revoke (with --id)."""


@app.command(epilog=_EPILOG)
def key(
    action: Annotated[str, typer.Argument(help="create, list or revoke.")],
    keys: Annotated[Path, typer.Option(help="The key file that the service is given.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="ingest, decide, read, enforce or admin; may be repeated.")
    ] = None,
    note: Annotated[str, typer.Option(help="What the key is for.")] = "",
    name: Annotated[str | None, typer.Option("--id", help="Id of the key to revoke.")] = None,
) -> None:
    """Make, list and revoke API keys; a key file holds hashes only."""
    from stillwatch.service.keys import create_key, read_keys, revoke_key

    now = datetime.now(UTC)
    if action == "create":
        typer.echo(create_key(keys, scope or [], note=note, now=now))
    elif action == "list":
        for entry in read_keys(keys):
            ended = f"  revoked {entry.revoked_at}" if entry.revoked_at else ""
            typer.echo(f"{entry.id}  {','.join(entry.scopes)}  {entry.created_at}  {entry.note}{ended}")
    elif action == "revoke" and name:
        revoke_key(keys, name, now=now)
    else:
        raise ConfigError("say create, list, or revoke with --id")


@app.command()
def keypair(
    private: Annotated[
        Path, typer.Argument(help="File for the private key; the public one goes to FILE.pub.", metavar="FILE")
    ],
) -> None:
    """Make an Ed25519 key pair (PEM), to sign policies, approvals or checkpoints; never over a key that is there.

    Prints the public key as it stands under [keys] of a policy.

    Example: `stillwatch keypair anna.key`
    """
    from stillwatch.response.signing import key_id, make_keys, one_line, public_key

    public = make_keys(private)
    made = public_key(public)
    typer.echo(f"{private}: keep it to yourself; {public}: key {key_id(made)}; as a line of a policy:")
    typer.echo(f'{private.stem} = "{one_line(made)}"')


@app.command()
def stored(
    names: Annotated[list[str], typer.Argument(help="Account or organisation ids as your gateway has them.")],
    key_file: Annotated[
        Path | None, typer.Option(help="Key that `ingest` hashed with (else STILLWATCH_KEY, else yours).")
    ] = None,
) -> None:
    """Print ids as the logs hold them: e-mail addresses and keys under a keyed hash, all others as they are.

    That is how a policy exempts them, and how `undo`, `appeal` and `verify-account` know them.

    Example: `stillwatch stored ann@b.example`
    """
    from stillwatch.ingest.privacy import sealed_ids

    found = sealed_ids(names, key_file, os.environ)
    for name in names:
        typer.echo(found[name])
