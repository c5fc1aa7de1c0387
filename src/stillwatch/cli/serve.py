"""`stillwatch serve`: the whole live operation in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.acting import TrustedKey
from stillwatch.cli.app import app
from stillwatch.errors import ConfigError

_EPILOG = """Example: `stillwatch serve --home live --policy examples/policy.toml --keys keys.json`

Everything it keeps is in --home: the spool, the dataset, scans, the state database, snapshot.bin and the key that
signs it. Give signing.pub from there to each `stillwatch gateway`."""


@app.command(epilog=_EPILOG)
def serve(
    home: Annotated[Path, typer.Option(help="Folder for all that the service keeps, made when it is not there.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8787,
    policy: Annotated[Path | None, typer.Option(exists=True, help="Policy (TOML); none: nothing is planned.")] = None,
    trusted_key: TrustedKey = None,
    state: Annotated[str | None, typer.Option(help="URL of the state database (default: SQLite in --home).")] = None,
    watch: Annotated[list[Path] | None, typer.Option(help="Folder whose log files are taken over.")] = None,
    identity: Annotated[Path | None, typer.Option(exists=True, help="Identity map, as for `ingest`.")] = None,
    networks: Annotated[Path | None, typer.Option(exists=True, help="Network ranges, as for `ingest`.")] = None,
    key_file: Annotated[Path | None, typer.Option(exists=True, help="Key for hashing, as for `ingest`.")] = None,
    content_free: Annotated[bool, typer.Option(help="Store fingerprints of texts and no text.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between take-overs into the dataset.")] = 10,
    scan_every: Annotated[float, typer.Option(min=1, help="Seconds between scans (when something came).")] = 3_600,
    refresh: Annotated[
        float, typer.Option(min=1, help="Seconds after which an unchanged snapshot is signed anew.")
    ] = 300,
    silent_after: Annotated[float, typer.Option(min=1, help="Seconds after which a silent source is an alarm.")] = 900,
    expect: Annotated[list[str] | None, typer.Option(help="A source that must send, as PATH:KEYID.")] = None,
    most_memory_mb: Annotated[float, typer.Option(min=1, help="What may wait for the disk.")] = 64,
    most_disk_gb: Annotated[float, typer.Option(min=0.001, help="What may wait for the dataset.")] = 8,
    on_failure: Annotated[str, typer.Option(help="Without a good snapshot: open (allow) or closed (503).")] = "open",
    max_age: Annotated[float, typer.Option(min=1, help="Seconds after which a snapshot is stale.")] = 86_400,
    keys: Annotated[Path | None, typer.Option(help="Key file of `stillwatch key`; must be given off loopback.")] = None,
    per_second: Annotated[float, typer.Option(min=0, help="Requests a second that one key may make; 0: any.")] = 0,
    counters: Annotated[
        str | None,
        typer.Option(envvar="STILLWATCH_COUNTERS", help="redis:// URL of shared limits; else limits of this node."),
    ] = None,
    signing_key: Annotated[Path | None, typer.Option(help="Ed25519 key (PEM) that signs; made when missing.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(exists=True, help="Certificate to serve TLS with.")] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, help="Its private key.")] = None,
) -> None:
    """Take telemetry in, scan it on a schedule, plan (shadow mode unless the policy says more), publish and decide."""
    try:
        from stillwatch.service.cycle import Rhythm
        from stillwatch.service.listen import Listen, check_listen, run
        from stillwatch.service.planning import PolicyFile
        from stillwatch.service.serve import ServeSettings, serve_app
    except ImportError as error:
        raise ConfigError(f"the service needs {error.name}: pip install 'stillwatch[service]'") from error
    if on_failure not in ("open", "closed"):
        raise ConfigError(f"--on-failure is {on_failure!r}; known: open, closed")
    listen = Listen(host, port, tls_cert, tls_key)
    check_listen(listen, keys)
    given = {"--identity": identity, "--networks": networks, "--key-file": key_file}
    passed = [word for name, path in given.items() if path for word in (name, str(path))]
    settings = ServeSettings(
        home=home,
        policy=PolicyFile(policy, trusted_key) if policy else None,
        state_url=state,
        watched=tuple(watch or ()),
        ingest_options=(*passed, *(["--content-free"] if content_free else [])),
        rhythm=Rhythm(take_over=every, scan=scan_every, refresh=refresh),
        bounds=(int(most_memory_mb * (1 << 20)), int(most_disk_gb * (1 << 30))),
        silent_after=silent_after,
        expected=tuple(expect or ()),
        on_failure="open" if on_failure == "open" else "closed",
        max_age=max_age,
        keys=keys,
        per_second=per_second,
        counters=counters,
        hash_key=key_file,
        signing_key=signing_key,
    )
    run(serve_app(settings), listen)
