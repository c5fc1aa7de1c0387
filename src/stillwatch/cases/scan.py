"""The whole main job: a dataset in, the out folder of architecture.md §4 out."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import stillwatch
from stillwatch.attribution.verdict import Judged, judge
from stillwatch.campaigns.discover import discover
from stillwatch.campaigns.fleets import own_fleets
from stillwatch.campaigns.harvest import harvest
from stillwatch.campaigns.lineage import Lineage, Trace
from stillwatch.cases.continuity import CASES, case_records, known_campaigns, lineages
from stillwatch.cases.evidence import evidence_lines
from stillwatch.cases.exchanges import exchange_table
from stillwatch.cases.folder import LEAST_ACCOUNTS, TABLES, ScanOutput
from stillwatch.cases.inputs import input_sha256, prompt_heads
from stillwatch.cases.record import (
    Recorded,
    campaign_record,
    cleared_record,
    evidence_rows,
    link_rows,
    member_rows,
    ordered_accounts,
    template_rows,
    term_rows,
)
from stillwatch.cases.scores import score_table
from stillwatch.errors import DatasetError
from stillwatch.linkage.groups import candidates
from stillwatch.linkage.space import Space, build_space
from stillwatch.signals.cues import RULES_VERSION
from stillwatch.signals.frame import Frame, read_frame
from stillwatch.signals.relations import content_habits, habit_traits
from stillwatch.signals.traits import Incidence
from stillwatch.tables import Dataset
from stillwatch.tables.engines import fetched
from stillwatch.tables.memory import give_back
from stillwatch.tables.threads import mapped
from stillwatch.types import Progress, silent

Heads = Callable[[list[str]], dict[str, str]]
"""Exchange ids -> the masked heads of their prompts."""


@dataclass
class Stages:
    """Seconds and peak memory by stage, for ``run.json`` alone.

    >>> stages = Stages(clock=iter([10.0, 12.5]).__next__)
    >>> with stages.stage("traits", rows=7):
    ...     pass
    >>> stages.done[0]["seconds"], stages.done[0]["rows"]
    (2.5, 7)
    """

    clock: Any = time.perf_counter
    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, rows: int = 0) -> Iterator[None]:
        """Time a stage: when it ends, append its name, seconds, peak memory in MiB and ``rows`` to ``done``.

        A stage that raises is not recorded.

        >>> stages = Stages()
        >>> with stages.stage("write"):
        ...     pass
        >>> sorted(stages.done[0])
        ['name', 'peak_mb', 'rows', 'seconds']
        """
        begun = self.clock()
        yield
        give_back()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.done.append(
            {"name": name, "seconds": round(self.clock() - begun, 3), "peak_mb": round(peak, 1), "rows": rows}
        )


@dataclass(frozen=True)
class ScanSettings:
    """What a scan may be told: the false discovery rate ``q``, the ``seed`` of its draws, the earlier scan's folder.

    ``keep`` is a folder, this dataset's alone, where fingerprints stay for the next scan, which reads new files only.
    ``without`` names parts of the method to leave out (``linkage.space.PARTS``): for measuring what each is worth.

    >>> ScanSettings(seed=7).q
    0.1
    """

    q: float = 0.1
    seed: int = 0
    previous: Path | None = None
    keep: Path | None = None
    without: frozenset[str] = frozenset()


def scan(
    dataset: Dataset,
    out: Path,
    settings: ScanSettings | None = None,
    *,
    cluster: Any | None = None,
    progress: Progress = silent,
) -> ScanOutput:
    """Find campaigns in a dataset and write the out folder; return it opened.

    An earlier scan in ``out`` (or ``settings.previous``) lends its campaign ids. The files are replaced at the end, all
    written before the first is moved, so an interrupted scan leaves the earlier ones. Content habits are counted by the
    engine behind ``cluster`` where there is one (:mod:`stillwatch.cases.source`). Raises :class:`DatasetError` when
    the dataset keeps no contract, ``settings.previous`` holds no scan, or ``out`` or ``settings.keep`` is the dataset
    or cannot be written.

    >>> import tempfile
    >>> from stillwatch.tables import ACCOUNTS, DatasetWriter
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.set_accounts(ACCOUNTS.empty_table())
    ...         writer.commit()
    ...     scan(Dataset.open(folder), Path(folder) / "out").campaigns
    []
    """
    chosen = settings or ScanSettings()
    if not 0 < chosen.q < 1:
        raise DatasetError(f"q is {chosen.q}; it is a rate between 0 and 1, such as 0.1")
    for folder in (out, chosen.keep):
        if folder:
            _try_folder(folder, dataset)
    stages = Stages()
    earlier = known_campaigns(out if chosen.previous is None else ScanOutput.open(chosen.previous).path)
    with stages.stage("read and fingerprint", dataset.count_exchanges()):
        frame = read_frame(dataset, keep=chosen.keep, progress=progress)
    judged, space = _judge_all(frame, _habits(dataset, frame, cluster, stages), chosen, stages, progress)
    with stages.stage("write", len(judged)):
        _write(dataset, out, frame, space, judged, earlier, chosen, stages)
    return ScanOutput.open(out)


def _try_folder(folder: Path, dataset: Dataset) -> None:
    """Try a folder before the work begins, so that one that cannot be written costs no time; leave no trace."""
    if folder.resolve() == dataset.path.resolve():
        raise DatasetError(f"{folder} is the dataset itself; choose another folder for what the scan writes")
    fresh, was_there = folder / ".new", folder.exists()
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        fresh.rmdir()
        if not was_there:
            folder.rmdir()
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written: {error.strerror}") from error


def _habits(dataset: Dataset, frame: Frame, cluster: Any | None, stages: Stages) -> Incidence | None:
    """Count content habits on a cluster; None without one."""
    if cluster is None or not frame.n_exchanges:
        return None
    with stages.stage("content habits", frame.n_exchanges):
        pairs = fetched(cluster, content_habits(dataset.exchanges(cluster)))
        return habit_traits(pairs, frame.account_ids)


def _judge_all(
    frame: Frame, content: Incidence | None, chosen: ScanSettings, stages: Stages, progress: Progress
) -> tuple[list[Judged], Space | None]:
    """Run signals, linkage, campaigns and attribution; nothing to link gives no groups."""
    if frame.n_accounts < LEAST_ACCOUNTS or not frame.n_exchanges:
        return [], None
    with stages.stage("traits", frame.n_exchanges):
        space = build_space(frame, content=content, seed=chosen.seed, without=chosen.without, progress=progress)
    with stages.stage("candidates", frame.n_accounts):
        proposed = candidates(space, seed=chosen.seed)
    with stages.stage("test, expand and split", len(proposed)):
        found = discover(space, proposed, q=chosen.q, seed=chosen.seed, progress=progress)
        found += own_fleets(space, proposed, found, q=chosen.q)
    with stages.stage("weigh explanations", len(found)):
        return list(mapped(found, partial(judge, space))), space


def _write(
    dataset: Dataset,
    out: Path,
    frame: Frame,
    space: Space | None,
    judged: list[Judged],
    earlier: list[Trace],
    chosen: ScanSettings,
    stages: Stages,
) -> None:
    fresh = out / ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    reported = [j for j in judged if j.verdict != "cleared"]
    recorded, known = _recorded(reported, space, earlier) if space else ([], case_records([], earlier, []))
    cleared = [
        cleared_record(j, space, i + 1) for i, j in enumerate(j for j in judged if j.verdict == "cleared") if space
    ]
    heads = partial(prompt_heads, dataset.texts, keep=chosen.keep)
    _tables(fresh, heads, recorded, space)
    _json(fresh / "campaigns.json", [campaign_record(r, space) for r in recorded if space])
    _json(fresh / "considered.json", cleared)
    _json(fresh / CASES, known)
    _json(fresh / "run.json", _run(dataset, frame, chosen, stages))
    _replace(fresh, out)


def _recorded(
    reported: list[Judged], space: Space, earlier: list[Trace]
) -> tuple[list[Recorded], list[dict[str, Any]]]:
    """Name the reported groups by what was known before; return them and what is known now."""
    orders = [ordered_accounts(j, space) for j in reported]
    templates = mapped(reported, partial(_templates, space=space))
    traces = [Trace("", frozenset(order), used) for order, used in zip(orders, templates, strict=True)]
    lines = lineages(reported, list(zip(traces, orders, strict=True)), earlier, space)
    recorded = list(mapped(zip(reported, lines, strict=True), lambda pair: _recorded_one(*pair, space)))
    rank = {"campaign": 0, "needs_person": 1}
    listed = sorted(recorded, key=lambda r: (rank[r.judged.verdict], -r.harvest.exchanges, r.lineage.campaign_id))
    return listed, case_records(traces, earlier, lines)


def _recorded_one(judged: Judged, line: Lineage, space: Space) -> Recorded:
    taken = harvest(space.frame, judged.found)
    return Recorded(judged, line, taken, evidence_lines(space, judged.found, taken))


def _templates(judged: Judged, space: Space) -> frozenset[int]:
    """Return the template ids that at least two of the campaign's accounts use."""
    return frozenset(
        row["template_id"] for row in template_rows(_unnamed(judged, space), space) if row["accounts"] >= 2
    )


