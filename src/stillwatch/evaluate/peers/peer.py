"""A peer's method as a detector: at its shipped default, or tuned on a labelled calibration world."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import DatasetError
from stillwatch.evaluate.findings import FOUND_ACCOUNTS, Findings
from stillwatch.evaluate.peers.evidence import Evidence, Scores
from stillwatch.evaluate.peers.roster import Roster
from stillwatch.signals.frame import Ints
from stillwatch.tables import Dataset

LEASTS = (2, 5, 10, 20)


class Method:
    """One way to judge accounts, with its parameters; subclasses are frozen dataclasses.

    >>> Method.learns
    False
    """

    learns: ClassVar[bool] = False
    """Whether the method cannot judge before :meth:`calibrate`."""

    def observe(self, dataset: Dataset, work: Path) -> Evidence:
        """Measure a dataset without its labels; ``work`` is a folder for files."""
        raise NotImplementedError

    def calibrate(self, calibration: Dataset, work: Path) -> tuple[Self, Evidence]:
        """Return the method as learnt from a labelled world, and evidence on that world that it did not learn from.

        A method that learns nothing is itself, and all its evidence is fair.
        """
        return self, self.observe(calibration, work)


@dataclass(frozen=True)
class Peer:
    """A detector of another's making.

    ``methods`` are parameter choices, the shipped default first; ``cut`` and ``least`` (accounts a group) are the
    default threshold. With ``tunes``, :meth:`fit` takes the method, cut and least size with the best account F1 on the
    calibration world; without, it only lets a method learn that must.

    >>> Peer("nothing", (Method(),), cut=1.0).tunes
    False
    """

    name: str
    methods: tuple[Method, ...]
    cut: float
    least: int = 2
    tunes: bool = False

    def fit(self, calibration: Dataset) -> Self:
        """Return the peer tuned, or only taught, on a labelled world that is not the measured one.

        Raises :class:`DatasetError` when a world to tune on has no campaign in its labels.
        """
        if not self.tunes and not self.methods[0].learns:
            return self
        with tempfile.TemporaryDirectory() as folder:
            if not self.tunes:
                learnt, _ = self.methods[0].calibrate(calibration, Path(folder))
                return replace(self, methods=(learnt,))
            return max(self._choices(calibration, Path(folder)), key=lambda choice: choice[0])[1]

    def find(self, dataset: Dataset, work: Path) -> Findings:
        """Judge a dataset without its labels, with ``work`` a folder for files; of no exchange nothing is said."""
        if not dataset.count_exchanges():
            return Findings(FOUND_ACCOUNTS.empty_table())
        evidence = self.methods[0].observe(dataset, work)
        return findings(evidence, evidence.groups(self.cut, self.least))

    def _choices(self, calibration: Dataset, work: Path) -> Iterator[tuple[float, Self]]:
        """Yield every choice with its F1, the default method and the strictest cuts first."""
        yield 0.0, self
        for number, method in enumerate(self.methods):
            folder = work / str(number)
            folder.mkdir()
            learnt, evidence = method.calibrate(calibration, folder)
            guilty = campaign_accounts(calibration, evidence.who.ids)
            for cut in evidence.cuts().tolist():
                for least in LEASTS:
                    f1 = account_f1(evidence.groups(cut, least) >= 0, guilty)
                    yield f1, replace(self, methods=(learnt,), cut=cut, least=least)


def campaign_accounts(calibration: Dataset, ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which of ``ids`` the labels of a calibration world put in a campaign.

    Raises :class:`DatasetError` when there is none.

    >>> campaign_accounts(Dataset(Path("no-such-folder")), pa.array(["a"]))
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: no-such-folder has no labelled campaign to tune on
    """
    labels, _ = calibration.labels()
    guilty = labels.filter(pc.is_valid(labels["campaign_id"]))["account_id"].combine_chunks()
    if not len(guilty):
        raise DatasetError(f"{calibration.path} has no labelled campaign to tune on")
    return np.asarray(pc.is_in(ids, value_set=guilty).to_numpy(zero_copy_only=False), bool)


def account_f1(accused: npt.NDArray[np.bool_], guilty: npt.NDArray[np.bool_]) -> float:
    """Return 2·TP / (accused + guilty), 0 when nobody is either.

    >>> account_f1(np.array([True, True, False]), np.array([True, False, False])).__round__(3)
    0.667
    """
    return float(2 * (accused & guilty).sum() / max(1, accused.sum() + guilty.sum()))


def findings(evidence: Evidence, group: Ints) -> Findings:
    """Return what evidence says when accounts are grouped so: every group an accusation, every account scored.

    >>> who = Roster(pa.array(["a", "b"]), np.array([5, 7]), np.array([6, 7]))
    >>> found = findings(Scores(who, np.array([0.9, 0.1])), np.array([0, -1]))
    >>> found.accounts["group"].to_pylist(), found.groups["verdict"].to_pylist()
    (['g0', None], ['campaign'])
    """
    names = pa.array([f"g{number}" if number >= 0 else None for number in group.tolist()], pa.string())
    said = {"account_id": evidence.who.ids, "score": evidence.score, "group": names}
    if isinstance(evidence, Scores) and evidence.probable:
        said["probability"] = evidence.score
    return Findings(pa.table(said), _groups(evidence.who, group))


def _groups(who: Roster, group: Ints) -> pa.Table:
    """Return each group with the first and last exchange of its accounts."""
    there = (group >= 0) & (who.first >= 0)
    n = int(group.max(initial=-1)) + 1
    first, last = np.full(n, np.iinfo(np.int64).max), np.full(n, -1, np.int64)
    np.minimum.at(first, group[there], who.first[there])
    np.maximum.at(last, group[there], who.last[there])
    seen = last >= 0
    moments = {
        name: pa.array(values, pa.int64(), mask=~seen).cast(pa.timestamp("us", tz="UTC"))
        for name, values in (("first_seen", first), ("last_seen", last))
    }
    named = pa.array([f"g{number}" for number in range(n)], pa.string())
    return pa.table({"group": named, "verdict": pa.array(["campaign"] * n, pa.string()), **moments})
