"""What a decision costs: in process with a million accounts, over HTTP beside a bare handler, and in memory.

    python benchmarks/decide.py [--accounts 1000000] [--seconds 5] [--rounds 3] [--connections 16]

The HTTP part starts two uvicorn servers, each on one core when there are two or more: `stillwatch gateway`'s own
application, and a bare handler that reads the body and answers 200. Both get the same load in turns, from wrk when
it is installed and from the small client below when it is not; the ratio is what counts, since the machine is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import random
import shutil
import socket
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.response.buckets import LocalBuckets
from stillwatch.response.decide import Request, decide
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Cap, Limit, Scope, Standing
from stillwatch.service.delta import make_delta
from stillwatch.service.node import Node
from stillwatch.service.signing import Signer, Trust
from stillwatch.service.snapshot import Snapshot, build, open_snapshot

NOW = datetime(2026, 9, 1, tzinfo=UTC)
ACCOUNTS = {"bare": "nobody", "gateway": "nobody", "gateway, an account under a cap": "account-77"}


def standing(number: int) -> Standing:
    """Return the measure of one account; a hundred campaigns share the accounts."""
    campaign = f"SW-{number % 100:010d}"
    return Standing(
        account_id=f"account-{number}",
        campaign_id=campaign,
        plan_id="P-1",
        rung=Rung.CAP if number % 3 else Rung.RATE_LIMIT,
        scope=Scope(whole_account=True),
        starts_at=NOW,
        expires_at=NOW + timedelta(days=3_650),
        limit=None if number % 3 else Limit(campaign, 1e9, 1e9),
        cap=Cap(256, no_logprobs=True) if number % 3 else None,
        shadow=False,
    )


def made(accounts: int, signer: Signer) -> Snapshot:
    """Build a snapshot and print what it costs."""
    standings = [standing(number) for number in range(accounts)]
    begun = time.perf_counter()
    data = build(standings, version=1, created_at=NOW.timestamp(), signer=signer)
    seconds = time.perf_counter() - begun
    del standings
    begun = time.perf_counter()
    snapshot = open_snapshot(data, Trust.of(signer.public))
    opened = time.perf_counter() - begun
    print(f"snapshot   {accounts:,} accounts: {len(data) / 1e6:.1f} MB file, built in {seconds:.1f} s, "
          f"checked and opened in {opened * 1000:.0f} ms")  # fmt: skip
    print(f"memory     {snapshot.nbytes / accounts:.1f} MB a million accounts")
    return snapshot


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def in_process(snapshot: Snapshot, accounts: int, rounds: int = 200_000) -> None:
    """Time single decisions: half of the accounts are listed, half are nobody's."""
    buckets, now, chance = LocalBuckets(), NOW.timestamp() + 60, random.Random(1)
    requests = [Request(account=f"account-{chance.randrange(2 * accounts)}", model="large", tokens=100.0)
                for _ in range(rounds)]  # fmt: skip
    spent = np.empty(rounds)
    clock = time.perf_counter_ns
    for place, request in enumerate(requests):
        begun = clock()
        decide(snapshot, request, buckets, now)
        spent[place] = clock() - begun
    p50, p99, p999 = np.percentile(spent, [50, 99, 99.9]) / 1000
    print(f"in process p50 {p50:.1f} µs, p99 {p99:.1f} µs (goal 50), p99.9 {p999:.1f} µs over {rounds:,} decisions")


def delta_size(snapshot: Snapshot, accounts: int, signer: Signer) -> None:
    """Print how large a delta of one more campaign is, and how long it takes."""
    more = [standing(number) for number in range(accounts + 2_000)]
    after = open_snapshot(build(more, version=2, created_at=NOW.timestamp(), signer=signer), Trust.of(signer.public))
    begun = time.perf_counter()
    delta = make_delta(snapshot, after)
    made_in = time.perf_counter() - begun
    node = Node(Trust.of(signer.public))
    node.current = snapshot
    begun = time.perf_counter()
    node.offer(delta)
    print(f"delta      2,000 accounts more: {len(delta) / 1e3:.0f} kB, made in {made_in:.2f} s, "
          f"applied and checked in {time.perf_counter() - begun:.2f} s")  # fmt: skip


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer 200: the floor that the same server sets."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    body = b'{"decision":{"action":"allow","version":1}}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serving(kind: str, folder: str, port: int, core: int | None) -> None:
    """Run one server until it is ended."""
    from stillwatch.service.listen import Listen, run
    from stillwatch.service.nodes import NodeSettings, node_app

    if core is not None:
        os.sched_setaffinity(0, {core})
    home = Path(folder)
    settings = NodeSettings(source=str(home / "snapshot.bin"), trust=(home / "signing.pub",), max_age=1e12)
    app = bare if kind == "bare" else node_app(settings)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the log
    run(app, Listen(port=port))


