"""Write a scorecard as JSON for programs, as Markdown for documents and as one HTML page with its curves."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2
import msgspec
from markupsafe import Markup

from stillwatch.errors import DatasetError
from stillwatch.evaluate import tables, trials
from stillwatch.evaluate.bench import SCHEMA, Scorecard
from stillwatch.evaluate.plots import plot
from stillwatch.evaluate.tables import Section, ours, results
from stillwatch.evaluate.targets import targets

BEGIN, END = "<!-- scorecard:begin", "<!-- scorecard:end -->"


def sections(card: Scorecard) -> list[Section]:
    """Return all tables of a scorecard that have a row, in the order in which they are read.

    >>> [section.title for section in sections(example_card())][1]
    'Detection'
    """
    every = [
        targets(card),
        *tables.detection(card),
        tables.null_worlds(card),
        tables.populations(card),
        tables.for_a_person(card),
        tables.victims(card),
        tables.campaigns(card),
        trials.day_by_day(card),
        trials.evasion(card),
        trials.ablation(card),
        tables.false_discovery(card),
        tables.membership(card),
        trials.reseeding(card),
        trials.cost(card),
        trials.failures(card),
    ]
    return [section for section in every if section.rows]


def made_by(card: Scorecard) -> list[tuple[str, str]]:
    """Return how the figures came about, as names with values.

    >>> made_by(example_card())[0]
    ('date', '2026-01-02')
    """
    machine, packages = card.made["machine"], card.made["packages"]
    return [
        ("date", card.made["date"]),
        ("command", card.made["command"]),
        ("version", f"{card.made['version']}, revision {card.made['revision'] or 'unknown'}, code {card.made['code']}"),
        (
            "machine",
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}",
        ),
        ("software", ", ".join([f"Python {card.made['python']}", *(f"{n} {v}" for n, v in packages.items())])),
        ("measured", f"{sum(one.result is not None for one in card.cells):,} of {len(card.cells):,} cells"),
    ]


def markdown(card: Scorecard) -> str:
    """Return the tables as Markdown.

    >>> "## Detection" in markdown(example_card())
    True
    """
    parts = ["\n".join(f"- {name}: {_code(name, value)}" for name, value in made_by(card))]
    for section in sections(card):
        rows = [section.header, ["---"] * len(section.header), *section.rows]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        parts.append(f"## {section.title}\n\n{section.about}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _code(name: str, value: str) -> str:
    return f"`{value}`" if name == "command" else value


def html(card: Scorecard) -> str:
    """Return the page: it loads nothing from elsewhere and runs no script.

    >>> "default-src 'none'" in html(example_card())
    True
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stillwatch.evaluate", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["plot"] = plot
    css = resources.files("stillwatch.cases").joinpath("static/report.css").read_text(encoding="utf-8")
    page = environment.get_template("scorecard.html.j2")
    return page.render(css=Markup(css), headline=headline(card), made=made_by(card), sections=sections(card))


def headline(card: Scorecard) -> str:
    """Return what the run comes to in one sentence.

    >>> headline(example_card())
    '3 of 3 campaigns found'
    """
    found = [one for result in results(ours(card, "worlds")) for one in result["campaigns"]]
    null = results(ours(card, "null"))
    wrong = sum(any(group["verdict"] == "campaign" for group in one["groups"]) for one in null)
    if not found and not null:
        return f"{sum(one.result is not None for one in card.cells):,} cells measured"
    told = f"{sum(one['found'] for one in found)} of {len(found)} campaigns found"
    return told + (f"; {wrong} of {len(null)} worlds without a campaign have a report" if null else "")


def write_pages(card: Scorecard, out: Path) -> list[Path]:
    """Write ``scorecard.json``, ``scorecard.md`` and ``scorecard.html`` and return their paths.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.suffix for path in write_pages(example_card(), Path(folder))]
    ['.json', '.md', '.html']
    """
    pages = {"json": dump(card), "md": f"# Scorecard\n\n{markdown(card)}", "html": html(card)}
    for kind, content in pages.items():
        (out / f"scorecard.{kind}").write_text(content, encoding="utf-8", newline="\n")
    return [out / f"scorecard.{kind}" for kind in pages]


def dump(card: Scorecard) -> str:
    """Return a scorecard as JSON text with one figure or cell a line.

    >>> dump(example_card()).splitlines()[1]
    ' "schema": 1,'
    """
    return msgspec.json.format(msgspec.json.encode(card), indent=1).decode() + "\n"


def load(path: Path) -> Scorecard:
    """Read a scorecard. Raises :class:`DatasetError` when the file holds none of this schema.

    >>> load(Path("no-such-file"))
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: no-such-file holds no scorecard: ...
    """
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Scorecard)
    except (OSError, msgspec.MsgspecError) as error:
        raise DatasetError(f"{path} holds no scorecard: {error}") from error
    if card.schema != SCHEMA:
        raise DatasetError(f"{path} is a scorecard of schema {card.schema}; this version reads {SCHEMA}")
    return card


def write_docs(card: Scorecard, page: Path) -> None:
    """Put the tables between the scorecard marks of a page. Raises :class:`DatasetError` when the marks are missing.

    >>> write_docs(None, Path("no-such-page"))
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: no-such-page has no line that begins with <!-- scorecard:begin
    """
    lines: Sequence[str] = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    begin = next((i for i, line in enumerate(lines) if line.startswith(BEGIN)), None)
    end = next((i for i, line in enumerate(lines) if line == END), None)
    if begin is None or end is None:
        raise DatasetError(f"{page} has no line that begins with {BEGIN}")
    body = markdown(card).replace("\n## ", "\n### ").splitlines()
    page.write_text("\n".join([*lines[: begin + 1], *body, *lines[end:]]) + "\n", encoding="utf-8")
