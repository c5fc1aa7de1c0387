"""The machine's clock jumps under real `stillwatch serve` and `stillwatch gateway` processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Limit
from stillwatch.response.store import State

from .conftest import measured, put_in_force
from .living import Living, eventually

Start = Callable[..., Living]
HOUR, DAY = 3_600, 86_400
_MOVED = """
import sys, time
from datetime import datetime as real
from pathlib import Path
offset, plain = Path(sys.argv.pop(1)), time.time
time.time = lambda: plain() + float(offset.read_text())
from stillwatch.response import store
class Moved(real):
    @classmethod
    def now(cls, tz=None):
        return real.fromtimestamp(time.time(), tz)
store.datetime = Moved
from stillwatch.cli import main
main()
"""


def test_a_clock_that_jumps_stops_nothing_and_opens_nothing(tmp_path: Path, start: Start) -> None:
    """An hour and a day, forth and back: bursts are not multiplied, measures follow the clock, news get through."""
    launcher, offset = tmp_path / "moved.py", tmp_path / "offset"
    launcher.write_text(_MOVED)
    offset.write_text("0")
    home, now = tmp_path / "home", datetime.now(UTC)
    home.mkdir()
    state = State.open(f"sqlite:///{home}/state.db")
    long = {"starts_at": now - timedelta(days=9), "expires_at": now + timedelta(days=9)}
    put_in_force(state, measured("limited", Rung.RATE_LIMIT, limit=Limit("SW-1", 0.01, 100.0), **long))
    short = {"starts_at": now - timedelta(hours=2), "expires_at": now + timedelta(hours=12)}
    put_in_force(state, measured("held", **short))
    moved = {"script": (launcher, offset)}
    serve = start("serve", "--home", home, **moved)
    trust = ("--trust", home / "signing.pub", "--state", tmp_path / "node", "--every", 0.2)
    gateway = start("gateway", "--snapshot", serve.url, *trust, **moved)

    def action(node: Living, account: str) -> str:
        return str(node.decide(account=account, tokens=100)["decision"]["action"])

    version = 0
    for number, jump in enumerate((0, HOUR, -HOUR, DAY, -DAY, 0)):
        (tmp_path / "next").write_text(str(jump))
        (tmp_path / "next").replace(offset)
        put_in_force(state, measured(f"news-{number}", **long))
        held = "suspend" if -2 * HOUR < jump < 12 * HOUR else "allow"
        for node in (serve, gateway):
            eventually(lambda n=node, who=f"news-{number}": action(n, who) == "suspend", f"news after {jump} s")
            assert action(node, "held") == held
            assert [action(node, "limited") for _ in range(5)].count("tag") <= 1
            assert node.http.get("/readyz").status_code == 200
        before, version = version, gateway.http.get("/readyz").json()["version"]
        assert version > before
    assert gateway.metric("stillwatch_refused_snapshots_total") == 0
    assert serve.status()["failures"] == {}
    assert abs(serve.status()["published_at"] - time.time()) < HOUR
    state.close()
