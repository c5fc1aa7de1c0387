"""The spool: what was acknowledged is there, once, whatever cut the rest."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.service.intake import Bounds, Intake
from stillwatch.service.spool import Delivery, Spool, read_segment
from stillwatch.service.takeover import export
from stillwatch.service.web import Problem


def delivery(number: int) -> Delivery:
    """Return a delivery unlike any other."""
    return Delivery("litellm.ndjson", "k", b'{"id": "%d"}' % number)


def held(folder: Path) -> list[bytes]:
    """Return the bodies that a spool holds, opened anew."""
    return [one.body for segment in Spool(folder).seal() for one in read_segment(segment)]


def test_a_delivery_is_kept_once(tmp_path: Path) -> None:
    """Twice in one batch, again in the next, after a restart, and after it was taken over: it is there once."""
    spool = Spool(tmp_path)
    assert spool.append([delivery(1), delivery(1)]) == [True, False]
    assert spool.append([delivery(1), delivery(2)]) == [False, True]
    again = Spool(tmp_path)
    assert again.append([delivery(2)]) == [False]
    again.retire(again.seal())
    assert held(tmp_path) == []
    assert Spool(tmp_path).append([delivery(1), delivery(3)]) == [False, True]
    assert held(tmp_path) == [delivery(3).body]


def test_the_same_bytes_in_another_format_are_another_delivery(tmp_path: Path) -> None:
    """What a body means depends on where it was sent."""
    assert Spool(tmp_path).append([Delivery(kind, "k", b"{}") for kind in ("litellm.ndjson", "openai.ndjson")]) == [
        True,
        True,
    ]


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6), cut=st.floats(0, 1), junk=st.binary(max_size=40))
def test_a_crash_costs_only_the_record_that_was_being_written(sizes: list[int], cut: float, junk: bytes) -> None:
    """Cut a segment anywhere and put anything behind it: all whole records before the cut are there, in order."""
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder))
        ends = []
        for body in bodies:
            spool.append([Delivery("canonical.ndjson", "k", body)])
            ends.append(spool.nbytes)
        (segment,) = spool.seal()
        whole = segment.read_bytes()
        at = int(cut * len(whole))
        segment.write_bytes(whole[:at] + junk)
        kept = [body for body, end in zip(bodies, ends, strict=True) if end <= at]
        found = held(Path(folder))
        assert found[: len(kept)] == kept
        assert found[len(kept) :] in ([], [bodies[len(kept)]] if len(kept) < len(bodies) else [])
        assert held(Path(folder)) == found


def test_what_a_full_disk_did_not_take_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a record on disk is taken back; the next one is whole."""
    import os

    spool = Spool(tmp_path)
    spool.append([delivery(1)])
    write = os.write

    def full(handle: int, data: bytes) -> int:
        write(handle, bytes(data[:7]))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(OSError, match="No space"):
            spool.append([delivery(2)])
    assert spool.append([delivery(2), delivery(3)]) == [True, True]
    assert held(tmp_path) == [delivery(number).body for number in (1, 2, 3)]


def together(spool: Spool, bounds: Bounds, deliveries: list[Delivery]) -> tuple[list[Any], Intake]:
    """Put deliveries at once; returns what each got."""

    async def run() -> tuple[list[Any], Intake]:
        intake = Intake(spool, bounds, clock=lambda: 7.0)
        waiting = [asyncio.ensure_future(intake.put(one)) for one in deliveries]
        await asyncio.sleep(0)
        writer = asyncio.ensure_future(intake.run())
        found = await asyncio.gather(*waiting, return_exceptions=True)
        writer.cancel()
        return found, intake

    return asyncio.run(run())


def test_many_deliveries_share_one_sync(tmp_path: Path) -> None:
    """All are told that they are new, the repeated one that it is not, and all are there."""
    found, intake = together(Spool(tmp_path), Bounds(), [delivery(n) for n in (*range(50), 7)])
    assert found == [True] * 50 + [False]
    assert (intake.accepted.total(), intake.repeated.total(), intake.last_seen) == (50, 1, {"k": 7.0})
    assert len(held(tmp_path)) == 50


@pytest.mark.parametrize(
    ("bounds", "status", "why"), [(Bounds(memory=30), 429, "memory"), (Bounds(disk=30), 503, "backlog")]
)
def test_too_much_is_pushed_back_and_not_lost(tmp_path: Path, bounds: Bounds, status: int, why: str) -> None:
    """Who is told to come again kept nothing here; who is told yes is on disk."""
    found, intake = together(Spool(tmp_path), bounds, [delivery(n) for n in range(10)])
    refused = [one for one in found if isinstance(one, Problem)]
    assert refused
    assert {one.answer.status for one in refused} == {status}
    assert all("retry-after" in one.answer.headers for one in refused)
    assert len(held(tmp_path)) == found.count(True) == 10 - len(refused)
    assert intake.refused == {why: len(refused)}


def test_segments_become_files_that_ingest_reads(tmp_path: Path) -> None:
    """One file a format; protobuf messages get the length in front that the collector's files have."""
    spool = Spool(tmp_path / "spool")
    spool.append([Delivery("otel.pb", "k", b"\x0a\x00"), delivery(1), Delivery("otel.pb", "k", b"\x0a\x01x")])
    files = export(spool.seal(), tmp_path / "work")
    assert {form: [file.name for file in found] for form, found in files.items()} == {
        "otel": ["000000000001-otel.pb"],
        "litellm": ["000000000001-litellm.ndjson"],
    }
    assert files["otel"][0].read_bytes() == b"\0\0\0\x02\x0a\x00\0\0\0\x03\x0a\x01x"


def test_a_fault_of_the_writer_is_told_and_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever: an error that nobody foresaw reaches each sender, and the next delivery is kept."""
    spool = Spool(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(spool, "append", lambda deliveries: 1 / 0)
        found, _ = together(spool, Bounds(), [delivery(1), delivery(2)])
    assert [type(one) for one in found] == [RuntimeError, RuntimeError]
    assert together(spool, Bounds(), [delivery(1)])[0] == [True]
