"""Peers from the package index, each in the peers' own environment: exported, run there, and read back.

``make peers`` makes the environment ``.venv-peers`` (the extra ``peers``); the variable ``STILLWATCH_PEERS`` names
another. Accounts are exported as numbers in an order that no id decides.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from stillwatch.errors import ConfigError, StillwatchError
from stillwatch.evaluate.peers.evidence import Links, Scores
from stillwatch.evaluate.peers.peer import Method
from stillwatch.evaluate.peers.roster import Roster, peer_frame, prompts, roster
from stillwatch.signals.frame import Frame, Ints
from stillwatch.signals.traits import main_value
from stillwatch.tables import Dataset

MOST_CHARACTERS = 8_000
MOST_PAIRS = 1_000_000
HOUR = 3_600_000_000
ATTRIBUTES = (
    "payment_hash", "payment_bin", "device_hash", "phone_hash", "email_domain", "billing_country", "referral",
)  # fmt: skip


def peers_python() -> Path:
    """Return the interpreter of the peers' environment. Raises :class:`ConfigError` when it has not been made.

    >>> import pytest
    >>> with pytest.MonkeyPatch.context() as patch:
    ...     patch.setenv("STILLWATCH_PEERS", "no-such-folder")
    ...     peers_python()
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-folder/bin/python: the peers' environment is not there; make it with ...
    """
    python = Path(os.environ.get("STILLWATCH_PEERS", ".venv-peers")) / "bin" / "python"
    if not python.exists():
        raise ConfigError("the peers' environment is not there; make it with `make peers`", path=python)
    return python


def run(runner: str, *arguments: object) -> None:
    """Run a script of ``runners/`` in the peers' environment, apart from this one.

    Raises :class:`ConfigError` as :func:`peers_python` does, and :class:`StillwatchError` with the end of what the
    script said when it fails.

    >>> import pytest
    >>> with pytest.MonkeyPatch.context() as patch:
    ...     patch.setenv("STILLWATCH_PEERS", "no-such-folder")
    ...     run("splink", "accounts.csv", "pairs.csv", 1)
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-folder/bin/python: the peers' environment is not there; ...
    """
    python = peers_python()
    with as_file(files("stillwatch.evaluate.peers") / "runners" / f"run_{runner}.py") as script:
        command = [str(python.absolute()), "-I", str(script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StillwatchError(f"{runner} failed in {python}: {done.stderr.strip()[-600:]}")


@dataclass(frozen=True)
class CoSimilarity(Method):
    """coordination-network-toolkit: accounts that send alike messages within ``seconds`` of each other.

    Messages are prompts (their first ``MOST_CHARACTERS``). ``similarity`` (Jaccard of words) and ``weight`` (messages)
    are the command line's defaults. It compares every two messages that are near in time, in one Python call a pair:
    where these exceed ``MOST_PAIRS``, messages are thinned evenly until they do not.

    >>> CoSimilarity().seconds
    60
    """

    seconds: int = 60
    similarity: float = 0.8
    weight: int = 2
    processes: int = 2

    def observe(self, dataset: Dataset, work: Path) -> Links:
        """Return the toolkit's edges. Errors as in :func:`run`."""
        frame = peer_frame(dataset)
        kept = thinned(np.sort(frame.ts), self.seconds)
        export_messages(frame, prompts(dataset, frame), work / "messages.csv", share=kept)
        run("toolkit", work / "messages.csv", work / "edges.csv", *self._options())
        return read_links(work / "edges.csv", roster(frame))

    def _options(self) -> tuple[object, ...]:
        return self.seconds, self.similarity, self.weight, self.processes


@dataclass(frozen=True)
class Honeypot(Method):
    """honeypotllm: its suspicion score a key, at event time; a key is an account.

    ``score`` is the ``most``, ``mean`` or ``last`` of a key's scores.

    >>> Honeypot().score
    'most'
    """

    score: str = "most"

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return each account's score. Errors as in :func:`run`."""
        frame = peer_frame(dataset)
        export_requests(frame, prompts(dataset, frame), work / "requests.ndjson")
        run("honeypot", work / "requests.ndjson", work / "scores.csv")
        table = pa.csv.read_csv(work / "scores.csv")
        score = np.zeros(frame.n_accounts)
        score[table["key"].to_numpy()] = table[self.score].to_numpy()
        return Scores(roster(frame), score)


@dataclass(frozen=True)
class Splink(Method):
    """Splink 5: the probability that two accounts are one actor's, from account attributes; unsupervised.

    >>> Splink().seed
    1
    """

    seed: int = 1

    def observe(self, dataset: Dataset, work: Path) -> Links:
        """Return the pairs that Splink thinks likely. Errors as in :func:`run`."""
        frame = peer_frame(dataset)
        export_accounts(frame, work / "accounts.csv")
        run("splink", work / "accounts.csv", work / "pairs.csv", self.seed)
        return read_links(work / "pairs.csv", roster(frame))


def thinned(ts: Ints, seconds: int) -> float:
    """Return the share of messages to keep so that at most ``MOST_PAIRS`` ordered pairs lie within ``seconds``.

    ``ts`` are microseconds, ascending.

    >>> thinned(np.arange(10) * 1_000_000, 60), round(thinned(np.zeros(4_000, np.int64), 60), 2)
    (1.0, 0.25)
    """
    radius = seconds * 1_000_000
    pairs = int((np.searchsorted(ts, ts + radius, side="right") - np.searchsorted(ts, ts - radius)).sum())
    return min(1.0, float(np.sqrt(MOST_PAIRS / max(1, pairs))))


