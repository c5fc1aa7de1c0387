"""The page a person reads: complete, self-contained, safe against what senders write, the same every time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from stillwatch.cases.report import write_report
from stillwatch.errors import DatasetError
from stillwatch.tables import Dataset, DatasetWriter

from .conftest import SECRET, Shape, World

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\x1b[31m"
VOID = {"meta", "link", "input", "br", "img", "path", "rect", "circle"}


class Page(HTMLParser):
    """What a test asks of the page: its tags, addresses and visible words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect tags, links and inline event handlers."""
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "xlink:href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def page_of(world: World, **options: bool) -> str:
    """Write the report and return its text."""
    return write_report(world.dataset, world.out, **options).read_text(encoding="utf-8")


def test_the_page_names_every_campaign_with_verdict_and_sureness(world: World) -> None:
    """Campaigns, groups that need a person, cleared groups and how sure are all on the page."""
    page = page_of(world)
    for words in ("C-001", "C-002", "needs a person", "G-001", "popular framework", "about 1 in 250", "q = 0.004"):
        assert words in page
    assert "This is not an accusation" in page


def test_a_group_that_needs_a_person_is_not_counted_as_a_campaign(world: World) -> None:
    """The headline counts accusations only."""
    assert "1 campaign found" in page_of(world)
    assert "2 campaigns found" not in page_of(world)


def test_the_same_scan_gives_the_same_bytes(world: World) -> None:
    """Two writes are byte for byte equal, also when only the run's timings differ."""
    first = write_report(world.dataset, world.out).read_bytes()
    run = json.loads((world.out / "run.json").read_text())
    run["stages"] = [{"name": "signals", "seconds": 99.0, "peak_mb": 1, "rows": 5}]
    (world.out / "run.json").write_text(json.dumps(run))
    assert write_report(world.dataset, world.out).read_bytes() == first


def test_nothing_on_the_page_points_outside(world: World) -> None:
    """No address but anchors, the members file and an empty data icon; no address in style or script."""
    text = page_of(world)
    outside = [a for a in Page(text).addresses if not a.startswith("#") and a not in ("members.parquet", "data:,")]
    assert outside == []
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)


