"""Scans of a live service: one at a time, each reading the text of new files alone, nothing left behind by a kill."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from .living import Living, children, end, eventually

Start = Callable[..., Living]
_COUNTING = """
import os
import pyarrow.parquet as pq
make, read = pq.ParquetFile.__init__, pq.ParquetFile.iter_batches
def remember(self, source, *args, **named):
    self._of = str(source)
    make(self, source, *args, **named)
def counted(self, *args, **named):
    with open(os.environ["READS"], "a") as log:
        log.write(f"{self._of} {' '.join(named.get('columns') or ['system_text'])}\\n")
    return read(self, *args, **named)
pq.ParquetFile.__init__, pq.ParquetFile.iter_batches = remember, counted
"""


def rows(day: int, accounts: int = 40) -> str:
    """Return one exchange an account, all on one day."""
    return "\n".join(
        json.dumps({"exchange_id": f"e{day}-{n}", "account_id": f"a{n}", "ts": f"2026-09-{day:02}T12:00:00Z",
                    "model": "m", "prompt_text": f"Explain the number {n} in the words of day {day}."})
        for n in range(accounts)
    )  # fmt: skip


def scanning(pid: int) -> list[int]:
    """Return the scans that a process has started and that still run."""
    return [child for child in children(pid) if b"scan\0" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_second_scan_reads_the_text_of_new_files_only(tmp_path: Path, start: Start) -> None:
    """Counted where Parquet is read: the first scan reads the first day, the second the second day and no other."""
    reads = tmp_path / "reads"
    (tmp_path / "sitecustomize.py").write_text(_COUNTING)
    counting = ("env", f"READS={reads}", f"PYTHONPATH={tmp_path}")
    serve = start("serve", "--home", tmp_path / "home", "--every", 0.2, "--scan-every", 1, within=counting)

    def texts_read() -> set[str]:
        lines = [line.partition(" ") for line in reads.read_text().splitlines()]
        return {Path(file).parent.name for file, _, columns in lines if "system_text" in columns.split()}

    for day in (1, 2):
        reads.write_text("")
        assert serve.http.post("/v1/exchanges", content=rows(day)).status_code == 200
        run = tmp_path / "home" / "scans" / f"{day:06d}" / "run.json"
        eventually(run.exists, f"scan {day}")
        assert json.loads(run.read_text())["rows"]["exchanges"] == 40 * day
        assert texts_read() == {f"day=2026-09-{day:02}"}


def test_a_scan_that_outlives_its_service_is_not_doubled(tmp_path: Path, start: Start) -> None:
    """The next service waits for it, however long it takes; then it scans, and clears away what a kill has left."""
    home = tmp_path / "home"
    serve = start("serve", "--home", home, "--every", 0.1, "--scan-every", 1)
    assert serve.http.post("/v1/exchanges", content=rows(1)).status_code == 200
    (orphan,) = eventually(lambda: scanning(serve.child.pid), "a scan")
    os.kill(orphan, signal.SIGSTOP)
    serve.kill()
    (home / "fingerprints").mkdir(exist_ok=True)
    (home / "fingerprints" / f"{'0' * 32}.new-{orphan}").write_bytes(b"half")
    again = start("serve", "--home", home, "--every", 0.1, "--scan-every", 1)
    waits = "the scan of an earlier service is still under way"
    eventually(lambda: sum(line["message"] == waits for line in again.lines()) > 1, "two turns of waiting")
    assert scanning(again.child.pid) == []
    assert not (home / "scans" / "latest").exists()
    end([orphan])
    eventually((home / "scans" / "latest" / "run.json").exists, "a scan after it")
    assert not list((home / "fingerprints").glob("*.new-*"))
