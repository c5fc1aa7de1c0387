"""What linkage and campaigns cost as accounts grow: seconds and memory by stage at several sizes, with the exponent.

    python -m benchmarks.scaling DATASET                  # copies of a dataset (default: the simulated small world)
    python -m benchmarks.scaling --copies 1 5 25          # how many accounts each of its accounts becomes
    python -m benchmarks.scaling --template 1000 100000   # one template held by so many accounts, a third of all

A copy of an account asks a third of its exchanges, drawn anew, at other hours, from addresses and cards that only
copies of the same number share. So groups, constructions and their holders grow with the copies, and no two accounts
are the same. Each size runs in a process of its own; seconds are CPU seconds.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.floors import HEAD, Cost, cost
from stillwatch.attribution.verdict import judge
from stillwatch.campaigns.discover import Found, discover
from stillwatch.campaigns.fleets import own_fleets
from stillwatch.linkage.groups import Candidate, candidates
from stillwatch.linkage.space import Space, build_space
from stillwatch.signals.columns import Codes, Ints
from stillwatch.signals.frame import CODED, FLAGS, NUMBERS, Frame, Lists, Ragged, read_frame
from stillwatch.signals.sketch import Kind
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import ACCOUNTS, Dataset

OWN = ("ip", "ip_prefix", "payment_hash", "device_hash", "phone_hash", "email_hash", "email_domain", "referral")
HOUR_US = 3_600_000_000
START_US = 1_788_000_000_000_000
_SHARE = 1 / 3


def copied(frame: Frame, copies: int, *, seed: int = 0) -> Frame:
    """Return a frame with ``copies`` accounts for each of a frame's, each with a third of its exchanges."""
    rng = np.random.default_rng(seed)
    taken = rng.random((copies, frame.n_exchanges)) < _SHARE
    row, copy = np.nonzero(taken.T)
    account = frame.account[row] * copies + copy
    order = np.argsort(account, kind="stable")
    row, copy = row[order], copy[order]
    place = np.full((copies, frame.n_exchanges), -1, np.int32)
    place[copy, row] = np.arange(len(row))
    everyone = np.repeat(np.arange(frame.n_accounts), copies)
    copy_of = np.tile(np.arange(copies), frame.n_accounts)
    shift = rng.integers(0, 168, copies) * HOUR_US
    account = account[order].astype(np.int32)
    return replace(
        frame,
        account_ids=pa.array(np.arange(len(everyone)).astype(str)),
        exchange_ids=pa.array([], pa.string()),
        account=account,
        start=np.searchsorted(account, np.arange(len(everyone) + 1)).astype(np.int64),
        ts=frame.ts[row] + shift[copy],
        code={name: _own(name, frame.code[name], row, copy, copies) for name in CODED},
        number={name: frame.number[name][row] for name in NUMBERS},
        flag={name: frame.flag[name][row] for name in FLAGS},
        sketch=Lists(partial(_lists, frame.sketch, place), len(row)),
        template=frame.template[row],
        cues=Lists(partial(_lists, frame.cues, place), len(row)),
        capability=frame.capability[row],
        created=np.where(frame.created[everyone] < 0, -1, frame.created[everyone] + shift[copy_of]),
        closed=np.where(frame.closed[everyone] < 0, -1, frame.closed[everyone] + shift[copy_of]),
        attribute={name: _own(name, code, everyone, copy_of, copies) for name, code in frame.attribute.items()},
        digest={name: hashes[row] ^ (copy.astype(np.uint64) << np.uint64(32)) for name, hashes in frame.digest.items()},
    )


def _own(name: str, code: Codes, row: Ints, copy: Ints, copies: int) -> Codes:
    """Return a column's codes for copied rows; an identifier is another one in every copy."""
    values = code[row]
    if name not in OWN:
        return values
    return np.where(values < 0, -1, values * copies + copy).astype(np.int32)


def _lists(lists: Lists | Ragged, place: Codes) -> Iterator[tuple[Ints, Ragged]]:
    for rows, mine in lists:
        for copy in place:
            there = np.flatnonzero(copy[rows] >= 0)
            yield copy[rows[there]].astype(np.int64), mine.take(there)