def question(kind: str) -> bytes:
    """Return the body of a request."""
    asked = {"account": ACCOUNTS[kind], "key": "key-1", "model": "large", "prompt": "x" * 200}
    return json.dumps(asked).encode()


async def load(port: int, seconds: float, connections: int, body: bytes) -> tuple[float, float, int]:
    """Ask over keep-alive connections for some seconds; returns requests a second, p99 in ms, and bad answers."""
    head = f"POST /v1/decide HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    spent: list[float] = []
    bad = 0
    end = time.perf_counter() + seconds

    async def asking() -> None:
        nonlocal bad
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < end:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            spent.append(time.perf_counter() - begun)
            bad += not answer.startswith(b"HTTP/1.1 200")
        writer.close()

    await asyncio.gather(*(asking() for _ in range(connections)))
    return len(spent) / seconds, float(np.percentile(spent, 99)) * 1000, bad


def wrk(port: int, seconds: float, connections: int, body: bytes, folder: str) -> tuple[float, float, int]:
    """Have wrk ask, when it is installed."""
    script = Path(folder, "ask.lua")
    script.write_text(
        f'wrk.method="POST" wrk.body=[==[{body.decode()}]==] wrk.headers["content-type"]="application/json"'
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", "-s", str(script)]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/decide"], check=True, capture_output=True, text=True
    ).stdout
    words = {line.split()[0]: line.split()[1] for line in text.splitlines() if len(line.split()) == 2}
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    number = words["99%"].rstrip("mus")
    per_second = float(text.partition("Requests/sec:")[2].split()[0])
    return per_second, float(number) * unit[words["99%"][len(number) :]], text.count("Non-2xx")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def over_http(snapshot: Snapshot, signer: Signer, chosen: argparse.Namespace) -> None:
    """Load the gateway and the bare handler in turns, and print both and their ratio."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "snapshot.bin").write_bytes(snapshot.data)
        pem = signer.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        Path(folder, "signing.pub").write_bytes(pem)
        core = 0 if (os.cpu_count() or 1) > 1 else None
        kinds = {kind: free_port() for kind in ("bare", "gateway")}
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=serving, args=(kind, folder, port, core)) for kind, port in kinds.items()]
        for process in processes:
            process.start()
        if core is not None:
            os.sched_setaffinity(0, set(range(1, os.cpu_count() or 2)))
        try:
            for port in kinds.values():
                wait_for(port)
            time.sleep(2)  # the gateway reads its snapshot
            show(kinds, {kind: process.pid or 0 for kind, process in zip(kinds, processes, strict=True)},
                 chosen, folder)  # fmt: skip
        finally:
            for process in processes:
                process.terminate()
                process.join()


def show(ports: dict[str, int], pids: dict[str, int], chosen: argparse.Namespace, folder: str) -> None:
    """Load each in turns, for some rounds.

    The best rate counts, as neighbours only ever slow things down, and the processor time of all rounds together.
    """
    seconds, connections = chosen.seconds, chosen.connections
    by_wrk = shutil.which("wrk") is not None
    found: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in ACCOUNTS}
    cost: dict[str, list[float]] = {kind: [] for kind in ACCOUNTS}
    for kind in [*ACCOUNTS] * chosen.rounds:
        server, body = kind.partition(",")[0], question(kind)
        before = cpu_seconds(pids[server])
        asked = (ports[server], seconds, connections, body)
        one = wrk(*asked, folder) if by_wrk else asyncio.run(load(*asked))
        found[kind].append(one)
        cost[kind].append(cpu_seconds(pids[server]) - before)
    print(f"HTTP       {connections} connections, {'wrk' if by_wrk else 'the asyncio client of this file'}; goal 0.70")
    each = {kind: sum(cost[kind]) / sum(one[0] * seconds for one in found[kind]) * 1e6 for kind in ACCOUNTS}
    for kind, rounds in found.items():
        best = max(rounds)
        rate, processor = best[0] / max(found["bare"])[0], each["bare"] / each[kind]
        print(f"  {kind}: {best[0]:,.0f} requests/s on one core ({rate:.2f}), p99 {best[1]:.2f} ms, "
              f"{each[kind]:.1f} µs of server processor a request ({processor:.2f}), "
              f"{sum(one[2] for one in rounds)} bad")  # fmt: skip


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def main() -> None:
    """Run all parts and print their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3, help="more and shorter ones are steadier beside other work")
    parser.add_argument("--connections", type=int, default=16)
    chosen = parser.parse_args()
    print(f"{datetime.now(UTC):%d %b %Y}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}")  # fmt: skip
    signer = Signer(Ed25519PrivateKey.generate())
    snapshot = made(chosen.accounts, signer)
    in_process(snapshot, chosen.accounts)
    delta_size(snapshot, chosen.accounts, signer)
    over_http(snapshot, signer, chosen)


if __name__ == "__main__":
    main()
