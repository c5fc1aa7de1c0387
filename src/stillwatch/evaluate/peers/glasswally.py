"""Glasswally's JSON Lines: an exporter of its events and a reader of its audit log. It is run elsewhere.

The formats are those of its source (field names of its serialisation); docs/peers.md says what it gets.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from stillwatch.errors import InputError
from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.peers.evidence import Scores
from stillwatch.evaluate.peers.peer import findings
from stillwatch.evaluate.peers.roster import peer_frame, prompts, roster
from stillwatch.signals.frame import Frame
from stillwatch.signals.sketch import Kind, kind_of
from stillwatch.tables import Dataset

REQUIRED = (
    "request_id", "account_id", "timestamp", "ip_address", "user_agent", "model", "prompt", "token_count",
    "country_code", "header_order",
)  # fmt: skip
OPTIONAL = ("payment_method_hash", "org_id", "ja3_hash", "asn_number", "max_tokens", "system_prompt_hash")
ALERT = 0.35


def export_events(dataset: Dataset, file: Path) -> int:
    """Write the events of a dataset as Glasswally's JSON Lines in the order of time; return how many.

    Fields that the data lack: ``ip_address`` is the first address of the prefix (0.0.0.0 without one), ``prompt`` and
    ``user_agent`` are empty, ``header_order`` is empty, ``country_code`` is ``ZZ``; optional ones are left out.

    >>> import tempfile
    >>> import pyarrow as pa
    >>> from stillwatch.tables import DatasetWriter
    >>> row = {"exchange_id": "e", "account_id": "a", "ts": 0, "model": "m", "ip_prefix": "192.0.2.0/24"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist([row]))
    ...         writer.commit()
    ...     _ = export_events(Dataset.open(folder), Path(folder) / "events.jsonl")
    ...     event = json.loads((Path(folder) / "events.jsonl").read_text())
    >>> event["ip_address"], event["timestamp"]
    ('192.0.2.0', '1970-01-01T00:00:00.000000Z')
    """
    frame = peer_frame(dataset)
    text, system = prompts(dataset, frame), _system_hashes(frame)
    ids, accounts = frame.exchange_ids.to_pylist(), frame.account_ids.to_pylist()
    with file.open("w", encoding="utf-8") as handle:
        for row in np.lexsort((frame.account, frame.ts)).tolist():
            event = {
                "request_id": ids[row],
                "account_id": accounts[frame.account[row]],
                "prompt": text[row].as_py() or "",
            }
            event |= _event(frame, row)
            if system[row]:
                event["system_prompt_hash"] = f"{system[row]:016x}"
            handle.write(json.dumps(event, ensure_ascii=False) + "\n")
    return len(ids)


def _event(frame: Frame, row: int) -> dict[str, Any]:
    """Return the fields that are read from coded columns."""
    asn, most = _name(frame, "asn", row), frame.number["max_tokens"][row]
    event: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(int(frame.ts[row]) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "ip_address": (_name(frame, "ip_prefix", row) or "0.0.0.0").partition("/")[0],
        "user_agent": _name(frame, "user_agent", row) or "",
        "model": _name(frame, "model", row),
        "token_count": int(np.nan_to_num(frame.number["input_tokens"][row])),
        "country_code": _name(frame, "country", row) or "ZZ",
        "header_order": [],
        "ja3_hash": _name(frame, "tls_fingerprint", row),
        "asn_number": None if asn is None else int(asn),
        "max_tokens": int(most) if np.isfinite(most) else None,
    }
    account = int(frame.account[row])
    for field, column in (("payment_method_hash", "payment_hash"), ("org_id", "org_id")):
        code = int(frame.attribute[column][account])
        event[field] = None if code < 0 else frame.names[f"account.{column}"][code]
    return {name: value for name, value in event.items() if value is not None}


def _name(frame: Frame, column: str, row: int) -> str | None:
    code = int(frame.code[column][row])
    return None if code < 0 else frame.names[column][code]


def _system_hashes(frame: Frame) -> list[int]:
    """Return the hash of each exchange's system text, 0 without one."""
    hashes = np.zeros(frame.n_exchanges, np.uint64)
    system = kind_of(frame.sketch.flat) == Kind.SYSTEM_ID
    hashes[frame.sketch.rows()[system]] = frame.sketch.flat[system]
    return [int(value) for value in hashes]


def read_audit(file: Path, dataset: Dataset) -> Findings:
    """Read ``audit_log.jsonl`` back: an account scores its greatest ``composite_score``, 0 when it never alerted.

    Accounts that alerted (0.35 and more, its default) are accused, in the cluster of their greatest alert; those
    without a cluster form one group. Raises :class:`InputError` with file and line for a line that is no such alert.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "audit_log.jsonl").write_text("[]")
    ...     read_audit(Path(folder) / "audit_log.jsonl", Dataset(Path(folder)))
    Traceback (most recent call last):
    stillwatch.errors.InputError: ...audit_log.jsonl:1: an alert needs account_id and composite_score
    """
    best: dict[str, tuple[float, str]] = {}
    with file.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            account, score, cluster = _alert(line, file, number)
            best[account] = max(best.get(account, (0.0, "")), (score, cluster))
    who = roster(peer_frame(dataset))
    alerts = [best.get(account, (0.0, "")) for account in who.ids.to_pylist()]
    scores = np.array([composite for composite, _ in alerts], np.float64)
    clusters = sorted({cluster for _, cluster in alerts})
    group = np.array([clusters.index(cluster) for _, cluster in alerts], np.int64)
    _, group = np.unique(np.where(scores >= ALERT, group, -1), return_inverse=True)
    return findings(Scores(who, scores), group.reshape(-1) - int((scores < ALERT).any()))


def _alert(line: str, file: Path, number: int) -> tuple[str, float, str]:
    try:
        record = json.loads(line)
        return str(record["account_id"]), float(record["composite_score"]), str(record.get("cluster_id") or "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("an alert needs account_id and composite_score", path=file, line=number) from error
