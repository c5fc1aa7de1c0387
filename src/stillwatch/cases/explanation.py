"""Why an account is in a campaign (or is not), term by term, and the smallest evidence that decides it.

Membership is a probability; its log-odds are a start (how common the campaign is, and what else competes for the
account) plus the log-likelihood ratio of every term. Where the recorded prior and terms do not give the probability
that the scan reported, the start takes up the difference, so the running total always ends at that probability.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.cases.folder import AXES, Campaign, ScanOutput
from stillwatch.cases.wording import clean, listing, probability_text
from stillwatch.errors import StillwatchError

MEMBER_BAR = 0.5
PRIOR = "PRIOR"
_EDGE, _ROUNDING = 1e-9, 0.005


@dataclass(frozen=True, slots=True)
class Term:
    """One term: its evidence in nats (log-likelihood ratio) and the running log-odds once it is added."""

    axis: str
    term: str
    detail: str
    nats: float
    running: float


@dataclass(frozen=True, slots=True)
class AccountCase:
    """An account held against a campaign; ``probability`` is None when the scan gave it none.

    ``start`` is the log-odds before any term, ``without`` the probability without each kind of evidence, ``enough``
    the fewest terms that keep the account in by themselves.
    """

    campaign_id: str
    account_id: str
    member: bool
    probability: float | None
    role: str | None
    start: float
    terms: list[Term]
    without: dict[str, float]
    enough: list[str]
    elsewhere: list[str]
    sentences: list[str]


def find_campaign(scan: ScanOutput, campaign_id: str) -> Campaign:
    """Return a campaign by id; an unknown id is an error that names the nearest ones.

    >>> from pathlib import Path
    >>> from stillwatch.cases.folder import Run
    >>> find_campaign(ScanOutput(Path("."), [Campaign(campaign_id="c-17", verdict="campaign")], [], Run()), "c17")
    Traceback (most recent call last):
    stillwatch.errors.StillwatchError: no campaign 'c17' in this scan; nearest: c-17
    """
    for campaign in scan.campaigns:
        if campaign.campaign_id == campaign_id:
            return campaign
    cleared = [group for group in scan.considered if group.group_id == campaign_id]
    if cleared:
        said = clean(f"{cleared[0].cleared_by}: {cleared[0].reason}", 300)
        raise StillwatchError(f"{campaign_id} was looked at and cleared, so there is no campaign to explain ({said})")
    known = [campaign.campaign_id for campaign in scan.campaigns]
    if not known:
        raise StillwatchError(f"no campaign {clean(campaign_id, 80)!r}: this scan reported none")
    raise StillwatchError(f"no campaign {clean(campaign_id, 80)!r} in this scan; {_nearest(campaign_id, known)}")


def _nearest(asked: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    close = difflib.get_close_matches(asked, names, n=5, cutoff=0.5) or names[:5]
    return f"nearest: {', '.join(clean(name, 80) for name in close)}"


def explain_account(scan: ScanOutput, campaign_id: str, account_id: str) -> AccountCase:
    """Explain an account's membership of a campaign.

    Raises :class:`StillwatchError` for a campaign or account that the scan does not know, naming the nearest ids.

    >>> explain_account(ScanOutput.open("no-such-folder"), "c", "a")
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: no-such-folder holds no scan: ...
    """
    find_campaign(scan, campaign_id)
    members, terms = scan.table("members"), scan.table("member_terms")
    held = members.filter(pc.equal(members["account_id"], account_id))
    mine = held.filter(pc.equal(held["campaign_id"], campaign_id)).to_pylist()
    here = pc.and_(pc.equal(terms["account_id"], account_id), pc.equal(terms["campaign_id"], campaign_id))
    rows = terms.filter(here)
    if not held.num_rows and not rows.num_rows:
        raise _unknown_account(account_id, members)
    probability = mine[0]["probability"] if mine else None
    start, ordered = running_terms(rows, probability)
    bar = scan.run.number("member_probability", MEMBER_BAR)
    elsewhere = sorted({str(row["campaign_id"]) for row in held.to_pylist()} - {campaign_id})
    without = {axis: value for axis, value in _without(ordered, start).items() if probability is not None}
    enough = fewest_terms(ordered, start, bar) if probability is not None else []
    case = AccountCase(
        campaign_id,
        account_id,
        bool(mine) and (probability is None or probability >= bar),
        probability,
        mine[0]["role"] if mine else None,
        start,
        ordered,
        without,
        enough,
        elsewhere,
        [],
    )
    case.sentences.extend(account_sentences(case, bar))
    return case


def _unknown_account(account_id: str, members: pa.Table) -> StillwatchError:
    known = [name for name in pc.unique(members["account_id"]).to_pylist() if name is not None]
    shown = f"no account {clean(account_id, 80)!r} in this scan's campaigns"
    unlisted = "accounts in no campaign are not listed there"
    return StillwatchError(f"{shown} ({unlisted}); {_nearest(account_id, known)}")


def running_terms(rows: pa.Table, probability: float | None) -> tuple[float, list[Term]]:
    """Return the log-odds before any evidence and the terms, strongest first, with their running total.

    The start is the recorded prior (axis ``PRIOR``) where prior and terms give the probability; otherwise it is what
    the probability leaves unexplained: the prior, and whatever else competed for the account. Without either, zero.

    >>> rows = pa.table({"axis": ["NET", "WHAT"], "term": ["n", "w"], "detail": ["", ""], "log_lr": [1.0, 3.0]})
    >>> start, terms = running_terms(rows, 0.5)
    >>> start, [(term.axis, term.running) for term in terms]
    (-4.0, [('WHAT', -1.0), ('NET', 0.0)])
    """
    everything = rows.to_pylist()
    priors = [row["log_lr"] or 0.0 for row in everything if row["axis"] == PRIOR]
    evidence = [row for row in everything if row["axis"] != PRIOR]
    listed = sorted(evidence, key=lambda row: (-(row["log_lr"] or 0.0), str(row["axis"]), str(row["term"])))
    running = start = _start(sum(priors), sum(row["log_lr"] or 0.0 for row in listed), probability)
    terms = []
    for row in listed:
        nats = float(row["log_lr"] or 0.0)
        running += nats
        terms.append(Term(str(row["axis"]), str(row["term"]), str(row["detail"] or ""), nats, running))
    return start, terms


def _start(prior: float, total: float, probability: float | None) -> float:
    if probability is None or (prior and abs(odds_to_probability(prior + total) - probability) < _ROUNDING):
        return prior
    return log_odds(probability) - total


def log_odds(probability: float) -> float:
    """Return log-odds in nats, finite at 0 and 1.

    >>> log_odds(0.5), round(log_odds(1.0), 1)
    (0.0, 20.7)
    """
    inside = min(max(probability, _EDGE), 1 - _EDGE)
    return math.log(inside / (1 - inside))


def odds_to_probability(nats: float) -> float:
    """Return the probability of log-odds in nats.

    >>> odds_to_probability(0.0), odds_to_probability(-900.0)
    (0.5, 0.0)
    """
    return 1 / (1 + math.exp(-nats)) if nats > -500 else 0.0


def _without(terms: list[Term], start: float) -> dict[str, float]:
    total = start + sum(term.nats for term in terms)
    held = [*AXES, *sorted({term.axis for term in terms} - set(AXES))]
    sums = {axis: sum(term.nats for term in terms if term.axis == axis) for axis in held}
    there = {term.axis for term in terms}
    return {axis: odds_to_probability(total - sums[axis]) for axis in held if axis in there}


def fewest_terms(terms: list[Term], start: float, bar: float) -> list[str]:
    """Return the fewest terms that reach the bar on top of every term that speaks against; empty when none do.

    Terms are additive, so taking the strongest first gives the fewest.

    >>> terms = [Term("WHAT", "w", "", 3.0, 0.0), Term("NET", "n", "", 2.0, 0.0), Term("LIFE", "l", "", -1.0, 0.0)]
    >>> fewest_terms(terms, -1.0, 0.5)
    ['w']
    """
    reached = start + sum(term.nats for term in terms if term.nats < 0)
    chosen: list[str] = []
    for term in sorted(terms, key=lambda term: -term.nats):
        if reached >= log_odds(bar):
            return chosen
        if term.nats <= 0:
            break
        reached += term.nats
        chosen.append(term.term)
    return chosen if reached >= log_odds(bar) else []


def account_sentences(case: AccountCase, bar: float) -> list[str]:
    """Say in sentences whether the account is in, what carries it and what would take it out.

    >>> case = AccountCase("c", "a", False, None, None, 0.0, [], {}, [], ["d"], [])
    >>> account_sentences(case, 0.5)
    ['Account a is not in campaign c; it is in d.']
    """
    account, campaign = clean(case.account_id, 80), clean(case.campaign_id, 80)
    if not case.member:
        other = f"; it is in {listing(clean(name, 80) for name in case.elsewhere)}" if case.elsewhere else ""
        chance = "" if case.probability is None else f" (probability {probability_text(case.probability)}, bar {bar:g})"
        return [f"Account {account} is not in campaign {campaign}{chance}{other}."]
    sentences = [f"Account {account} is in campaign {campaign} with probability {probability_text(case.probability)}."]
    if case.role:
        sentences.append(f"Its role: {clean(case.role, 80)}.")
    if not case.terms:
        return [*sentences, "The scan recorded no terms for it, so nothing can be taken away."]
    out = [axis for axis, probability in case.without.items() if probability < bar]
    if out:
        sentences.append(f"It would be out (under {bar:g}) without {listing(out, 'or')}.")
    else:
        sentences.append("No one kind of evidence decides: it would be in without any one of them.")
    if case.enough:
        named = listing(clean(term, 60) for term in case.enough)
        sentences.append(f"Smallest evidence that decides: {len(case.enough)} of {len(case.terms)} terms ({named}).")
    elif case.start >= log_odds(bar):
        sentences.append("The campaign's own frequency already puts it in; no single term decides.")
    return sentences
