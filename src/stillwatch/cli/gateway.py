"""`stillwatch gateway`: the thin decision node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.app import app
from stillwatch.errors import ConfigError

_EPILOG = """Example: `stillwatch gateway --snapshot https://stillwatch.internal:8787 --trust signing.pub --state node`

The key for the publisher (scope read) is read from STILLWATCH_READ_KEY or from --read-key-file, never from the command
line."""


@app.command(epilog=_EPILOG)
def gateway(
    snapshot: Annotated[str, typer.Option(help="URL of `stillwatch serve`, or a snapshot file that is replaced.")],
    trust: Annotated[list[Path], typer.Option(exists=True, help="Public key (PEM) whose snapshots are taken.")],
    state: Annotated[
        Path | None, typer.Option(help="Folder that the last good snapshot survives a restart in.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8788,
    on_failure: Annotated[str, typer.Option(help="Without a good snapshot: open (allow) or closed (503).")] = "open",
    max_age: Annotated[float, typer.Option(min=1, help="Seconds after which a snapshot is stale.")] = 86_400,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks for a newer snapshot.")] = 5,
    keys: Annotated[Path | None, typer.Option(help="Key file of `stillwatch key`; must be given off loopback.")] = None,
    per_second: Annotated[float, typer.Option(min=0, help="Requests a second that one key may make; 0: any.")] = 0,
    counters: Annotated[
        str | None,
        typer.Option(envvar="STILLWATCH_COUNTERS", help="redis:// URL of shared limits; else limits of this node."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(exists=True, help="Key that `ingest` hashed with, to know e-mail accounts.")
    ] = None,
    read_key_file: Annotated[Path | None, typer.Option(exists=True, help="API key for the publisher.")] = None,
    ca: Annotated[Path | None, typer.Option(exists=True, help="Certificates to trust for the publisher.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(exists=True, help="Certificate to serve TLS with.")] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, help="Its private key.")] = None,
    grpc_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port for Envoy's gRPC filters; off without it.")
    ] = None,
    account_header: Annotated[
        str, typer.Option(help="Request header in which Envoy or nginx names the account.")
    ] = "x-account-id",
    key_header: Annotated[str, typer.Option(help="Request header in which they name the key.")] = "x-api-key-id",
) -> None:
    """Answer POST /v1/decide from a snapshot in memory, with no database, and go on when all behind it is down."""
    try:
        from stillwatch.service.check import Names
        from stillwatch.service.listen import Listen, check_listen, run
        from stillwatch.service.nodes import NodeSettings, node_app
    except ImportError as error:
        raise ConfigError(f"the gateway needs {error.name}: pip install 'stillwatch[service]'") from error
    if on_failure not in ("open", "closed"):
        raise ConfigError(f"--on-failure is {on_failure!r}; known: open, closed")
    listen = Listen(host, port, tls_cert, tls_key)
    check_listen(listen, keys)
    settings = NodeSettings(
        source=snapshot,
        trust=tuple(trust),
        state=state,
        on_failure="open" if on_failure == "open" else "closed",
        max_age=max_age,
        every=every,
        keys=keys,
        per_second=per_second,
        counters=counters,
        hash_key=key_file,
        read_key=_secret(read_key_file, "STILLWATCH_READ_KEY"),
        ca=ca,
        grpc=Listen(host, grpc_port, tls_cert, tls_key) if grpc_port else None,
        names=Names(account_header.lower(), key_header.lower()),
    )
    run(node_app(settings), listen)


def _secret(path: Path | None, variable: str) -> str | None:
    """Read a secret from a file, else from the environment."""
    return path.read_text(encoding="utf-8").strip() if path else os.environ.get(variable)
