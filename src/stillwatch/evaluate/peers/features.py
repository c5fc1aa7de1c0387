"""One row of plain features an account: what a data scientist would give a classifier on the first day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stillwatch.evaluate.peers.actions import held_traits
from stillwatch.evaluate.peers.evidence import Floats
from stillwatch.signals.frame import Frame, Ints
from stillwatch.signals.sketch import Kind, kind_of
from stillwatch.signals.traits import Incidence
from stillwatch.signals.worth import high_value_ids

HOUR = 3_600_000_000
DAY = 24 * HOUR
SHARED = ("payment_hash", "device_hash", "phone_hash", "ip_prefix", "email_domain", "payment_bin", "head", "system")


def account_features(frame: Frame) -> dict[str, Floats]:
    """Return features by name, an entry an account, NaN where the data lack it.

    Volume, rhythm, size of requests and answers, repetition, capability asked for, client variety, age, launch, and by
    how many others the account's payment, device, address, prompt head … are shared.

    >>> from stillwatch.evaluate.peers.example import four_accounts
    >>> table = account_features(four_accounts())
    >>> table["exchanges"].tolist(), len(table)
    ([1.0, 1.0, 6.0, 6.0], 39)
    """
    return {**_volume(frame), **_requests(frame), **_content(frame), **_identity(frame)}


def matrix(frame: Frame) -> npt.NDArray[np.float64]:
    """Return the features as accounts × features.

    >>> from stillwatch.evaluate.peers.example import four_accounts
    >>> matrix(four_accounts()).shape
    (4, 39)
    """
    return np.stack(list(account_features(frame).values()), axis=1)


def _volume(frame: Frame) -> dict[str, Floats]:
    n, volume = frame.n_accounts, frame.volume().astype(float)
    _, per_day = _distinct(frame.account, frame.ts // DAY)
    gap, follows = np.diff(frame.ts) / 1e6, np.diff(frame.account) == 0
    owner = frame.account[1:][follows]
    logs = np.log(np.maximum(gap[follows], 1e-3))
    return {
        "exchanges": volume,
        "peak day": _greatest(frame.account, frame.ts // DAY, n),
        "active days": np.bincount(per_day, minlength=n).astype(float),
        "hours of day": _count(frame.account, frame.ts % DAY // HOUR, n),
        "hour entropy": _entropy(frame.account, frame.ts % DAY // HOUR, n),
        "log gap": _mean(owner, logs, n),
        "log gap spread": _spread(owner, logs, n),
        "gaps below 2 s": _mean(owner, (gap[follows] < 2).astype(float), n),
    }


def _requests(frame: Frame) -> dict[str, Floats]:
    n, owner = frame.n_accounts, frame.account
    found = {name: _mean(owner, frame.number[name], n) for name in frame.number if name != "status"}
    found |= {f"{name} spread": _spread(owner, frame.number[name], n) for name in ("input_tokens", "output_tokens")}
    found["output to input"] = found["output_tokens"] / np.maximum(found["input_tokens"], 1)
    for name, values in frame.flag.items():
        found[name] = _mean(owner, np.where(values < 0, np.nan, values), n)
    return found


def _content(frame: Frame) -> dict[str, Floats]:
    n, volume = frame.n_accounts, np.maximum(frame.volume(), 1)
    high = np.isin(frame.capability, np.array(sorted(high_value_ids()), np.uint8))
    launched = {name: at for name, at in frame.launches.items() if name in frame.names["model"]}
    codes = [frame.names["model"].index(name) for name in launched]
    cues = np.diff(frame.cues.offsets).astype(float)
    return {
        "unique prompts": unique_prompts(frame),
        "unique templates": _count(frame.account, frame.template.view(np.int64), n) / volume,
        "single turns": _count(frame.account, frame.code["session_id"].astype(np.int64), n, absent=-1) / volume,
        "capability entropy": _entropy(frame.account, frame.capability.astype(np.int64), n),
        "high-value capability": _mean(frame.account, high.astype(float), n),
        "cues": _mean(frame.account, cues, n),
        "launched models": _mean(frame.account, np.isin(frame.code["model"], codes).astype(float), n),
    }


def _identity(frame: Frame) -> dict[str, Floats]:
    n, held = frame.n_accounts, held_traits(frame)
    found = {f"{name} values": np.diff(held[name].start).astype(float) for name in ("ip", "ip_prefix", "user_agent")}
    found |= {f"{name} shared by": _sharers(held[name]) for name in SHARED}
    found["age days"] = np.where(frame.created >= 0, (frame.ts.max(initial=0) - frame.created) / DAY, np.nan)
    near = np.sort(frame.created)
    cohort = np.searchsorted(near, frame.created + HOUR) - np.searchsorted(near, frame.created - HOUR)
    found["signed up within an hour"] = np.where(frame.created >= 0, cohort, np.nan).astype(float)
    return {name: np.broadcast_to(values, n).astype(float) for name, values in found.items()}


def unique_prompts(frame: Frame) -> Floats:
    """Return the share of an account's prompts that differ from all its others, exactly compared; NaN without text.

    >>> from stillwatch.evaluate.peers.example import four_accounts
    >>> unique_prompts(four_accounts()).tolist()
    [1.0, 1.0, 0.5, 0.5]
    """
    whole = kind_of(frame.sketch.flat) == Kind.PAYLOAD
    rows, value = frame.sketch.rows()[whole], frame.sketch.flat[whole].view(np.int64)
    n = np.bincount(frame.account[rows], minlength=frame.n_accounts)
    return np.where(n > 0, _count(frame.account[rows], value, frame.n_accounts) / np.maximum(n, 1), np.nan)


def _sharers(held: Incidence) -> Floats:
    """Return the greatest number of accounts that hold one of the account's values."""
    most = np.zeros(len(held.start) - 1)
    np.maximum.at(most, held.account, held.holders()[held.value].astype(float))
    return most


