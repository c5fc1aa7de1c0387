"""Exactly once, all or nothing, private, and honest about what is absent."""

from __future__ import annotations

import ipaddress
import json
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stillwatch.cli import app
from stillwatch.errors import ConfigError
from stillwatch.ingest import READERS, Key, Limits, find_key, load_networks
from stillwatch.ingest.networks import Network, build_networks
from stillwatch.ingest.privacy import address, scrub
from stillwatch.ingest.seen import SeenIds
from stillwatch.ingest.streams import lines as split_lines
from stillwatch.ingest.values import json_values

TEXTS = ("system_text", "prompt_text", "tools_json", "response_text")


def test_the_same_files_twice_are_the_same_dataset(ingest: Any, snapshot: Any, examples: Path) -> None:
    """A second run adds nothing and changes no byte, rejects and coverage included."""
    sources = [
        examples / name for name in ("litellm.jsonl", "openai.jsonl", "anthropic.jsonl", "otel-3-messages.jsonl")
    ]
    options = {"accounts": (examples / "accounts.csv",), "launches": (examples / "launches.csv",)}
    first = ingest(*sources, **options)
    before = snapshot()
    second = ingest(*sources, **options)
    assert (second.added, second.duplicates) == (0, first.added)
    assert snapshot() == before


def test_rejects_of_a_repeated_run_are_kept_once(ingest: Any, log: Any, row: Any, snapshot: Any) -> None:
    """The same rejects give the same file."""
    source = log([row(0), row(1, ts=None)])
    ingest(source, max_reject_share=1.0)
    before = snapshot()
    ingest(source, max_reject_share=1.0)
    assert snapshot() == before


def test_two_datasets_of_the_same_files_are_equal(ingest: Any, snapshot: Any, examples: Path, into: Path) -> None:
    """Nothing of the run itself (time, folder) gets into the dataset."""
    ingest(examples / "litellm.jsonl", examples / "openai.jsonl")
    first = snapshot()
    into.rename(into.with_name("other"))
    ingest(examples / "litellm.jsonl", examples / "openai.jsonl")
    assert snapshot() == first


def test_overlapping_files_add_each_exchange_once(ingest: Any, log: Any, row: Any, stored: Any) -> None:
    """An id met before, in the dataset or in the run, is counted and not added."""
    ingest(log([row(n) for n in range(5)], "a.jsonl"))
    report = ingest(log([row(n) for n in range(3, 8)], "b.jsonl"), log([row(7), row(8)], "c.jsonl"))
    assert (report.added, report.duplicates) == (4, 3)
    assert [one["exchange_id"] for one in stored()] == [f"e{n}" for n in range(9)]


def test_rows_without_an_id_get_one_from_their_content(ingest: Any, log: Any, row: Any, stored: Any) -> None:
    """Equal rows of one file are two exchanges; the same file again, or a copy of it, adds none."""
    rows = [row(0, exchange_id=None), row(0, exchange_id=None), row(0, exchange_id=None, account_id="b")]
    assert ingest(log(rows, "a.jsonl")).added == 3
    assert ingest(log(rows, "a.jsonl"), log(rows, "copy.jsonl")).added == 0
    assert len({one["exchange_id"] for one in stored()}) == 3


