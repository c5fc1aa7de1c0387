"""A frame of four accounts for the examples in this folder's docstrings."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from stillwatch.evaluate.peers.roster import peer_frame
from stillwatch.signals.frame import Frame
from stillwatch.tables import Dataset, DatasetWriter


def four_accounts() -> Frame:
    """Return four accounts: two repeat three prompts within minutes behind one card, two ask one thing of their own.

    >>> four_accounts().volume().tolist()
    [1, 1, 6, 6]
    """
    begin = datetime(2026, 1, 5, 9, tzinfo=UTC)
    asked = [(name, n % 3, n) for name in ("pia", "pol") for n in range(6)] + [("una", 3, 0), ("uwe", 4, 90)]
    rows = [
        {
            "exchange_id": f"{name}-{minute}",
            "account_id": name,
            "ts": begin + timedelta(minutes=minute),
            "model": "m",
            "prompt_text": f"Explain item {'abcde'[item]} of the list to a child of five years",
            "ip_prefix": "192.0.2.0/24" if name < "q" else "198.51.100.0/24",
        }
        for name, item, minute in asked
    ]
    cards = {"pia": "c1", "pol": "c1", "una": "c2", "uwe": "c3"}
    accounts = pa.table(
        {"account_id": list(cards), "created_at": [begin] * len(cards), "payment_hash": list(cards.values())}
    )
    with tempfile.TemporaryDirectory() as folder:
        with DatasetWriter(folder) as writer:
            writer.add_exchanges(pa.Table.from_pylist(rows))
            writer.set_accounts(accounts)
            writer.commit()
        return peer_frame(Dataset.open(folder))
