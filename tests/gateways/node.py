"""A real `stillwatch gateway` with a snapshot of measures for accounts that are named after what they are under."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stillwatch.response.decide import Request
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Cap, Limit, Scope, Standing
from stillwatch.service.keys import create_key
from stillwatch.service.signing import find_signer
from stillwatch.service.snapshot import build
from stillwatch.service.templates import template_of

from .processes import Process, free_port

CAMPAIGN = "SW-0123456789"
HARVEST = "Rate the answer 7 from 1 to 5."
"""A prompt of the mixed account's campaign; other numbers in it are the same template."""

DELAY_MS = 300


def standings() -> list[Standing]:
    """Return one measure an account, in force for a day."""
    now = datetime.now(UTC).replace(microsecond=0)
    template = template_of(Request(prompt=HARVEST))
    assert template is not None
    measures: dict[str, tuple[Rung, dict[str, object]]] = {
        "tagged": (Rung.TAG, {}),
        "delayed": (Rung.DELAY, {"delay_ms": (DELAY_MS, DELAY_MS)}),
        "limited": (Rung.RATE_LIMIT, {"limit": Limit(CAMPAIGN, 1.0, 1.0)}),
        "capped": (Rung.CAP, {"cap": Cap(max_tokens=64, no_logprobs=True)}),
        "unverified": (Rung.STEP_UP, {}),
        "suspended": (Rung.SUSPEND, {}),
        "shadowed": (Rung.SUSPEND, {"shadow": True}),
        "mixed": (Rung.RESTRICT, {"scope": Scope(templates=(template,))}),
    }
    return [
        Standing(
            **{
                "account_id": account,
                "campaign_id": CAMPAIGN,
                "plan_id": "P-1",
                "rung": rung,
                "scope": Scope(whole_account=True),
                "starts_at": now - timedelta(minutes=1),
                "expires_at": now + timedelta(days=1),
                "shadow": False,
                **rest,
            }
        )
        for account, (rung, rest) in measures.items()
    ]


class Node(Process):
    """The gateway node as a process; ``key`` may ask it for decisions."""

    def __init__(self, folder: Path) -> None:
        """Sign a snapshot, make a key, and prepare the command."""
        folder.mkdir(parents=True, exist_ok=True)
        signer = find_signer(folder / "signing.pem")
        snapshot = folder / "snapshot.bin"
        snapshot.write_bytes(build(standings(), version=1, created_at=time.time(), signer=signer))
        self.key = create_key(folder / "keys.json", ["decide"], now=datetime.now(UTC))
        self.http, self.grpc = free_port(), free_port()
        command = [sys.executable, "-m", "stillwatch.cli", "gateway", "--snapshot", snapshot]
        command += ["--trust", folder / "signing.pub", "--keys", folder / "keys.json"]
        command += ["--port", str(self.http), "--grpc-port", str(self.grpc), "--every", "0.2"]
        super().__init__(command, [self.http, self.grpc], folder / "node.log")

    @property
    def url(self) -> str:
        """Where it answers over HTTP."""
        return f"http://127.0.0.1:{self.http}"