def _unnamed(judged: Judged, space: Space) -> Recorded:
    return Recorded(judged, Lineage("", "new", ()), harvest(space.frame, judged.found), [])


def _tables(folder: Path, heads: Heads, recorded: list[Recorded], space: Space | None) -> None:
    whole = {"campaign_exchanges": exchange_table, "scores": score_table}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES if name not in whole}
    for mine in mapped(recorded, partial(_rows_of, space=space)) if space else ():
        for name, some in mine.items():
            rows[name] += some
    _add_heads(rows["templates"], heads)
    for name, table in whole.items():
        empty = pa.schema(list(TABLES[name].items())).empty_table()
        pq.write_table(table(recorded, space) if space else empty, folder / f"{name}.parquet")
    for name, every in rows.items():
        pq.write_table(
            pa.Table.from_pylist(every, schema=pa.schema(list(TABLES[name].items()))), folder / f"{name}.parquet"
        )


def _rows_of(one: Recorded, space: Space) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of one campaign by table."""
    return {
        "members": member_rows(one, space),
        "member_terms": term_rows(one, space),
        "evidence": evidence_rows(one),
        "links": link_rows(one, space),
        "templates": template_rows(one, space),
    }


def _add_heads(templates: list[dict[str, Any]], heads: Heads) -> None:
    """Give templates the masked head of their exchange's prompt, reading the text once for all campaigns."""
    found = heads([row["exchange_id"] for row in templates])
    for row in templates:
        row["head"] = found.get(row.pop("exchange_id"))


