"""The real texts and arrivals that the outside worlds are made of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from benchmarks.real_world import rhythms

INTERESTS = 70
COLUMNS = ["source", "subset", "text", "system_text"]
Pair = tuple[str | None, str]


@dataclass(frozen=True)
class Corpus:
    """What accounts say: texts by source, requests by field of interest, loose sentences, and rates of real clients.

    ``texts`` and ``pairs`` (system text, text) are by name; ``rates`` are shares by ten-minute window over 14 days.
    """

    texts: dict[str, list[str]]
    pairs: dict[str, list[Pair]]
    interests: list[list[str]]
    sentences: list[str]
    rates: list[Any]
    vpn_ranges: list[str]
    throwaway_domains: list[str]


def quarter(text: str) -> bool:
    """Whether a text is of the quarter of a corpus that ordinary users have; campaigns have the rest.

    >>> quarter("Name three fruits.") in (True, False)
    True
    """
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] % 4 == 0


def read_corpus(folder: Path) -> Corpus:
    """Read the Parquet files of a folder (docs/real-input.md names them)."""
    rows = [row for name in ("distill", "user", "eval") for row in _rows(folder / f"prompts_{name}.parquet")]
    texts: dict[str, list[str]] = {}
    for source, _, text, _ in rows:
        if text:
            texts.setdefault(source, []).append(text)
    sentences = sorted(set(_sentences(texts)))
    texts |= _parts(rows, texts)
    ranges = pq.read_table(folder / "net_ip_ranges.parquet", columns=["range", "kind"]).to_pylist()
    domains = pq.read_table(folder / "net_email_domains.parquet", columns=["domain"])["domain"].to_pylist()
    return Corpus(
        texts,
        _pairs(rows),
        _interests(texts["everyday"]),
        sentences,
        rhythms(folder / "trace_client_windows.parquet"),
        [row["range"] for row in ranges if row["kind"] == "vpn" and row["range"].endswith("/24")],
        domains,
    )


Row = tuple[str, str, str, str]


def _rows(path: Path) -> Iterator[Row]:
    table = pq.read_table(path, columns=COLUMNS)
    for source, subset, text, system in zip(*(table[name].to_pylist() for name in COLUMNS), strict=True):
        yield source, subset or "", text or "", system or ""


def _parts(rows: list[Row], texts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return parts of sources under names of their own; what ordinary users say and what campaigns ask are apart."""
    of = {(source, subset): [t for s, b, t, _ in rows if (s, b) == (source, subset) and t] for source, subset in PARTS}
    solved = {found[-1] for text in texts["metamath"] if (found := re.findall(r"Question: (.*?)\n", text))}
    return {
        "everyday": _everyday(rows, of, texts),
        "alpaca": [text for text in texts["alpaca_52k"] if not quarter(text)],
        "code": of["codealpaca", "new"],
        "toolformer": of["gpteacher", "toolformer"],
        "roleplay": of["gpteacher", "roleplay"],
        "questions": sorted(text.strip() for text in solved),
        "school": of["gsm8k", "train"],
        "school test": of["gsm8k", "test"],
        "systems": [system for source, _, _, system in rows if source == "system_prompts" and system],
        "personas": [text for text in texts["awesome_prompts"] if 80 < len(text) < 4000],
        "repository": of["swe_agent_demo", "user"] + of["swe_agent_demo", "tool"],
    }


PARTS = (
    ("codealpaca", "2k"),
    ("codealpaca", "new"),
    ("gpteacher", "toolformer"),
    ("gpteacher", "roleplay"),
    ("gsm8k", "train"),
    ("gsm8k", "test"),
    ("swe_agent_demo", "user"),
    ("swe_agent_demo", "tool"),
)


def _everyday(rows: list[Row], of: dict[tuple[str, str], list[str]], texts: dict[str, list[str]]) -> list[str]:
    """Return the texts of ordinary users: a quarter of three corpora that campaigns use too, and several others."""
    doctor = [text for source, _, text, _ in rows if source == "chatdoctor" and text]
    found = [text for text in texts["alpaca_52k"] + doctor if quarter(text)] + of["codealpaca", "2k"]
    for source in ("instructionwild", "awesome_prompts", "awesome_prompts_zh", "wildchat_hard_ru", "vicuna_bench"):
        found += [text[:3000] for text in texts[source]]
    bare = [re.sub(r"^The following are multiple choice.*?\n\n", "", text) for text in texts["mmlu"]]
    return found + bare[::2] + of["gsm8k", "train"][::3] + texts["hotpotqa"][::2]


def _pairs(rows: list[Row]) -> dict[str, list[Pair]]:
    """Return what comes with a system text of its own: rubrics, judging, patients' questions, tool calls."""
    found: dict[str, list[Pair]] = {"prometheus": [], "mt_judge": [], "chatdoctor": [], "glaive_toolcall": []}
    for source, _, text, system in rows:
        if source in found and not (source == "chatdoctor" and quarter(text)):
            found[source].append((system or None, text))
    return found


def _sentences(texts: dict[str, list[str]]) -> Iterator[str]:
    """Yield loose sentences: what letters, documents and answers are made of."""
    for source in (
        "alpaca_52k",
        "chatdoctor",
        "mmlu",
        "awesome_prompts",
        "instructionwild",
        "biggen_bench",
        "gpteacher",
    ):
        for text in texts[source][:6000]:
            yield from [part for part in re.split(r"(?<=[.!?])\s+", text) if 30 < len(part) < 260][:3]


def _interests(texts: list[str]) -> list[list[str]]:
    """Group requests into fields of interest by their words (TF-IDF, 40 dimensions, k-means)."""
    words = TfidfVectorizer(max_features=6000, sublinear_tf=True, stop_words="english")
    counted = words.fit_transform([text[:600] for text in texts])
    wide = min(40, counted.shape[1] - 1)
    plain = normalize(TruncatedSVD(wide, random_state=0).fit_transform(counted))
    many = min(INTERESTS, max(2, len(texts) // 40))
    found = MiniBatchKMeans(many, random_state=0, n_init=2, batch_size=4096).fit_predict(plain)
    groups = [[texts[i] for i in np.flatnonzero(found == group)] for group in range(many)]
    return [group for group in groups if group]