def export_messages(frame: Frame, text: pa.Array, file: Path, *, share: float = 1.0) -> None:
    """Write the toolkit's eight columns in their order: whole seconds, no reposts or replies; empty prompts left out.

    Of the messages an even ``share`` is kept, by their place in the frame.

    >>> import tempfile
    >>> from stillwatch.evaluate.peers.example import four_accounts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_messages(four_accounts(), pa.array(["Hi"] * 14), Path(folder) / "m.csv")
    ...     (Path(folder) / "m.csv").read_text().splitlines()[1]
    '0,0,0,,,Hi,1767603600,'
    """
    header = ("message_id", "user_id", "username", "repost_id", "reply_id", "message", "timestamp", "urls")
    owner, seconds = frame.account.tolist(), (frame.ts // 1_000_000).tolist()
    kept = np.arange(frame.n_exchanges) * 0.6180339887498949 % 1.0 < share  # the golden ratio spreads evenly
    with file.open("w", newline="", encoding="utf-8") as handle:
        write = csv.writer(handle)
        write.writerow(header)
        for row, prompt in enumerate(text.to_pylist()):
            if kept[row] and prompt and prompt.strip():
                shown = prompt[:MOST_CHARACTERS].replace("\0", " ")
                write.writerow((row, owner[row], owner[row], "", "", shown, seconds[row], ""))


def export_requests(frame: Frame, text: pa.Array, file: Path) -> None:
    """Write requests for honeypotllm as JSON lines in the order of time.

    >>> import tempfile
    >>> from stillwatch.evaluate.peers.example import four_accounts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_requests(four_accounts(), pa.nulls(14, pa.string()), Path(folder) / "r.ndjson")
    ...     (Path(folder) / "r.ndjson").read_text().splitlines()[0]
    '{"key": "0", "ts": 1767603600.0, "prompt": "", "tokens": 0}'
    """
    tokens = np.nan_to_num(frame.number["input_tokens"]).astype(int).tolist()
    prompt, owner = text.to_pylist(), frame.account.tolist()
    with file.open("w", encoding="utf-8") as handle:
        for row in np.lexsort((frame.account, frame.ts)).tolist():
            ts = int(frame.ts[row]) / 1e6
            request = {"key": str(owner[row]), "ts": ts, "prompt": prompt[row] or "", "tokens": tokens[row]}
            handle.write(json.dumps(request, ensure_ascii=False) + "\n")


def export_accounts(frame: Frame, file: Path) -> None:
    """Write an accounts table for Splink: sign-up attributes, hour of sign-up, main address prefix and user agent.

    >>> import tempfile
    >>> from stillwatch.evaluate.peers.example import four_accounts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_accounts(four_accounts(), Path(folder) / "a.csv")
    ...     (Path(folder) / "a.csv").read_text().splitlines()[1]
    '"000000",,,"198.51.100.0/24","c2",,,,,,,"491001"'
    """
    columns: dict[str, pa.Array] = {"unique_id": pa.array([f"{number:06d}" for number in range(frame.n_accounts)])}
    for name in ("user_agent", "client_fingerprint", "ip_prefix"):
        columns[name] = _spelt(main_value(frame, name), frame.names[name])
    for name in (
        "payment_hash",
        "payment_bin",
        "device_hash",
        "phone_hash",
        "email_domain",
        "billing_country",
        "referral",
    ):
        columns[name] = _spelt(frame.attribute[name], frame.names[f"account.{name}"])
    hours = [None if at < 0 else str(at // HOUR) for at in frame.created.tolist()]
    columns["signup_hour"] = pa.array(hours, pa.string())
    pa.csv.write_csv(pa.table(columns), file)


def _spelt(code: np.ndarray[tuple[int], np.dtype[np.int32]], names: list[str]) -> pa.Array:
    return pc.take(pa.array([*names, None], pa.string()), pa.array(np.where(code < 0, len(names), code)))


def read_links(file: Path, who: Roster) -> Links:
    r"""Read ``one,two,weight`` by account number; a pair that comes both ways counts once, at its greater weight.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "e.csv").write_text("one,two,weight\n0,1,3\n1,0,4\n2,2,9\n")
    ...     links = read_links(Path(folder) / "e.csv", Roster(pa.array(["a", "b", "c"]), None, None))
    >>> links.one.tolist(), links.two.tolist(), links.weight.tolist()
    ([0], [1], [4.0])
    """
    table = pa.csv.read_csv(file)
    one, two, weight = (np.asarray(table[name].to_numpy(), kind) for name, kind in _LINK_TYPES)
    low, high = np.minimum(one, two), np.maximum(one, two)
    keep = low < high
    pair: Ints = low[keep] * len(who) + high[keep]
    distinct, at = np.unique(pair, return_inverse=True)
    greatest = np.zeros(len(distinct))
    np.maximum.at(greatest, at, weight[keep])
    return Links(who, distinct // len(who), distinct % len(who), greatest)


_LINK_TYPES = (("one", np.int64), ("two", np.int64), ("weight", np.float64))
