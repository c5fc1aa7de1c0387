"""Real `stillwatch serve` and `gateway` processes on loopback, on ports of their own choosing."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

PATIENCE_S = 240.0


def eventually(holds: Callable[[], Any], what: str = "it") -> Any:
    """Wait until a condition holds, and return what it gave."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come to pass in {PATIENCE_S:.0f} s")


class Living:
    """One running process of ours; its log lines are JSON and say where it listens."""

    def __init__(
        self,
        log: Path,
        *words: object,
        most_file_bytes: int | None = None,
        within: Sequence[object] = (),
        script: Sequence[object] = ("-m", "stillwatch.cli"),
    ) -> None:
        """Start it with a free port and wait until it listens; ``within`` is a command that starts it in turn."""
        self.log = log
        command = [str(word) for word in (*within, sys.executable, *script, *words, "--port", "0")]
        with log.open("ab") as output:
            self.child = subprocess.Popen(command, stdout=output, stderr=output)
        if most_file_bytes is not None:  # not by ``preexec_fn``: a fork beside gRPC's threads may not live to its exec
            resource.prlimit(self.child.pid, resource.RLIMIT_FSIZE, (most_file_bytes, most_file_bytes))
        listening = eventually(self._listening, f"{words[0]} listening; it said: {self.said()}")
        self.url = f"http://127.0.0.1:{listening['port']}"
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def _listening(self) -> dict[str, Any] | None:
        assert self.child.poll() is None, self.said()
        lines = self.lines()
        begun = any(line.get("message") == "Application startup complete." for line in lines)
        return next((line for line in lines if line.get("message") == "listening"), None) if begun else None

    def lines(self) -> list[dict[str, Any]]:
        """Return the log as it stands."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def said(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-3_000:] if self.log.exists() else ""

    def decide(self, **request: object) -> dict[str, Any]:
        """Ask for a decision; returns the whole verdict."""
        reply = self.http.post("/v1/decide", json=request)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def metric(self, name: str) -> float:
        """Return the sum of a metric's readings."""
        lines = self.http.get("/metrics").text.splitlines()
        mine = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in mine)

    def status(self) -> dict[str, Any]:
        """Return `/v1/status`."""
        return dict(self.http.get("/v1/status").json())

    def kill(self) -> None:
        """End it as a crash would."""
        self.http.close()
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(30)

    def stop(self) -> None:
        """End it politely."""
        self.http.close()
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def end(pids: list[int]) -> None:
    """End processes by id."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
