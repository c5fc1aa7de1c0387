"""One campaign as the report shows it: figures, sentences, charts and tables, ready for the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from stillwatch.cases.activity import DAY_US, microseconds
from stillwatch.cases.charts import SERIES_COLOURS, stacked_days
from stillwatch.cases.folder import AXES, Campaign, ScanOutput
from stillwatch.cases.network import Network, draw, sample
from stillwatch.cases.reasons import removals, why, would_change
from stillwatch.cases.wording import AXIS_TITLES, instant, iso_day, p_text, probability_text
from stillwatch.tables import Dataset
from stillwatch.tables.engines import fetched

MOST_TEMPLATES = 8
MOST_EVIDENCE = 24
LONGEST_TIMELINE = 365
LONGEST_EXAMPLE = 1_500
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Budget:
    """How many rows and nodes each campaign may take, so that the page stays small."""

    nodes: int
    members: int

    @classmethod
    def share(cls, campaigns: int) -> Budget:
        """Divide the page between so many campaigns.

        >>> Budget.share(2), Budget.share(100).members
        (Budget(nodes=400, members=300), 40)
        """
        each = max(campaigns, 1)
        return cls(nodes=min(400, max(60, 4_000 // each)), members=min(300, max(40, 3_000 // each)))


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of an evidence matrix; ``strength`` 0 to 1 sets its shade."""

    axis: str
    title: str
    missing: bool
    strength: float
    effect: str
    p_value: str
    text: str
    without: str


@dataclass(frozen=True, slots=True)
class Section:
    """Everything the template shows of one campaign."""

    campaign: Campaign
    cells: list[Cell]
    why: list[str]
    would_change: list[str]
    timeline: Markup
    models: list[str]
    network: Network
    graph: Markup
    members: list[dict[str, Any]]
    all_members: int
    templates: list[dict[str, Any]]
    all_templates: int
    evidence: list[dict[str, Any]]
    examples: list[str]


