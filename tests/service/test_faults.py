"""What goes wrong in real life, with real processes: nothing accepted is lost, nothing refused is used."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from stillwatch.response.buckets import LocalBuckets
from stillwatch.response.decide import Request
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Limit
from stillwatch.service.deciding import Decider
from stillwatch.service.node import Node
from stillwatch.service.signing import Signer, Trust, find_signer
from stillwatch.service.snapshot import build, open_snapshot
from stillwatch.tables import Dataset

from .conftest import NOON, measured
from .living import Living, children, end, eventually

Start = Callable[..., Living]
DAY = 86_400.0


def row(number: int, account: str = "a") -> dict[str, str]:
    """Return one exchange."""
    return {"exchange_id": f"e{number}", "account_id": account, "ts": "2026-09-01T12:00:00Z", "model": "m"}


def stored(home: Path) -> Counter[str]:
    """Return how often each exchange is in the dataset."""
    batches = Dataset(home / "data").batches(["exchange_id"])
    return Counter(name for batch in batches for name in batch.column(0).to_pylist())


class Sender(threading.Thread):
    """Sends numbered exchanges one by one, and remembers which of them were accepted."""

    def __init__(self, url: str, first: int) -> None:
        """Begin with a number."""
        super().__init__()
        self.url, self.next = url, first
        self.accepted: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        """Send until nobody answers any more."""
        with httpx.Client(base_url=self.url) as client:
            while not self.enough.is_set():
                try:
                    reply = client.post("/v1/exchanges", json=row(self.next))
                except httpx.HTTPError:
                    return
                if reply.status_code == 200:
                    self.accepted.append(f"e{self.next}")
                self.next += 1


def test_kill_during_ingest_loses_nothing_that_was_accepted(tmp_path: Path, start: Start) -> None:
    """Killed while requests and take-overs are under way: after the restart each accepted exchange is there once."""
    home = tmp_path / "home"
    serve = start("serve", "--home", home, "--every", 0.1)
    sender = Sender(serve.url, 0)
    sender.start()
    eventually(lambda: len(sender.accepted) > 200 and children(serve.child.pid), "a take-over under way")
    orphans = children(serve.child.pid)
    serve.kill()
    end(orphans)
    sender.join()
    again = start("serve", "--home", home, "--every", 0.1)
    last = Sender(again.url, sender.next - 1)  # the one that got no answer is sent again
    last.start()
    eventually(lambda: len(last.accepted) > 20, "more exchanges")
    last.enough.set()
    last.join()
    accepted = set(sender.accepted) | set(last.accepted)
    eventually(lambda: accepted <= stored(home).keys(), "all that was accepted")
    assert set(stored(home).values()) == {1}


def test_kill_during_a_scan_leaves_no_half_scan(tmp_path: Path, start: Start) -> None:
    """The next start clears the half away and scans anew; readers only ever see whole scans."""
    home = tmp_path / "home"
    serve = start("serve", "--home", home, "--every", 0.1, "--scan-every", 1)
    lines = [json.dumps(row(number, f"a{number % 40}")) for number in range(400)]
    assert serve.http.post("/v1/exchanges", content="\n".join(lines)).status_code == 200

    def scanning() -> list[int]:
        found = [pid for pid in children(serve.child.pid) if b"scan\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found if (home / "scans" / "000001").exists() or found else []

    eventually(scanning, "a scan")
    orphans = children(serve.child.pid)
    serve.kill()
    end(orphans)
    assert not (home / "scans" / "latest").exists()
    start("serve", "--home", home, "--scan-every", 1)
    eventually((home / "scans" / "latest" / "run.json").exists, "a whole scan")
    assert all((path / "run.json").exists() for path in (home / "scans").iterdir() if path.name.isdigit())
    assert stored(home).total() == 400


_PUBLISHING = """
import sys, pathlib
from datetime import UTC, datetime
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Scope, Standing
from stillwatch.service.publish import Publisher
from stillwatch.service.signing import find_signer
day = datetime(2026, 9, 1, tzinfo=UTC)
rest = dict(campaign_id="c", plan_id="p", rung=Rung.TAG, scope=Scope(whole_account=True), starts_at=day, expires_at=day)
standings = [Standing(account_id=str(number), **rest) for number in range(20_000)]
folder = pathlib.Path(sys.argv[1])
publisher = Publisher(folder / "snapshot.bin", find_signer(folder / "signing.pem"))
while True:
    print(publisher.publish(standings, 1.0).version, flush=True)