def one_template(holders: int, *, each: int = 6, seed: int = 0) -> Frame:
    """Return a frame of three times as many accounts as ``holders``, who share a template, networks and sign-up days.

    The template has sixty hashes; the others' exchanges draw sixty each from as many hashes as there are accounts.
    """
    rng = np.random.default_rng(seed)
    n, rows = 3 * holders, 3 * holders * each
    account = np.repeat(np.arange(n, dtype=np.int32), each)
    held = account < holders
    signed = np.where(np.arange(n) < holders, rng.integers(0, 4, n) * 72, rng.integers(0, 90 * 24, n)) * HOUR_US
    ip = np.where(held, rng.integers(0, max(8, holders // 20), rows), holders + rng.integers(0, n, rows))
    nothing, absent = np.full(rows, -1, np.int32), np.full(rows, np.nan)
    code = dict.fromkeys(CODED, nothing) | {"ip": ip.astype(np.int32), "ip_prefix": (ip // 8).astype(np.int32)}
    number = dict.fromkeys(NUMBERS, absent) | {"input_tokens": np.full(rows, 90.0), "output_tokens": 900.0 + 0 * absent}
    number["output_tokens"] = np.where(held, 900.0, 90.0)
    card = np.where(np.arange(n) < holders, np.arange(n) // 5, np.arange(n)).astype(np.int32)
    unknown = np.full(n, -1, np.int32)
    names: dict[str, list[str]] = {name: [] for name in (*CODED, *(f"account.{c}" for c in ACCOUNTS.names))}
    return Frame(
        account_ids=pa.array(np.arange(n).astype(str)),
        exchange_ids=pa.array([], pa.string()),
        account=account,
        start=np.arange(n + 1, dtype=np.int64) * each,
        ts=np.sort((START_US + rng.integers(0, 14 * 24, (n, each)) * HOUR_US), axis=1).ravel(),
        code=code,
        names=names,
        number=number,
        flag=dict.fromkeys(FLAGS, np.full(rows, -1, np.int8)),
        sketch=_hashes(held, n, rng),
        template=np.where(held, 1, 0).astype(np.uint64),
        cues=Ragged(np.arange(rows + 1), np.where(held, 300 + rng.integers(0, 40, rows), 340).astype(np.uint64)),
        capability=np.where(held, 1 + rng.integers(0, 6, rows), 0).astype(np.uint8),
        created=START_US - 90 * 24 * HOUR_US + signed,
        closed=np.full(n, -1, np.int64),
        attribute={name: card if name == "payment_hash" else unknown for name in ACCOUNTS.names[3:]},
        launches={},
        digest={"session_id": np.arange(1, rows + 1, dtype=np.uint64)},
    )


def _hashes(held: npt.NDArray[np.bool_], n: int, rng: np.random.Generator, width: int = 60) -> Ragged:
    flat = np.tile(np.arange(width, dtype=np.uint64), (len(held), 1))
    flat[~held] = width + rng.integers(0, n, (int((~held).sum()), width))
    flat |= np.uint64(Kind.SHINGLE) << np.uint64(60)
    return Ragged(np.arange(len(held) + 1) * width, flat.ravel().astype(np.uint64))


def measured(make: Callable[[], Frame]) -> tuple[int, list[Cost]]:
    """Run the stages after fingerprints on a frame; return its accounts and what each stage took."""
    frame, costs = make(), []
    spaces: list[Space] = []
    proposed: list[Candidate] = []
    found: list[Found] = []
    rows = frame.n_accounts
    costs.append(cost("traits", lambda: spaces.append(build_space(frame)), rows=rows))
    (space,) = spaces
    costs.append(cost("candidates", lambda: proposed.extend(candidates(space)), rows=rows))
    costs.append(cost("test, expand and split", lambda: found.extend(discover(space, proposed)), rows=rows))
    costs.append(cost("fleets", lambda: found.extend(own_fleets(space, proposed, found)), rows=rows))
    costs.append(cost("weigh explanations", lambda: [judge(space, one) for one in found], rows=rows))
    wall, cpu = sum(one.wall for one in costs), sum(one.cpu for one in costs)
    costs.append(Cost("all of these", wall, cpu, max(one.peak_mb for one in costs), rows, 0))
    sizes = sorted((len(one.members) for one in found), reverse=True)
    print(f"\n{rows:,} accounts, {frame.n_exchanges:,} exchanges; {len(proposed):,} groups proposed, "
          f"{len(found)} networks, the largest of {sizes[:3]} accounts", HEAD, sep="\n")  # fmt: skip
    print(*(one.line() for one in costs), sep="\n", flush=True)
    return rows, costs


def _copies(data: Path, keep: Path, copies: int) -> Frame:
    return copied(read_frame(Dataset.open(data), keep=keep), copies)


def _exponents(sizes: list[tuple[int, list[Cost]]]) -> Iterator[str]:
    """Yield a line a stage: the slope of log seconds over log accounts, least squares."""
    x = np.log([accounts for accounts, _ in sizes])
    for stage in zip(*(costs for _, costs in sizes), strict=True):
        slope = np.polyfit(x, np.log([max(one.cpu, 1e-3) for one in stage]), 1)[0]
        yield f"{stage[0].name:<38} seconds ~ accounts^{slope:.2f}"


def compared(makers: list[Callable[[], Frame]]) -> None:
    """Measure every size in a process of its own, then print how each stage grows."""
    sizes = []
    for make in makers:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            sizes.append(alone.submit(measured, make).result())
    if len(sizes) > 1:
        n = math.exp(np.mean(np.log([accounts for accounts, _ in sizes])))
        print(f"\nn log n would be accounts^{1 + 1 / math.log(n):.2f}", *_exponents(sizes), sep="\n")


def main() -> None:
    """Measure copies of a dataset, or one template with many holders."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 5, 25])
    parser.add_argument("--template", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("bench"))
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, "
          f"load {os.getloadavg()[0]:.1f}, {datetime.now(UTC).date()}")  # fmt: skip
    if given.template:
        return compared([partial(one_template, holders) for holders in given.template])
    data = given.dataset or given.folder / "small-1"
    if given.dataset is None and not data.exists():
        simulate(load_world("small"), data, seed=101)
    with tempfile.TemporaryDirectory(prefix="stillwatch-bench-") as keep:
        read_frame(Dataset.open(data), keep=Path(keep))
        compared([partial(_copies, data, Path(keep), copies) for copies in given.copies])
    return None


if __name__ == "__main__":
    main()
