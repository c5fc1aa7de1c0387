"""Real servers as child processes on loopback: unique ports, waits without guesses, logs kept when something fails."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

READY_WITHIN_S = 300.0  # machines are shared; a server that ends early is noticed at once


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def required(path: Path | None, what: str, remedy: str) -> Path:
    """Return a server's program; where it is missing, skip on a developer's machine and fail in CI."""
    if path is not None and path.exists():
        return path
    reason = f"{what} is not installed: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Process:
    """A child process that listens on ports; its output goes to a file that failures quote."""

    def __init__(self, command: Sequence[str | Path], ports: Sequence[int], log: Path) -> None:
        """Remember how to start it; :meth:`start` does."""
        self.command, self.ports, self.log = [str(word) for word in command], list(ports), log
        self.environment: Mapping[str, str] = os.environ
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until every port accepts a connection."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, without waiting."""
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(self.command, stdout=output, stderr=output, env=dict(self.environment))

    def wait(self) -> None:
        """Wait until every port accepts a connection."""
        for port in self.ports:
            self._await(port)

    def stop(self, *, kill: bool = False) -> None:
        """End it: politely, or at once as a crash would."""
        if self._child is None:
            return
        if kill:
            self._child.kill()
        else:
            self._child.terminate()
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(20)
        self._child = None

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Let it crash, and start it again afterwards."""
        self.stop(kill=True)
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it accept connections and answer nothing, as a process that hangs does."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._child.send_signal(signal.SIGCONT)

    def said(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(errors="replace")[-4_000:] if self.log.exists() else ""

    def _await(self, port: int) -> None:
        assert self._child is not None
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            if self._child.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended with {self._child.returncode}:\n{self.said()}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"{self.command[0]} does not listen on {port}:\n{self.said()}")


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """Run a process for the length of a block."""
    try:
        process.start()
        yield process
    finally:
        process.stop()


def shipped(config: Path, folder: Path, ports: Mapping[int, int], words: Mapping[str, str] | None = None) -> Path:
    """Copy a shipped configuration with other ports (old to new) and placeholders filled; nothing else is changed."""
    text = config.read_text(encoding="utf-8")
    for old, new in ports.items():
        text, changed = re.subn(rf"(?<=[ :])(?:{old})(?=[\s;,}}/\"])", str(new), text)
        assert changed, f"{config.name} does not use port {old}"
    for old, new in (words or {}).items():
        assert old in text, f"{config.name} has no {old}"
        text = text.replace(old, new)
    target = folder / config.name
    target.write_text(text, encoding="utf-8")
    return target
