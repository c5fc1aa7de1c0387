"""Snapshots: they find what was put in, differ by deltas, and nothing that was tampered with is taken."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import SnapshotRefused
from stillwatch.response.decide import Measure
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Scope, Standing
from stillwatch.service.delta import make_delta
from stillwatch.service.node import Node
from stillwatch.service.publish import Publisher
from stillwatch.service.signing import Signer, Trust
from stillwatch.service.snapshot import Snapshot, build, open_snapshot

from .conftest import NOON, measured

SIGNER = Signer(Ed25519PrivateKey.generate())
TRUST = Trust.of(SIGNER.public)
NOW = NOON.timestamp()

accounts = st.sampled_from(["a", "b", "ä", "account-4", "\ud800", ""])
listed = st.lists(
    st.builds(
        measured,
        accounts,
        st.sampled_from([Rung.TAG, Rung.SUSPEND]),
        campaign_id=st.sampled_from(["SW-1", "SW-2"]),
        scope=st.sampled_from([Scope(whole_account=True), Scope(templates=((1 << 64) - 1,))]),
        starts_at=st.integers(0, 3).map(lambda h: NOON + timedelta(hours=h)),
        expires_at=st.integers(2, 6).map(lambda h: NOON + timedelta(hours=h)),
    ),
    max_size=12,
)


def signed(standings: list[Standing], version: int = 1, signer: Signer = SIGNER) -> bytes:
    """Build a snapshot file."""
    return build(standings, version=version, created_at=NOW, signer=signer)


def opened(standings: list[Standing], version: int = 1) -> Snapshot:
    """Build and open a snapshot."""
    return open_snapshot(signed(standings, version), TRUST)


@given(standings=listed, account=accounts, hours=st.floats(0, 7))
def test_a_snapshot_finds_what_is_in_force_and_nothing_else(
    standings: list[Standing], account: str, hours: float
) -> None:
    """Against a plain walk through the standings."""
    now = NOW + hours * 3_600
    expected = {
        Measure.of(one)
        for one in standings
        if one.account_id == account and one.starts_at.timestamp() <= now < one.expires_at.timestamp()
    }
    found = opened(standings).find(account, now)
    assert set(found) == expected
    assert len(found) == len(set(found)) or len({(one.starts_at, one.expires_at) for one in standings}) > 1


@given(standings=listed, seed=st.randoms())
def test_the_order_of_standings_does_not_matter(standings: list[Standing], seed: object) -> None:
    """Same measures, same content, whoever lists them."""
    other = list(standings)
    seed.shuffle(other)  # type: ignore[attr-defined]
    assert opened(standings).head.digest == opened(other).head.digest


@given(before=listed, after=listed)
def test_a_delta_leads_to_exactly_the_next_snapshot(before: list[Standing], after: list[Standing]) -> None:
    """What a node makes of a delta is, byte for byte, the file that the publisher has."""
    old, new = opened(before, 1), opened(after, 2)
    node = Node(TRUST)
    node.offer(old.data)
    assert node.offer(make_delta(old, new))
    assert node.current is not None
    assert node.current.data == new.data


def test_a_delta_is_small_when_little_changed() -> None:
    """Ten accounts more among ten thousand cost what ten accounts cost."""
    many = [measured(f"account-{n}") for n in range(10_000)]
    old, new = opened(many, 1), opened([*many, *(measured(f"new-{n}") for n in range(10))], 2)
    assert len(make_delta(old, new)) < 2_000 < len(new.data)


@settings(max_examples=200)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), delta=st.booleans())
def test_one_changed_bit_is_refused(place: float, bit: int, delta: bool) -> None:
    """Wherever it is, in a snapshot or in a delta; what was in force stays."""
    old, new = opened([measured("a")], 1), opened([measured("a"), measured("b")], 2)
    data = bytearray(make_delta(old, new) if delta else new.data)
    data[int(place * len(data))] ^= 1 << bit
    node = Node(TRUST)
    node.offer(old.data)
    with pytest.raises(SnapshotRefused):
        node.offer(bytes(data))
    assert node.current is not None
    assert node.current.version == 1


@given(length=st.floats(0, 1, exclude_max=True))
def test_a_snapshot_that_is_cut_is_refused(length: float) -> None:
    """However much of it is there."""
    data = signed([measured("a")])
    with pytest.raises(SnapshotRefused):
        open_snapshot(data[: int(length * len(data))], TRUST)


def test_a_foreign_snapshot_is_refused() -> None:
    """Signed well, by somebody else."""
    stranger = Signer(Ed25519PrivateKey.generate())
    with pytest.raises(SnapshotRefused, match="foreign"):
        open_snapshot(signed([], signer=stranger), TRUST)


def test_an_unsigned_snapshot_is_refused() -> None:
    """The right issuer's name does not make up for the signature."""
    data = bytearray(signed([]))
    data[-64:] = bytes(64)  # nothing follows the signature of an empty snapshot
    with pytest.raises(SnapshotRefused, match="unsigned"):
        open_snapshot(bytes(data), TRUST)


