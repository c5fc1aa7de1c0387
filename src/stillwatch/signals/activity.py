"""The frame -> rhythm: what is left of an account's hourly activity once everybody's habits are taken out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from stillwatch.signals.columns import Codes, blocks
from stillwatch.signals.frame import Frame

Vectors = npt.NDArray[np.float32]
HOUR_US = 3_600_000_000
LAUNCH_SHADOW_HOURS = 48
LEAST_RESIDUAL = 0.5


def hourly(frame: Frame, rows: npt.NDArray[np.bool_] | None = None) -> tuple[sp.csr_matrix, npt.NDArray[np.int64]]:
    """Return exchanges by account and hour (accounts × hours, counts) and the hours, counted since 1970.

    The hours are those of the days on which anybody asked anything, so that one stray date decades away costs a day and
    not decades. Hours within 48 h after a model launch are left out: a release draws unrelated people at once.

    ``rows`` is a mask over the exchanges (all when None). An empty frame gives one empty hour.

    >>> from types import SimpleNamespace
    >>> ts, account = np.array([0, 60_000_000, HOUR_US]), np.array([0, 0, 1])
    >>> counts, hours = hourly(SimpleNamespace(ts=ts, account=account, n_accounts=2, launches={}))
    >>> counts.toarray()[:, :3].tolist(), len(hours)
    ([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 24)
    """
    if not len(frame.ts):
        return sp.csr_matrix((frame.n_accounts, 1)), np.zeros(1, np.int64)
    cuts = blocks(frame.account)
    days = np.unique(np.concatenate([np.unique(frame.ts[block] // (24 * HOUR_US)) for block in cuts]))
    hours = (days[:, None] * 24 + np.arange(24)).ravel()
    keys, counts = [], []
    for block in cuts:
        hour = frame.ts[block] // HOUR_US
        keep = np.ones(len(hour), bool) if rows is None else rows[block].copy()
        for released in frame.launches.values():
            since = hour - released // HOUR_US
            keep &= ~((since >= 0) & (since < LAUNCH_SHADOW_HOURS))
        place = frame.account[block][keep].astype(np.int64) * len(hours) + np.searchsorted(hours, hour[keep])
        distinct, times = np.unique(place, return_counts=True)
        keys.append(distinct)
        counts.append(times.astype(np.float32))
    key = np.concatenate(keys)
    start = np.searchsorted(key, np.arange(frame.n_accounts + 1) * len(hours)).astype(np.int32)
    cells = (np.concatenate(counts), (key % len(hours)).astype(np.int32), start)
    return sp.csr_matrix(cells, shape=(frame.n_accounts, len(hours))), hours


def rhythm(
    frame: Frame,
    region: Codes,
    rows: npt.NDArray[np.bool_] | None = None,
    *,
    dimensions: int = 128,
    seed: int = 0,
) -> Vectors:
    """Return a vector of length at most one an account (accounts × dimensions): its hourly residual; zero when quiet.

    From the square root of hourly counts (variance-stabilised) the account's own level times its region's hour-of-week
    profile is removed, then everything that repeats by the hour of the day (weekends apart), so that neither a time
    zone, a chronotype nor a nightly job is a rhythm: what is left is *which* hours of *which* days. That is projected
    to ``dimensions`` random directions (Johnson & Lindenstrauss 1984): cosines between accounts are kept and memory
    does not grow with the span. An account that is all habit has next to no residual: below half of its whole activity
    the vector is left short, so that two perfect clocks are not found alike by what little is left. ``region`` is the
    account's country code (-1 unknown); ``rows`` limits the exchanges. Accounts with fewer than 5 active hours are
    zero.

    >>> from types import SimpleNamespace
    >>> rng = np.random.default_rng(0)
    >>> own = [rng.choice(960, 60, replace=False) for _ in range(30)]
    >>> frame = SimpleNamespace(ts=np.concatenate([own[0], *own]) * HOUR_US, account=np.repeat(np.arange(31), 60))
    >>> frame.n_accounts, frame.launches = 31, {}
    >>> v = rhythm(frame, np.zeros(31, np.int32))
    >>> v.shape, bool(v[0] @ v[1] > 0.9), bool(abs(v[0] @ v[2]) < 0.4)
    ((31, 128), True, True)
    """
    counts, hours = hourly(frame, rows)
    roots = counts.sqrt().astype(np.float32)
    sight = np.random.default_rng(seed).standard_normal((len(hours), dimensions)).astype(np.float32)
    sight = _without_habits(sight / np.sqrt(np.float32(dimensions)), hours)
    profile = _profiles(roots, region, hours % 168)
    level = np.asarray(roots.sum(axis=1), np.float32).ravel()
    seen = np.asarray(roots @ sight) - level[:, None] * (profile @ sight)[np.clip(region + 1, 0, None)]
    norm = np.linalg.norm(seen, axis=1)
    quiet = (np.diff(roots.indptr) < 5) | (norm < 1e-6)
    seen[quiet] = 0.0
    norm = np.maximum(norm, LEAST_RESIDUAL * np.sqrt(np.asarray(counts.sum(axis=1), np.float32).ravel()))
    norm[quiet] = 1.0
    return np.asarray(seen / norm[:, None], np.float32)


def _without_habits(sight: Vectors, hour: npt.NDArray[np.int64]) -> Vectors:
    """Remove from the directions we look along what repeats by hour of day (weekends apart from ten days on)."""
    days = len(hour) / 24
    if days < 3:
        return np.asarray(sight - sight.mean(axis=0), np.float32)
    weekend = ((hour // 24 + 3) % 7 >= 5) if days >= 10 else np.zeros(len(hour), bool)
    _, habit = np.unique(hour % 24 + 24 * weekend, return_inverse=True)
    totals = np.zeros((int(habit.max()) + 1, sight.shape[1]), np.float32)
    np.add.at(totals, habit, sight)
    return np.asarray(sight - (totals / np.bincount(habit)[:, None])[habit], np.float32)


def _profiles(roots: sp.csr_matrix, region: Codes, week: npt.NDArray[np.int64]) -> Vectors:
    """Return each region's share of activity by hour (regions × hours, rows sum to 1), from its hour-of-week means.

    Regions are shrunk to the global profile with the weight of 30 accounts.
    """
    regions = np.clip(region + 1, 0, None)
    n_regions = int(regions.max()) + 1 if len(regions) else 1
    level = np.maximum(np.asarray(roots.sum(axis=1)).ravel(), 1e-9)
    shares = sp.diags(1.0 / level) @ roots
    member = sp.csr_matrix((np.ones(len(regions)), (regions, np.arange(len(regions)))), shape=(n_regions, len(regions)))
    by_hour = np.asarray((member @ shares).todense())
    fold = sp.csr_matrix((np.ones(len(week)), (np.arange(len(week)), week)), shape=(len(week), 168))
    by_week = by_hour @ fold.toarray()
    whole = by_week.sum(axis=0, keepdims=True)
    whole = whole / max(whole.sum(), 1e-9)
    by_week = by_week + 30.0 * whole
    per_hour = by_week / np.maximum(fold.toarray().sum(axis=0), 1.0)
    profile = per_hour[:, week]
    return np.asarray(profile / np.maximum(profile.sum(axis=1, keepdims=True), 1e-9), np.float32)
