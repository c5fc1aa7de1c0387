"""A file system that is really full under a running service: a small tmpfs in a namespace of the process's own."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from stillwatch.tables import Dataset

from .living import Living, eventually

Start = Callable[..., Living]
SMALL = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MOUNT = 'mount -t tmpfs -o size=12m tmpfs "$0" && exec "$@"'


def fill(file: Path) -> None:
    """Write until nothing more fits."""
    with file.open("wb", buffering=0) as filler:
        for size in (1 << 16, 1):
            with pytest.raises(OSError, match="No space left"):
                forever(filler, bytes(size))


def forever(file: io.FileIO, data: bytes) -> None:
    """Write the same again and again."""
    while True:
        file.write(data)


def test_a_full_file_system_refuses_and_loses_nothing(tmp_path: Path, start: Start) -> None:
    """Spool, dataset and snapshot have no room: 503, decisions go on; with room, all that was accepted is there."""
    home = tmp_path / "home"
    home.mkdir()
    if not shutil.which("unshare") or subprocess.run([*SMALL, MOUNT, home, "true"], check=False).returncode:
        pytest.skip("this machine gives no process a mount namespace of its own")
    serve = start("serve", "--home", home, "--every", 0.5, "--refresh", 1, within=(*SMALL, MOUNT, home))
    inside = Path(f"/proc/{serve.child.pid}/root{home}")
    accepted: list[str] = []

    def sent(number: int) -> int:
        row = {"exchange_id": f"e{number}", "account_id": "a", "ts": "2026-09-01T12:00:00Z", "model": "m"}
        reply = serve.http.post("/v1/exchanges", content=json.dumps({**row, "prompt_text": f"{number} " * 2_000}))
        accepted.extend([f"e{number}"] if reply.status_code == 200 else [])
        return reply.status_code

    assert [sent(number) for number in range(5)] == [200] * 5
    eventually(lambda: serve.status()["published_at"], "a first snapshot")
    fill(inside / "filler")
    assert 503 in [sent(number) for number in range(5, 40)]
    eventually(lambda: serve.status()["failures"].get("publish", 0) > 1, "a snapshot that found no room")
    assert serve.decide(account="a")["decision"]["action"] == "allow"
    assert serve.http.get("/healthz").json() == {"status": "ok"}
    (inside / "filler").unlink()
    published = serve.status()["published_at"]
    eventually(lambda: sent(99) == 200, "room again")
    eventually(lambda: serve.status()["published_at"] > published, "the next snapshot")

    def stored() -> Counter[str]:
        batches = Dataset(inside / "data").batches(["exchange_id"])
        return Counter(name for batch in batches for name in batch.column(0).to_pylist())

    eventually(lambda: stored().keys() >= set(accepted), "all that was accepted")
    assert stored() == Counter(set(accepted))