def test_an_interrupted_run_leaves_the_dataset_as_it_was(
    ingest: Any, log: Any, row: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while reading, the run leaves what was there; repeated, it does all."""
    ingest(log([row(99)], "first.jsonl"))
    before = snapshot()

    def stop(_: pa.Table) -> pa.Table:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(log([row(n) for n in range(10)]), content_free=True, fingerprint=stop)
    assert snapshot() == before
    assert ingest(log([row(n) for n in range(10)])).added == 10


def test_a_failed_first_run_leaves_no_folder(ingest: Any, log: Any, row: Any, into: Path) -> None:
    """Without a dataset before, there is none after."""
    with pytest.raises(ConfigError):
        ingest(log([row()]), content_free=True)
    assert not into.exists()


def test_no_personal_value_is_written(ingest: Any, log: Any, row: Any, snapshot: Any, examples: Path) -> None:
    """Addresses, e-mails, phones, cards, devices and raw keys are nowhere in the dataset, rejects included."""
    secret = "sk-" + "a1B2" * 8
    rows = [row(n, ip="198.18.77.5", account_id="ann@b.example", api_key_id=secret) for n in range(3)]
    rows.append(row(9, ts=None, ip="198.18.77.6", end_user_id="bo@b.example", api_key_id=secret))
    broken = '{"ip": "198.18.77.7", "mail": "cy@b.example", "card": "4111111111111111", '
    source = log("".join(json.dumps(one) + "\n" for one in rows) + broken + "\n")
    ingest(source, accounts=(examples / "accounts.csv",), max_reject_share=1.0)
    written = b"".join(snapshot().values())
    for raw in ("198.18.77.5", "198.18.77.6", "198.18.77.7", "@b.example", "4111111111111111", "555 0101", secret):
        assert raw.encode() not in written, raw
    assert b"device-1" not in written


def test_hashes_join_over_files_and_leave_ids_alone(ingest: Any, log: Any, row: Any, stored: Any) -> None:
    """One address written in several ways is one hash; an id that is no e-mail and a keyed hash stay as they are."""
    kept = "hmac-sha256:demo:00ff"
    ips = ["198.18.1.2", "198.18.1.2:443", "::ffff:198.18.1.2", kept, "unknown"]
    report = ingest(log([row(n, ip=ip) for n, ip in enumerate(ips)]))
    rows = stored()
    assert rows[0]["ip"] == rows[1]["ip"] == rows[2]["ip"] != kept == rows[3]["ip"]
    assert "ip" not in rows[4]
    assert "ip_prefix" not in rows[3]
    assert rows[0]["account_id"] == "a"
    assert report.notes == {"addresses that are none, left out": 1}


def test_content_free_stores_fingerprints_and_no_text(
    ingest: Any, log: Any, row: Any, stored: Any, snapshot: Any, rejects: Any
) -> None:
    """Texts go to the fingerprint function and nowhere else; rejects keep no raw bytes."""

    def fingerprint(table: pa.Table) -> pa.Table:
        assert table.column("prompt_text").to_pylist()[0] == "a secret plan"
        at = table.column_names.index("template_id")
        return table.set_column(at, "template_id", pa.array([7] * table.num_rows, pa.uint64()))

    rows = [
        row(0, **dict.fromkeys(TEXTS, "a secret plan")),
        row(1, template_id=5),
        row(2, ts=None, prompt_text="a secret"),
    ]
    report = ingest(log(rows), content_free=True, fingerprint=fingerprint, max_reject_share=1.0)
    assert report.coverage["columns"]["template_id"]["from"] == {"fingerprint of the text": 2}
    assert {"prompt_text", "sketch"} <= set(report.coverage["absent"])
    texted, bare = stored()
    assert not set(TEXTS) & set(texted)
    assert (texted["template_id"], bare["template_id"]) == (7, 5)
    assert b"secret" not in b"".join(snapshot().values())
    assert "raw" not in rejects()[0]


def test_content_free_with_the_real_kernel(ingest: Any, examples: Path, stored: Any) -> None:
    """The product's own fingerprint function fills sketches for rows with text."""
    kernel = pytest.importorskip("stillwatch.signals.fingerprint")
    ingest(examples / "litellm.jsonl", content_free=True, fingerprint=kernel.fingerprint)
    assert all(one["sketch"] and "prompt_text" not in one for one in stored())


def test_coverage_says_what_was_filled_and_from_what(ingest: Any, examples: Path, into: Path) -> None:
    """Every run stores its own coverage and the sum; counts by source add up to the rows filled."""
    first = ingest(examples / "litellm.jsonl")
    second = ingest(examples / "openai.jsonl")
    added = json.loads((into / "coverage.json").read_text())
    assert added["rows"] == first.added + second.added
    assert added["runs"] == len(list((into / "coverage").glob("*.json"))) == 2
    assert added["columns"]["account_id"]["from"] == {"account_id": 2, "metadata.user_api_key_user_id": 2}
    assert all(entry["filled"] == sum(entry["from"].values()) for entry in added["columns"].values())
    assert "tls_fingerprint" in second.coverage["absent"]
    assert "tls_fingerprint" not in added["absent"]


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """Without a key one is made in the user's folder, mode 0600, and found again; a dry run makes none."""
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert find_key(None, home, make=False).origin == "this run only"
    assert not list(tmp_path.iterdir())
    made = find_key(None, home)
    path = tmp_path / "stillwatch" / "key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert find_key(None, home) == made
    assert find_key(None, {**home, "STILLWATCH_KEY": "x" * 20}).origin == "STILLWATCH_KEY"
    (tmp_path / "own").write_text("y" * 20)
    assert find_key(tmp_path / "own", home).secret == b"y" * 20


def test_short_and_missing_keys_are_refused(tmp_path: Path) -> None:
    """A key anyone could guess, or a named file that is not there, is an error."""
    (tmp_path / "own").write_text("short")
    for path in (tmp_path / "own", tmp_path / "none"):
        with pytest.raises(ConfigError):
            find_key(path, {})


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 40))
def test_lines_agree_with_split(data: bytes, size: int, limit: int) -> None:
    """Lines over chunks are those of `split`, long ones marked, wherever the chunks are cut."""
    cuts = [data[at : at + size] for at in range(0, len(data), size)]
    wanted = data.split(b"\n")
    wanted = wanted[:-1] if wanted[-1] == b"" else wanted
    found = list(split_lines(iter(cuts), limit))
    assert [line.number for line in found] == list(range(1, len(wanted) + 1))
    assert [line.too_long for line in found] == [len(one) > limit for one in wanted]
    whole = [one.removesuffix(b"\r") for one in wanted if len(one) <= limit]
    if whole and not data.startswith(b"\xef\xbb\xbf"):
        assert [line.data for line in found if not line.too_long] == whole


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=9) | st.integers() | st.lists(st.text()))
    ),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
)
def test_values_agree_with_json(rows: list[Any], size: int, indent: int | None) -> None:
    """Objects of an array come out as `json.loads` reads them, wherever the chunks are cut."""
    text = json.dumps(rows, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
    cuts = iter([text[at : at + size] for at in range(0, len(text), size)])
    assert [getattr(one, "value", one) for one in json_values("x", cuts, 10_000)] == json.loads(text)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=3)), st.integers(1, 5))