def test_an_older_snapshot_is_refused_and_the_same_is_no_news() -> None:
    """Versions only grow; a second snapshot of the same number with other content is refused too."""
    node = Node(TRUST)
    assert node.offer(signed([measured("a")], 5))
    assert not node.offer(signed([measured("a")], 5))
    for data in (signed([], 4), signed([], 5)):
        with pytest.raises(SnapshotRefused, match="older"):
            node.offer(data)
    assert node.refused == {"older": 2}


def test_a_delta_from_elsewhere_is_refused() -> None:
    """It fits one snapshot only: that whose number and content it names."""
    old, other, new = opened([measured("a")], 1), opened([measured("b")], 1), opened([], 2)
    node = Node(TRUST)
    with pytest.raises(SnapshotRefused, match="unfit"):
        node.offer(make_delta(old, new))
    node.offer(other.data)
    with pytest.raises(SnapshotRefused, match="unfit"):
        node.offer(make_delta(old, new))


def test_a_node_begins_with_its_last_good_snapshot(tmp_path: Path) -> None:
    """It survives a restart; a damaged file is refused, counted, and replaced by the next good one."""
    store = tmp_path / "node" / "snapshot.bin"
    Node(TRUST, store).offer(signed([measured("a")], 3))
    again = Node(TRUST, store)
    assert again.current is not None
    assert [one.rung for one in again.current.find("a", NOW)] == [Rung.SUSPEND]
    with pytest.raises(SnapshotRefused, match="older"):
        again.offer(signed([], 2))
    store.write_bytes(store.read_bytes()[:-1] + b"x")
    damaged = Node(TRUST, store)
    assert (damaged.current, damaged.refused) == (None, {"corrupt": 1})
    assert damaged.offer(signed([], 4))


def test_a_node_goes_on_when_its_disk_does_not(tmp_path: Path) -> None:
    """A snapshot that cannot be stored is in force all the same, and counted."""
    blocked = tmp_path / "file"
    blocked.touch()
    node = Node(TRUST, blocked / "snapshot.bin")
    assert node.offer(signed([measured("a")]))
    assert node.unstored == 1


def test_the_publisher_goes_on_after_a_restart_and_a_clock_that_went_back(tmp_path: Path) -> None:
    """Versions grow whatever the clock says; deltas lead from each recent version to the newest."""
    path = tmp_path / "snapshot.bin"
    first = Publisher(path, SIGNER).publish([measured("a")], NOW)
    again = Publisher(path, SIGNER)
    second = again.publish([], NOW - 86_400)
    third = again.publish([measured("b")], NOW - 86_399)
    assert [one.version for one in (first, second, third)] == [int(NOW), int(NOW) + 1, int(NOW) + 2]
    node = Node(TRUST)
    node.offer(first.data)
    delta = again.delta(first.version)
    assert delta is not None
    assert node.offer(delta)
    assert node.current is not None
    assert node.current.head.digest == third.head.digest
    assert again.delta(1) is None


def test_each_of_many_accounts_is_found_and_no_stranger() -> None:
    """The search begins where an account's hash may stand, and misses nobody there."""
    snapshot = opened([measured(f"account-{n}") for n in range(5_000)])
    found = [bool(snapshot.find(f"account-{n}", NOW + 1)) for n in range(10_000)]
    assert found == [True] * 5_000 + [False] * 5_000


def test_a_snapshot_takes_28_bytes_an_account() -> None:
    """Measures are shared, so memory is bounded by the number of accounts."""
    snapshot = opened([measured(f"account-{n}") for n in range(1_000)])
    assert snapshot.nbytes == 28_000
    assert len(snapshot.head.measures) == 1