def test_the_content_security_policy_forbids_everything_but_inline(world: World) -> None:
    """The page carries the strict policy it promises."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    assert f'content="{policy}"' in page_of(world)


def test_hostile_strings_are_shown_and_never_run(make_world: Callable[[Shape], World]) -> None:
    """Markup, handlers, escapes and bidi overrides in models, heads and evidence stay text."""
    text = page_of(make_world(Shape(accounts=20, days=12, campaigns=[6], hostile=HOSTILE)), show_text=True)
    page = Page(text)
    assert "&lt;script&gt;alert(1)" in text
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.handlers == []
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_an_innocent_ampersand_is_shown_once_escaped(make_world: Callable[[Shape], World]) -> None:
    """Ordinary punctuation is not escaped twice."""
    text = page_of(make_world(Shape(accounts=10, days=8, campaigns=[4], hostile=" R&D")))
    assert "R&amp;D" in text
    assert "R&amp;amp;D" not in text


def test_customers_text_is_left_out_unless_asked_for(world: World) -> None:
    """No prompt is on the page by default."""
    text = page_of(world)
    assert SECRET not in text
    assert "Nightjar" not in text
    assert "holds no customer" in text


def test_customers_text_is_shown_when_asked_for(make_world: Callable[[Shape], World]) -> None:
    """With show_text a few prompts of each campaign are on the page, and the page says so."""
    text = page_of(make_world(Shape(accounts=10, days=8, campaigns=[4])), show_text=True)
    assert SECRET in text
    assert "keep it where prompts may be kept" in text


def test_asking_for_text_that_is_not_there_says_so(make_world: Callable[[Shape], World]) -> None:
    """Content-free data with show_text gives a sentence, not an empty box."""
    text = page_of(make_world(Shape(accounts=10, days=8, campaigns=[4], text=False)), show_text=True)
    assert "No prompt text is in this data" in text
    assert "construction 8000000000000000" in text


def test_a_scan_that_found_nothing_still_shows_telemetry(make_world: Callable[[Shape], World]) -> None:
    """No campaign: the page says so and the telemetry is whole."""
    text = page_of(make_world(Shape(accounts=60, days=20, campaigns=[])))
    assert "No campaign found" in text
    assert 'id="campaigns"' not in text
    for words in ("Sign-ups by day", "By programme", "By plan", "By surface", "By model", "By sign-up week"):
        assert words in text


def test_columns_that_are_null_throughout_are_said_to_be_absent(make_world: Callable[[Shape], World]) -> None:
    """Absent is not zero: each empty dimension says it is not in this data."""
    text = page_of(make_world(Shape(accounts=10, days=8, campaigns=[4], columns=False)))
    for title in ("programme", "plan", "surface"):
        assert re.search(rf"<h3>By {title}</h3>\s*<p class=\"nodata\">Not in this data", text)
    assert "Model launches are not in this data" in text


def test_one_account_makes_a_page(tmp_path: Path) -> None:
    """The smallest dataset there is: one exchange of one account, nothing else known."""
    with DatasetWriter(tmp_path / "data") as writer:
        row = {"exchange_id": "e", "account_id": "a", "ts": 1_772_000_000_000_000, "model": "m"}
        writer.add_exchanges(pa.Table.from_pylist([row]))
        writer.commit()
    (tmp_path / "campaigns.json").write_text("[]")
    text = write_report(Dataset.open(tmp_path / "data"), tmp_path).read_text()
    assert "No campaign found" in text
    assert "1 exchange; at most 1 account on a day" in text


def test_no_exchanges_at_all_makes_a_page(tmp_path: Path) -> None:
    """Accounts without any exchange: the telemetry says there is nothing."""
    with DatasetWriter(tmp_path / "data") as writer:
        writer.set_accounts(pa.table({"account_id": ["a"], "created_at": [0]}))
        writer.commit()
    (tmp_path / "campaigns.json").write_text("[]")
    assert "There are no exchanges in this data" in write_report(Dataset.open(tmp_path / "data"), tmp_path).read_text()


def test_a_folder_without_a_scan_is_a_clear_error(world: World, tmp_path: Path) -> None:
    """The error says what is missing and what to run."""
    with pytest.raises(DatasetError, match="run `stillwatch scan DATASET --out DIR` first"):
        write_report(world.dataset, tmp_path)


def test_a_broken_file_of_the_scan_is_named(world: World, tmp_path: Path) -> None:
    """A file that is not what the contract says is named with the reason."""
    (tmp_path / "campaigns.json").write_text('[{"campaign_id": 7}]')
    with pytest.raises(DatasetError, match=r"campaigns\.json is not what a scan writes"):
        write_report(world.dataset, tmp_path)


def test_the_members_table_stays_small_and_says_where_the_rest_is(make_world: Callable[[Shape], World]) -> None:
    """Of 320 members 300 are on the page, with a link to all."""
    text = page_of(make_world(Shape(accounts=5, days=3, campaigns=[320])))
    assert "The 300 likeliest are here; all 320 are in" in text
    assert len(text) < 700_000


def test_missing_evidence_is_hatched_in_the_matrix_and_present_evidence_is_not(world: World) -> None:
    """The second group lacks sign-up evidence; the first has it."""
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', page_of(world), flags=re.DOTALL)
    assert "no data" not in rows[0]
    assert rows[1].count("no data") == 1


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_real_browser_loads_the_page_without_an_error(make_world: Callable[[Shape], World], tmp_path: Path) -> None:
    """Chromium runs the page's script under its policy and logs nothing to the console."""
    world = make_world(Shape(accounts=20, days=12, campaigns=[6], hostile=HOSTILE))
    page = write_report(world.dataset, world.out, show_text=True)
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --dump-dom"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *flags.split(), *quiet.split(), profile, page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, env={**os.environ, "LANG": "C.UTF-8"})
    assert b"CONSOLE" not in done.stderr
    dom = done.stdout.decode()
    assert "<th" in dom
    assert '<button type="button">account</button>' in dom, "the page's script did not run"
