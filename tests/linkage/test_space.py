"""The linking evidence of a dataset as one value: every array fits the frame, and the same data give the same space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from stillwatch.linkage.space import CAPS, WHO, Space, build_space
from stillwatch.signals.frame import Frame, read_frame
from stillwatch.tables import Dataset

FrameOf = Callable[..., Frame]


def test_everything_speaks_of_the_accounts_of_the_frame(tiny_space: Space) -> None:
    """Units, strata and views cover every account."""
    n = tiny_space.frame.n_accounts
    assert len(tiny_space.payer) == len(tiny_space.site) == len(tiny_space.barred) == n
    for name in CAPS:
        assert len(tiny_space.strata[name].of) == n
    assert not tiny_space.barred.any()


def test_what_exchanges_carry_is_counted_hash_by_hash(tiny_space: Space) -> None:
    """Each bundle's row lists the exchanges with a hash of it, and how many: as looked up one by one."""
    frame, wanted = tiny_space.frame, np.random.default_rng(0).permutation(len(tiny_space.bundles.size))
    carried = tiny_space.carried.by(wanted)
    bundle_of = dict(zip(tiny_space.hashes.tolist(), tiny_space.bundles.of.tolist(), strict=True))
    counted = Counter(
        (bundle_of[value], row)
        for row, value in zip(frame.sketch.rows().tolist(), frame.sketch.flat.tolist(), strict=True)
        if value in bundle_of
    )
    assert carried.shape == (len(wanted), frame.n_exchanges)
    place = np.repeat(wanted, np.diff(carried.indptr))
    got = list(zip(zip(place.tolist(), carried.indices.tolist(), strict=True), carried.data.tolist(), strict=True))
    assert sorted(got) == sorted((pair, min(count, 255)) for pair, count in counted.items())
    some = wanted[: len(wanted) // 2]
    together = np.zeros(frame.n_exchanges, np.int64)
    for (number, row), count in counted.items():
        together[row] += count * bool(np.isin(number, some))
    assert np.array_equal(tiny_space.carried.together(some), np.minimum(together, 255))


def test_the_same_data_and_seed_give_the_same_space(tiny: Dataset, tiny_space: Space) -> None:
    """Bundles, vectors and strata do not depend on the run."""
    again = build_space(read_frame(tiny))
    assert np.array_equal(again.bundles.of, tiny_space.bundles.of)
    assert np.array_equal(again.payer, tiny_space.payer)
    group = np.arange(0, tiny_space.frame.n_accounts, 30)
    for name in CAPS:
        assert again.views[name].effect(group) == tiny_space.views[name].effect(group)


def test_planted_campaigns_share_what_strangers_do_not(tiny: Dataset, tiny_space: Space) -> None:
    """In two or more WHO views the members of each planted campaign exceed a random group; resellers' names aside."""
    labels = tiny.labels()[0].to_pylist()
    ids = {name: number for number, name in enumerate(tiny_space.frame.account_ids.to_pylist())}
    rng = np.random.default_rng(3)
    for campaign in sorted({row["campaign_id"] for row in labels if row["campaign_id"]}):
        members = np.array(sorted(ids[row["account_id"]] for row in labels if row["campaign_id"] == campaign))
        strangers = rng.choice(len(ids), len(members), replace=False)
        ahead = [tiny_space.views[v].effect(members) - tiny_space.views[v].effect(np.sort(strangers)) for v in WHO]
        assert sum(gap > 0.25 for gap in ahead) >= 2, campaign


def test_text_is_not_needed(frame_of: FrameOf) -> None:
    """A log without any text, tools or accounts still gives a space: its views know nobody or little."""
    rows = [{"account_id": f"a{i % 9}", "ts": 1_780_000_000_000_000 + i * 10**9} for i in range(90)]
    space = build_space(frame_of(rows))
    group = np.arange(9)
    assert space.views["ID"].known(group) == space.views["LIFE"].known(group) == 0.0
    assert space.carried.by(np.arange(len(space.bundles.size))).nnz == 0
    assert all(np.isfinite(space.views[name].effect(group)) for name in CAPS)
