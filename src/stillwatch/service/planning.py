"""What follows a scan: a plan by the policy, of which only what the policy lets begin by itself is applied."""

from __future__ import annotations

import random
from pathlib import Path

from stillwatch.cases.folder import ScanOutput
from stillwatch.response.actions import apply, circumstances, missing, record_plan
from stillwatch.response.customers import read_customers
from stillwatch.response.plan import Plan, propose
from stillwatch.response.policy_file import load_policy
from stillwatch.response.store import State
from stillwatch.tables import Dataset

WHO = "stillwatch serve"


def plan_scan(
    state: State, scan: Path, dataset: Path, policy: Path, *, trusted: Path | None = None, chance: random.Random
) -> Plan | None:
    """Propose, record and begin a plan for a scan; None when the policy asks for nothing new.

    All of it begins when no approval is needed (shadow mode is never felt), else its automatic part alone: the rest
    waits for `stillwatch approve` and `apply`. Raises :class:`~stillwatch.errors.StillwatchError` as the parts do.
    """
    wanted, found = load_policy(policy, trusted), ScanOutput.open(scan)
    members = found.table("members")["account_id"].to_pylist()
    customers = read_customers(Dataset.open(dataset), members)
    plan = propose(found, wanted, circumstances(state, wanted, customers), now=state.clock(), chance=chance)
    if not plan.actions:
        return None
    record_plan(state, plan, who=WHO, why=f"scan {scan.name}")
    whole = not missing(plan, [])
    if whole or any(action.automatic for action in plan.actions):
        apply(
            state, plan.plan_id, who=WHO, why=f"scan {scan.name}", only_automatic=not whole, policy=wanted,
            customers=customers,
        )  # fmt: skip
    return plan