def _run(dataset: Dataset, frame: Frame, chosen: ScanSettings, stages: Stages) -> dict[str, Any]:
    rejects = sum(_lines(file) for file in (dataset.texts.path / "rejects").glob("*.ndjson"))
    coverage = {name: round(share, 4) for name, share in sorted(frame.coverage.items())}
    return {
        "version": stillwatch.__version__,
        "parameters": {
            "q": chosen.q,
            "since": dataset.first_day or None,
            "rules": str(RULES_VERSION),
            "without": sorted(chosen.without),
        },
        "seed": chosen.seed,
        "input_sha256": input_sha256(dataset, chosen.keep),
        "rows": {"exchanges": frame.n_exchanges, "accounts": frame.n_accounts, "rejects": rejects},
        "coverage": coverage,
        "missing_evidence": [name for name, share in coverage.items() if share == 0.0],
        "stages": stages.done,
    }


def _lines(file: Path) -> int:
    with file.open("rb") as handle:
        return sum(1 for _ in handle)


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _replace(fresh: Path, out: Path) -> None:
    """Move the new files over the old ones, ``run.json`` last; other files of the folder stay."""
    for file in sorted(fresh.iterdir(), key=lambda f: (f.name == "run.json", f.name)):
        file.replace(out / file.name)
    fresh.rmdir()
