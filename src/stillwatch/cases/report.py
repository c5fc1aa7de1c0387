"""Write ``report.html``: one self-contained page, no network, the same bytes for the same input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from stillwatch.cases import dashboard
from stillwatch.cases.folder import AXES, Campaign, ScanOutput
from stillwatch.cases.sections import (
    Budget,
    Section,
    activity_by_model,
    closures,
    example_prompts,
    launch_flags,
    matrix,
    section,
)
from stillwatch.cases.summary import VERDICTS, verdict_line
from stillwatch.cases.telemetry import Telemetry, measure
from stillwatch.cases.wording import (
    AXIS_TITLES,
    clean,
    count,
    day,
    interval,
    p_text,
    share,
    short,
    sureness,
    window,
)
from stillwatch.tables import Dataset
from stillwatch.tables.engines import connect
from stillwatch.types import Progress, silent

MOST_SECTIONS = 40
MOST_CLEARED = 100
_HERE = Path(__file__).parent
_MOST_MEMORY = "2GB"  # for counting exchanges, beyond which the engine goes on in files


def write_report(
    dataset: Dataset, out: Path, *, show_text: bool = False, cluster: Any | None = None, progress: Progress = silent
) -> Path:
    """Write ``report.html`` into the folder of a scan and return its path.

    Customers' text is in the page only with ``show_text``; without it the page holds ids, counts, masked heads and
    the scan's own sentences. Times that the scan took are left out, so the same scan gives the same bytes. ``cluster``
    is a connection whose engine folds the rows instead of this process.
    Raises :class:`stillwatch.errors.DatasetError` when ``out`` holds no scan.

    >>> write_report(Dataset(Path("no-such-folder")), Path("no-such-folder"))
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: no-such-folder holds no scan: ...
    """
    scan = ScanOutput.open(out)
    connection = connect(memory_limit=_MOST_MEMORY) if cluster is None else cluster
    try:
        page = render(scan, dataset, connection, show_text=show_text, progress=progress)
    finally:
        if cluster is None:
            connection.disconnect()
    target = Path(out) / "report.html"
    staged = target.with_suffix(".html.part")
    staged.write_text(page, encoding="utf-8", newline="\n")
    staged.replace(target)
    return target


def render(
    scan: ScanOutput, dataset: Dataset, connection: Any, *, show_text: bool = False, progress: Progress = silent
) -> str:
    """Return the page of a scan as text.

    >>> import tempfile
    >>> from stillwatch.cases.folder import Run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = render(ScanOutput(Path(folder), [], [], Run()), Dataset(Path(folder)), connect(threads=1))
    >>> "No campaign found" in page, "default-src 'none'" in page
    (True, True)
    """
    members = frozenset(name for name in scan.table("members")["account_id"].to_pylist() if name is not None)
    telemetry = measure(dataset, connection, members=members, progress=progress)
    sections = _sections(scan, dataset, connection, show_text=show_text, progress=progress)
    flags = launch_flags(dataset)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            scan=scan,
            line=verdict_line(scan),
            facts=_facts(scan, telemetry),
            sections=sections,
            overview=[(campaign, matrix(campaign, {})) for campaign in scan.campaigns],
            cleared=sorted(scan.considered, key=lambda group: (-group.accounts, group.group_id))[:MOST_CLEARED],
            telemetry=telemetry,
            episodes=dashboard.episodes(telemetry),
            boards=_boards(telemetry, flags),
            show_text=show_text,
        )
    )


def _sections(
    scan: ScanOutput, dataset: Dataset, connection: Any, *, show_text: bool, progress: Progress
) -> list[Section]:
    shown = scan.campaigns[:MOST_SECTIONS]
    if not shown:
        return []
    activity, closed, flags = activity_by_model(scan, dataset, connection), closures(dataset), launch_flags(dataset)
    budget, out = Budget.share(len(shown)), []
    for done, campaign in enumerate(shown, start=1):
        examples = example_prompts(scan, dataset, connection, campaign.campaign_id) if show_text else []
        out.append(section(campaign, scan, activity, closed, flags, budget, examples))
        progress("report", done, len(shown), "campaigns")
    return out


def _facts(scan: ScanOutput, telemetry: Telemetry) -> list[tuple[str, str, str]]:
    """Return the figures at the top of the page: (name, figure, what it counts)."""
    accused: list[Campaign] = scan.reported
    exchanges, accounts = scan.run.rows.get("exchanges"), scan.run.rows.get("accounts")
    inside = sum(campaign.exchanges for campaign in accused)
    part = f"{share(inside / exchanges)} of all" if exchanges else ""
    tokens = [campaign.tokens for campaign in accused if campaign.tokens is not None]
    days = window(telemetry.days[0], telemetry.days[-1]) if telemetry.days else "no exchanges"
    return [
        ("campaigns", count(len(accused)), f"{len(scan.undecided)} more need a person"),
        ("accounts in campaigns", count(sum(c.accounts for c in accused)), f"of {count(accounts)}" if accounts else ""),
        ("exchanges taken", short(inside), part),
        ("tokens taken", short(sum(tokens)) if tokens or not accused else "—", "input and output"),
        ("looked at", short(exchanges), f"exchanges, {days}"),
    ]


def _boards(telemetry: Telemetry, flags: dict[str, str]) -> dict[str, Any]:
    """Return the charts of the telemetry part, by place on the page."""
    first = telemetry.first_day
    shown = {day: said for day, said in flags.items() if day in set(telemetry.days)}
    return {
        "total": telemetry.total and dashboard.panel(telemetry.total, flags=shown),
        "signups": telemetry.signups and dashboard.panel(telemetry.signups, flags=flags),
        "first_day": first and dashboard.panel(first.series, flags={}),
        "first_rows": [
            (name, count(first.series.accounts[i]), count(first.median[i]), count(first.ninetieth[i]))
            for i, name in enumerate(first.series.days)
            if first.series.accounts[i]
        ][-14:]
        if first
        else [],
        "dimensions": [
            (item, [dashboard.panel(series) for series in item.series] if item.name != "cohort" else [])
            for item in telemetry.dimensions
        ],
        "cohorts": next((dashboard.cohort_grid(d) for d in telemetry.dimensions if d.name == "cohort"), Markup("")),
        "adoption": [dashboard.adoption_panel(item) for item in telemetry.adoption],
    }


def _environment() -> jinja2.Environment:
    """Return the template environment: everything escaped, every value made safe for a reader first."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "count": count,
        "day": day,
        "interval": interval,
        "p": p_text,
        "share": share,
        "short": short,
        "sure": sureness,
    }
    environment.globals |= {
        "AXES": AXES,
        "AXIS_TITLES": AXIS_TITLES,
        "window": window,
        "VERDICTS": {name: words for name, (words, _) in VERDICTS.items()},
        "css": Markup((_HERE / "static" / "report.css").read_text(encoding="utf-8")),
        "js": Markup((_HERE / "static" / "report.js").read_text(encoding="utf-8")),
    }
    return environment


def _finalize(value: object) -> object:
    if value is None:
        return ""
    return clean(value, 4_000) if isinstance(value, str) and not isinstance(value, Markup) else value
