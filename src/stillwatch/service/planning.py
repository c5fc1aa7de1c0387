"""What follows a scan: a plan by the policy, of which only what the policy lets begin by itself is applied."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from stillwatch.cases.folder import ScanOutput
from stillwatch.response.actions import apply, circumstances, standings
from stillwatch.response.customers import UNKNOWN, read_customers
from stillwatch.response.plan import Plan, propose
from stillwatch.response.plans import missing, record_plan
from stillwatch.response.policy import Policy
from stillwatch.response.policy_file import load_policy
from stillwatch.response.standing import Standing
from stillwatch.response.store import State
from stillwatch.tables import Dataset

WHO = "stillwatch serve"


class PolicyFile(msgspec.Struct, frozen=True):
    """Where the policy is, and the Ed25519 public key (PEM) that must have signed one with untold measures."""

    path: Path
    trusted: Path | None = None

    def load(self) -> Policy:
        """Return the policy as it is now; raises :class:`~stillwatch.errors.ConfigError` with its line."""
        return load_policy(self.path, self.trusted)

    def mark(self) -> float:
        """Return when the file last changed, seconds since 1970; raises :class:`OSError` when it is gone."""
        return self.path.stat().st_mtime


def in_force(state: State, dataset: Path, policy: PolicyFile | None) -> list[Standing]:
    """Return what is in force or waits to begin, without those whom today's policy exempts.

    Raises :class:`~stillwatch.errors.StillwatchError` when the state or the policy cannot be read: better the last
    snapshot than one without its exemptions.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     in_force(State.open(f"sqlite:///{folder}/state.db"), Path(folder, "data"), None)
    []
    """
    if policy is None:
        return standings(state)
    wanted, customers = policy.load(), UNKNOWN
    if wanted.asks_who():
        customers = read_customers(Dataset.open(dataset), {one.account_id for one in standings(state)})
    return standings(state, policy=wanted, customers=customers)


def plan_scan(state: State, scan: Path, dataset: Path, policy: PolicyFile, *, chance: random.Random) -> Plan | None:
    """Propose, record and begin a plan for a scan; None when the policy asks for nothing new.

    All of it begins when no approval is needed (shadow mode is never felt), else its automatic part alone: the rest
    waits for `stillwatch approve` and `apply`. Raises :class:`~stillwatch.errors.StillwatchError` as the parts do.
    """
    wanted, found = policy.load(), ScanOutput.open(scan)
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