def activity_by_model(scan: ScanOutput, dataset: Dataset, connection: Any) -> pa.Table:
    """Count every campaign's exchanges by day (number since 1970-01-01) and model, in one Ibis expression.

    >>> import tempfile
    >>> from stillwatch.tables.engines import connect
    >>> from stillwatch.cases.folder import Run
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scan = ScanOutput(Path(folder), [], [], Run())
    ...     activity_by_model(scan, Dataset(Path(folder)), connect(threads=1)).column_names
    ['campaign_id', 'day', 'model', 'n']
    """
    held = ibis.memtable(scan.table("campaign_exchanges").select(["campaign_id", "exchange_id"]))
    at = dataset.exchanges(connection)
    rows = held.inner_join(at.select("exchange_id", "model", us=microseconds(at.ts)), "exchange_id")
    days = rows.mutate(day=(rows.us // DAY_US).cast("int64"))
    counted = days.group_by("campaign_id", "day", "model").agg(n=days.count())
    return fetched(connection, counted.order_by("campaign_id", "day", "model"))


def matrix(campaign: Campaign, without: Mapping[str, str], lines: Mapping[str, str] | None = None) -> list[Cell]:
    """Return the six cells of a campaign's row in the evidence matrix; ``lines`` maps axes to what is said of them.

    >>> [cell.missing for cell in matrix(Campaign(campaign_id="c", verdict="campaign"), {})]
    [True, True, True, True, True, True]
    """
    cells = []
    for name in AXES:
        axis = campaign.axis(name)
        strength = min(max(axis.strength or 0.0, 0.0), 1.0)
        effect = "—" if axis.effect is None else f"{axis.effect:.2f}"
        said, left = (lines or {}).get(name) or axis.text or "", without.get(name, "")
        cells.append(Cell(name, AXIS_TITLES[name], axis.missing, strength, effect, p_text(axis.p_value), said, left))
    return cells


def section(
    campaign: Campaign,
    scan: ScanOutput,
    activity: pa.Table,
    closed: Mapping[str, int],
    flags: Mapping[str, str],
    budget: Budget,
    examples: list[str],
) -> Section:
    """Put together what the page shows of one campaign.

    ``activity``, ``closed``, ``flags``: see :func:`activity_by_model`, :func:`closures`, :func:`launch_flags`.

    >>> from stillwatch.cases.folder import Path, Run
    >>> none, scan = pa.table({"campaign_id": [], "day": []}), ScanOutput(Path("none"), [], [], Run())
    >>> section(Campaign(campaign_id="c", verdict="campaign"), scan, none, {}, {}, Budget.share(1), []).all_members
    0
    """
    members = _likeliest(scan.table("members", campaign.campaign_id))
    network = sample(members, scan.table("links", campaign.campaign_id), budget.nodes)
    mine = pc.equal(activity["campaign_id"].cast(pa.string()), campaign.campaign_id)
    timeline, models = _timeline(activity.filter(mine), members, closed, flags)
    templates = scan.table("templates", campaign.campaign_id)
    evidence = _evidence_rows(scan.table("evidence", campaign.campaign_id))
    return Section(
        campaign=campaign,
        cells=matrix(campaign, {removal.axis: removal.why for removal in removals(campaign)}, _said(evidence)),
        why=why(campaign),
        would_change=would_change(campaign),
        timeline=timeline,
        models=models,
        network=network,
        graph=draw(network),
        members=[_member_row(row) for row in members.slice(0, budget.members).to_pylist()],
        all_members=members.num_rows,
        templates=_template_rows(templates, max(campaign.accounts, 1)),
        all_templates=templates.num_rows,
        evidence=evidence,
        examples=examples,
    )


def _likeliest(members: pa.Table) -> pa.Table:
    order = [("probability", "descending"), ("account_id", "ascending")]
    return members.take(pc.sort_indices(members, sort_keys=order))


def _timeline(
    activity: pa.Table, members: pa.Table, closed: Mapping[str, int], flags: Mapping[str, str]
) -> tuple[Markup, list[str]]:
    """Draw exchanges by day and model; models past the palette are pooled."""
    if not activity.num_rows:
        return Markup(""), []
    numbers = activity["day"].to_numpy()
    last = int(numbers.max())
    first = max(int(numbers.min()) - 1, last - LONGEST_TIMELINE + 1)
    days = np.arange(first, last + 2)
    totals: dict[str, int] = {}
    for model, n in zip(activity["model"].to_pylist(), activity["n"].to_pylist(), strict=True):
        totals[model] = totals.get(model, 0) + n
    ranked = sorted(totals, key=lambda model: (-totals[model], model))
    shown = ranked[: SERIES_COLOURS if len(ranked) > SERIES_COLOURS else len(ranked)]
    layers: dict[str, Floats] = {model: np.zeros(len(days)) for model in shown}
    if len(ranked) > len(shown):
        layers["other models"] = np.zeros(len(days))
    for row in activity.to_pylist():
        if row["day"] >= first:
            layers[row["model"] if row["model"] in layers else "other models"][row["day"] - first] += row["n"]
    ends = [closed[name] - first for name in members["account_id"].to_pylist() if name in closed]
    inside = [position for position in ends if 0 <= position < len(days)]
    closures = np.bincount(inside, minlength=len(days)).astype(np.float64) if inside else None
    return stacked_days([iso_day(int(number)) for number in days], layers, flags=flags, closures=closures), list(layers)


def _member_row(row: dict[str, Any]) -> dict[str, Any]:
    terms = {name: row[f"log_lr_{name}"] for name in ("what", "who", "worth")}
    return {
        "account": row["account_id"],
        "probability": probability_text(row["probability"]),
        "sort": f"{row['probability'] or 0.0:.6f}",
        "role": row["role"] or "",
        **{name: "—" if nats is None else f"{nats:+.1f}" for name, nats in terms.items()},
        "first": _date(row["first_seen"]),
        "last": _date(row["last_seen"]),
    }


def _date(value: Any) -> str:
    return "—" if value is None else value.strftime("%Y-%m-%d")


def _template_rows(templates: pa.Table, accounts: int) -> list[dict[str, Any]]:
    rows = sorted(templates.to_pylist(), key=lambda row: (-(row["accounts"] or 0), str(row["template_id"])))
    return [
        {
            "id": "—" if row["template_id"] is None else f"{row['template_id']:016x}",
            "head": row["head"],
            "accounts": row["accounts"] or 0,
            "share": min((row["accounts"] or 0) / accounts, 1.0),
            "exchanges": row["exchanges"],
        }
        for row in rows[:MOST_TEMPLATES]
    ]


def _evidence_rows(evidence: pa.Table) -> list[dict[str, Any]]:
    rows = sorted(evidence.to_pylist(), key=lambda row: (-(row["weight_nats"] or 0.0), str(row["name"])))
    return rows[:MOST_EVIDENCE]


def _said(evidence: list[dict[str, Any]]) -> dict[str, str]:
    """Return the heaviest line of evidence of each axis, in words."""
    said: dict[str, str] = {}
    for row in evidence:
        said.setdefault(str(row["axis"]), str(row["text"] or row["name"] or ""))
    return said


def example_prompts(scan: ScanOutput, dataset: Dataset, connection: Any, campaign_id: str, most: int = 3) -> list[str]:
    """Return a few prompts of a campaign, the surest exchanges first: customers' text, for ``show_text`` only.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from stillwatch.cases.folder import Run
    >>> from stillwatch.tables.engines import connect
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     example_prompts(ScanOutput(Path(folder), [], [], Run()), Dataset(Path(folder)), connect(threads=1), "c")
    []
    """
    held = ibis.memtable(scan.table("campaign_exchanges", campaign_id))
    texts = dataset.texts.exchanges(connection).select("exchange_id", "prompt_text")
    rows = held.inner_join(texts, "exchange_id")
    rows = rows.filter(rows.prompt_text.notnull())
    first = rows.order_by(ibis.desc("probability"), "exchange_id").limit(most)
    found = fetched(connection, first.select("prompt_text"))["prompt_text"].to_pylist()
    return [prompt if len(prompt) <= LONGEST_EXAMPLE else prompt[:LONGEST_EXAMPLE] + " …" for prompt in found]


def closures(dataset: Dataset) -> dict[str, int]:
    """Return the day number of closure of every closed account.

    >>> from pathlib import Path
    >>> closures(Dataset(Path("no-such-folder")))
    {}
    """
    accounts = dataset.accounts()
    closed = accounts.filter(pc.is_valid(accounts["closed_at"]))
    days = closed["closed_at"].cast(pa.int64()).to_pylist()
    return {name: at // DAY_US for name, at in zip(closed["account_id"].to_pylist(), days, strict=True)}


def launch_flags(dataset: Dataset) -> dict[str, str]:
    """Return what is said of the days on which models were launched.

    >>> from pathlib import Path
    >>> launch_flags(Dataset(Path("no-such-folder")))
    {}
    """
    flags: dict[str, str] = {}
    launches = dataset.launches().sort_by([("released_at", "ascending"), ("model", "ascending")])
    for model, at in zip(
        launches["model"].to_pylist(), launches["released_at"].cast(pa.int64()).to_pylist(), strict=True
    ):
        date = instant(at)[:10]
        flags[date] = f"{flags[date]}, {model}" if date in flags else f"launch: {model}"
    return flags