"""


def test_kill_during_a_snapshot_swap_leaves_a_whole_one(tmp_path: Path) -> None:
    """Whenever it happens: the file is signed and whole, and at least as new as what was said to be published."""
    trust = Trust.of(find_signer(tmp_path / "signing.pem").public)
    said = 0
    for wait in (0.0, 0.013, 0.1):
        child = subprocess.Popen(
            [sys.executable, "-c", _PUBLISHING, str(tmp_path)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        with child.stdout:
            first = int(child.stdout.readline())
            time.sleep(wait)
            child.kill()
            child.wait()
            said = max([first, *map(int, child.stdout.read().split())], default=said)
        snapshot = open_snapshot((tmp_path / "snapshot.bin").read_bytes(), trust)
        assert snapshot.version >= said
        assert snapshot.rows == 20_000


def test_a_node_refuses_bad_snapshots_and_takes_the_next_good_one(tmp_path: Path, start: Start) -> None:
    """Corrupt, cut, older, unsigned, foreign: counted, and the last good one goes on deciding."""
    signer, stranger = find_signer(tmp_path / "signing.pem"), find_signer(tmp_path / "other.pem")
    source, now = tmp_path / "snapshot.bin", time.time()

    def signed(version: int, account: str, by: Signer = signer) -> bytes:
        return build([measured(account, starts_at=NOON, expires_at=NOON.replace(year=2100))], version=version,
                     created_at=now, signer=by)  # fmt: skip

    good = signed(5, "bad-actor")
    source.write_bytes(good)
    node = start("gateway", "--snapshot", source, "--trust", tmp_path / "signing.pub", "--every", 0.1)
    eventually(lambda: node.http.get("/readyz").status_code == 200, "the first snapshot")
    unsigned = good[:-200] + bytes(64) + good[-136:]
    for place, bad in enumerate(
        (good[:-1] + b"!", good[:100], b"", signed(4, "x"), unsigned, signed(9, "x", stranger))
    ):
        source.write_bytes(bad)
        eventually(
            lambda count=place + 1: node.metric("stillwatch_refused_snapshots_total") == count, f"refusal {place}"
        )
        assert node.decide(account="bad-actor")["decision"]["action"] == "suspend"
    source.write_bytes(signed(6, "another"))
    eventually(lambda: node.decide(account="another")["decision"]["action"] == "suspend", "the next good one")
    assert node.decide(account="bad-actor")["decision"]["action"] == "allow"


def test_a_full_disk_is_told_and_not_hidden(tmp_path: Path, start: Start) -> None:
    """Without room for a delivery there is no 2xx; what fits goes on; what was accepted is there after a restart."""
    home = tmp_path / "home"
    serve = start("serve", "--home", home, "--every", 3_600, most_file_bytes=1 << 20)
    large = "\n".join(json.dumps({**row(n), "user_agent": "x" * 1_000}) for n in range(2_000))
    for _ in range(2):
        reply = serve.http.post("/v1/exchanges", content=large)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "10")
        assert serve.http.post("/v1/exchanges", json=row(9_000)).status_code == 200
    assert serve.metric("stillwatch_refused_deliveries_total") == 2
    assert serve.decide(account="a")["decision"]["action"] == "allow"
    serve.kill()
    start("serve", "--home", home, "--every", 0.1)
    eventually(lambda: stored(home) == Counter(["e9000"]), "the accepted exchange, alone")


def test_without_its_database_the_service_goes_on(tmp_path: Path, start: Start) -> None:
    """Telemetry is taken and the last snapshot decides; the failure is counted and logged; no snapshot replaces it."""
    home = tmp_path / "home"
    signer = find_signer(home / "signing.pem")
    standing = measured("bad-actor", expires_at=NOON.replace(year=2100))
    (home / "snapshot.bin").write_bytes(build([standing], version=7, created_at=time.time(), signer=signer))
    serve = start(
        "serve", "--home", home, "--state", "postgresql+pg8000://nobody:none@127.0.0.1:1/none", "--refresh", 1
    )
    eventually(lambda: serve.status()["failures"].get("publish", 0) > 1, "counted failures")
    verdict = serve.decide(account="bad-actor")["decision"]
    assert (verdict["action"], verdict["version"]) == ("suspend", 7)
    assert serve.http.post("/v1/exchanges", json=row(1)).status_code == 200
    assert any("publish failed" in line["message"] for line in serve.lines())
    assert "none@" not in serve.said()


@pytest.mark.parametrize("jump", [-10 * DAY, -60.0, 3_600.0, 10 * DAY])
def test_a_clock_that_jumps_opens_no_bucket_and_shuts_nobody_in(signer: Signer, jump: float) -> None:
    """At any time at most the burst is granted at once; measures end by the clock that the machine has."""
    clock = [NOON.timestamp() + DAY / 2]
    node = Node(Trust.of(signer.public))
    limit = Limit("SW-1", tokens_per_minute=1.0, burst=100.0)
    node.offer(build([measured("a", Rung.RATE_LIMIT, limit=limit)], version=1, created_at=clock[0], signer=signer))
    decider = Decider(node, LocalBuckets(), max_age=30 * DAY, clock=lambda: clock[0])
    asked = Request(account="a", tokens=100.0)
    assert decider.answer(asked).action == "tag"
    assert decider.answer(asked).action == "rate-limit"
    clock[0] += jump
    actions = [decider.answer(asked).action for _ in range(5)]
    assert actions.count("tag") <= 1
    in_force = NOON.timestamp() <= clock[0] < NOON.timestamp() + DAY
    assert ("allow" in actions) == (not in_force)