def _distinct(account: npt.NDArray[np.integer], value: Ints) -> tuple[Ints, Ints]:
    """Return how often each account has each value, and whose pair it is."""
    order = np.lexsort((value, account))
    owner, value = np.asarray(account, np.int64)[order], value[order]
    begin = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(value, prepend=value[:1]) != 0))
    return np.diff(np.append(begin, len(owner))), owner[begin]


def _count(account: npt.NDArray[np.integer], value: Ints, n: int, absent: int | None = None) -> Floats:
    """Return how many distinct values each account has; ``absent`` is no value."""
    there = np.ones(len(value), bool) if absent is None else value != absent
    return np.bincount(_distinct(account[there], value[there])[1], minlength=n).astype(float)


def _greatest(account: npt.NDArray[np.integer], value: Ints, n: int) -> Floats:
    """Return how often each account has its commonest value."""
    times, owner = _distinct(account, value)
    most = np.zeros(n)
    np.maximum.at(most, owner, times.astype(float))
    return most


def _entropy(account: npt.NDArray[np.integer], value: Ints, n: int) -> Floats:
    """Return the entropy of each account's values, in nats."""
    times, owner = _distinct(account, value)
    total = np.bincount(owner, times, n)
    share = times / total[owner]
    return np.asarray(-np.bincount(owner, share * np.log(share), n), np.float64)


def _mean(account: npt.NDArray[np.integer], value: Floats, n: int) -> Floats:
    """Return the mean of each account's known values, NaN without any."""
    known = np.isfinite(value)
    count = np.bincount(account[known], minlength=n)
    total = np.bincount(account[known], value[known], n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _spread(account: npt.NDArray[np.integer], value: Floats, n: int) -> Floats:
    """Return the standard deviation of each account's known values over their mean's size, NaN without any."""
    mean = _mean(account, value, n)
    return np.sqrt(_mean(account, (value - mean[account]) ** 2, n)) / np.maximum(np.abs(mean), 1e-9)