def test_seen_ids_agree_with_a_set(names: list[str], loose: int) -> None:
    """An id is new exactly once, also after merging into the sorted array."""
    seen, plain = SeenIds(loose=loose), set[str]()
    for name in names:
        assert seen.add(name) is (name not in plain)
        plain.add(name)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(6, 10))), st.integers(0, 255))
def test_longest_prefix_agrees_with_a_plain_search(ranges: list[tuple[int, int]], third: int) -> None:
    """The lookup by length finds what trying every range finds."""
    rows = [{"range": f"{first}.64.0.0/{bits}", "asn": n} for n, (first, bits) in enumerate(ranges)]
    wanted = address(f"{third}.64.1.2")
    assert wanted is not None
    holding = [
        (network.prefixlen, row["asn"])
        for row in rows
        if wanted in (network := ipaddress.ip_network(str(row["range"]), strict=False))
    ]
    assert build_networks(rows).find(wanted) == (Network(asn=max(holding)[1]) if holding else Network())


def test_scrub_leaves_ordinary_numbers() -> None:
    """Times and token counts in rejects stay readable; only what can be a card, phone, address or key goes."""
    key = Key(b"0123456789abcdef")
    text = b'{"t": 1767225600000, "id": "0a1b2c", "n": 12, "v": "1.2.3"}'
    assert scrub(key, text) == text


