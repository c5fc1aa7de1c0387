"""What can be set of a campaign: its playbook, how competent it is, and the presets of competence."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from stillwatch.errors import ConfigError

Mix = dict[str, float]

_STEPS = ("guarded", "careful")  # what an adaptive campaign becomes after the first and every later enforcement round


@dataclass(frozen=True)
class Campaign:
    """How competent a campaign is; each may be set by ``--set campaign.NAME.KEY=VALUE`` (docs/simulate.md)."""

    skill: str = ""
    adapts: bool = False
    paraphrase: int = 1
    jitter_s: float = 120
    residential: float = 0.3
    accounts_per_payment: float = 6
    payment_share: float = 0.5
    own_client: float = 0.2
    subnet_share: float = 0.5
    subnet_size: float = 12
    signup_share: float = 0.5
    signup_size: float = 25
    signup_days: float = 2
    device_share: float = 0.2
    cells: int = 40
    cover: float = 0.1
    cover_population: str = "ordinary"
    blend: float = 0.0
    behind: str = ""
    behind_share: float = 0.0
    banned: float = 0.1
    replace_hours: float = 8
    shift: float = 0.6
    shift_hours: float = 12
    begin: float = 0.0
    until: float = 0.0
    ramp_days: float = 0.0
    exchanges: float = 0.0
    enforcement: dict[str, float] = field(default_factory=dict)
    standby: float = 0.0
    station: str = ""
    stolen: float = 0.0
    victims: str = "key_owner"


@dataclass(frozen=True)
class Stage:
    """One kind of work of a campaign: which accounts do it, when, what is asked and what becomes of it.

    ``accounts`` is the share of the accounts that takes part and ``share`` how much of their rate it is. ``variants``
    wordings are tried, of which ``working`` are answered; ``keep`` asks in those alone. ``refused`` below zero leaves
    the refusals to the jobs. ``replays``: each request carries a reasoning reference that another account was given.
    ``forwards`` names a population whose requests, of ``users`` people an account, are sent on.
    ``inject``: the rule of the order that is put before real prompts (``--corpus``).
    ``turns``: mean length of its sessions; 0: the client names no session.
    """

    accounts: float = 1.0
    share: float = 1.0
    begin: float = 0.0
    until: float = 0.0
    jobs: Mix = field(default_factory=dict)
    system: Mix = field(default_factory=dict)
    tools: Mix = field(default_factory=dict)
    inject: str = ""
    turns: float = 0.0
    model: str = ""
    refused: float = -1.0
    variants: int = 0
    working: int = 0
    keep: bool = False
    replays: bool = False
    forwards: str = ""
    users: float = 10.0


@cache
def skills() -> dict[str, dict[str, Any]]:
    """Return the skill levels: the parameters that each sets.

    >>> sorted(skills())
    ['adaptive', 'careful', 'careless', 'competent', 'guarded']
    >>> skills()["adaptive"]["adapts"], skills()["careful"]["payment_share"]
    (True, 0.0)
    """
    text = resources.files("stillwatch.simulate").joinpath("skills.toml").read_text(encoding="utf-8")
    levels: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {
        name: {**levels.get(level.get("like", ""), {}), **{k: v for k, v in level.items() if k != "like"}}
        for name, level in levels.items()
    }


def layered(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters that come of layers, later ones first in rank; in each, ``skill`` ranks below the rest.

    Raises :class:`ConfigError` on a skill that does not exist.

    >>> layered([{"skill": "careless", "cover": 0.2}, {"skill": "careful"}, {"cover": 0.3}])["cover"]
    0.3
    """
    found: dict[str, Any] = {}
    for layer in layers:
        skill = layer.get("skill", "")
        if skill and skill not in skills():
            raise ConfigError(f"skill has no {skill!r}; known: {', '.join(skills())}")
        found |= {**({"adapts": False, **skills()[skill]} if skill else {}), **layer}
    return found


def step_up(knobs: Campaign, rounds: int) -> Campaign:
    """Return what a campaign's new accounts are like after some enforcement rounds: unchanged unless it adapts.

    >>> step_up(Campaign(adapts=True), 2).payment_share, step_up(Campaign(), 2).payment_share
    (0.0, 0.5)
    """
    if not knobs.adapts or not rounds:
        return knobs
    level = skills()[_STEPS[min(rounds, len(_STEPS)) - 1]]
    return Campaign(**{**vars(knobs), **level})