def test_networks_accept_any_container(tmp_path: Path) -> None:
    """Ranges read from JSON lines too."""
    path = tmp_path / "n.ndjson"
    path.write_text('{"range": "2001:db8::/32", "kind": "university"}\n')
    found = address("2001:db8::1")
    assert found is not None
    assert load_networks(path).find(found).kind == "education"


def test_limits_default_to_32_megabytes() -> None:
    """The default is what the documentation says."""
    assert Limits().line_bytes == 32 << 20


def run(*words: str | Path, **env: str) -> Any:
    """Run the command line."""
    return CliRunner().invoke(app, ["ingest", *map(str, words)], env={"STILLWATCH_KEY": "k" * 16, **env})


def test_command_reports_and_stores(examples: Path, into: Path) -> None:
    """The command adds, says how the files were read, where the key came from, and what was filled."""
    found = run(examples / "litellm.jsonl", "--into", into, "--accounts", examples / "accounts.csv")
    assert found.exit_code == 0, found.output
    for words in ("litellm.jsonl: litellm (ndjson", "added 2 exchanges", "from STILLWATCH_KEY", "absent:"):
        assert words in found.output
    assert "k" * 16 not in found.output
    again = run(examples / "litellm.jsonl", "--into", into, "--json")
    assert json.loads(again.stdout)["duplicates"] == 2
    assert run(examples / "litellm.jsonl", "--into", into, "--quiet").output == ""


def test_dry_run_writes_nothing(examples: Path, into: Path, tmp_path: Path) -> None:
    """A dry run shows rows as mapped, long text cut, and makes neither dataset nor key."""
    home = tmp_path / "home"
    found = run(
        examples / "kong.ndjson",
        "--map",
        examples / "kong.toml",
        "--into",
        into,
        "--dry-run",
        XDG_CONFIG_HOME=str(home),
    )
    assert found.exit_code == 0, found.output
    assert "Name a stone." in found.output
    assert "nothing was written" in found.output
    assert not into.exists()
    shown = run(
        examples / "otel-3-messages.jsonl",
        "--into",
        into,
        "--dry-run",
        "--json",
        STILLWATCH_KEY="",
        XDG_CONFIG_HOME=str(home),
    )
    assert json.loads(shown.stdout)["rows"][0]["account_id"] == "acct-1"
    assert not home.exists()


def test_help_carries_an_example() -> None:
    """`--help` shows how to call it and what the exit codes mean."""
    found = run("--help")
    assert "stillwatch ingest logs/" in found.output
    assert "Exit codes" in found.output


def documented() -> list[str]:
    """Return the ingest commands of the documentation that run on the example logs."""
    page = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
    return [line for line in page.splitlines() if line.startswith("stillwatch ingest examples/")]


@pytest.mark.parametrize("command", documented())
def test_documented_commands_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: Path
) -> None:
    """Each command that the page shows runs as written, on the example logs."""
    (tmp_path / "examples").symlink_to(examples.parent)
    monkeypatch.chdir(tmp_path)
    found = run(*shlex.split(command)[2:])
    assert found.exit_code == 0, found.output
    assert "added 0 " not in found.output


def test_the_page_lists_every_format_and_option() -> None:
    """The documentation names each reader and each option of the command."""
    page = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
    missing = [name for name in READERS if f"`{name}`" not in page]
    options = ("--format", "--map", "--identity", "--accounts", "--launches", "--networks", "--key-file", "--dry-run")
    options += ("--content-free", "--max-reject-share", "--max-line-mb", "--allow-truncated", "--join-window", "--now")
    assert missing + [name for name in options if name not in page] == []
