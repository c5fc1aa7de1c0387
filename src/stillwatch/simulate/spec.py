"""Read worlds, populations and campaigns from their TOML files; errors point at file and line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from stillwatch.errors import ConfigError
from stillwatch.simulate.grammar import own_grammar
from stillwatch.simulate.knobs import Campaign, Mix, Stage, layered
from stillwatch.simulate.source import Source

_WORLD = {"about", "start", "days", "models", "launches", "populations", "campaigns", "knobs", "reasoning", "exchanges"}
_CHOICES = {
    "arrivals": {"human", "service", "cron", "burst", "event", "scheduler", "queue", "probe", "client", "code"},
    "signup": {"steady", "burst", "event", "adoption", "handover"},
    "frame": {"account", "group", "population"},
    "items_scope": {"account", "group", "population"},
    "language": {"local", "en", "native"},
    "network": {"residential", "mobile", "business", "education", "proxy", "hosting"},
    "client": {"browser", "app", "sdk"},
    "own_client": {"", "pathfinder", "rowboat", "harbour", "benchrun"},
    "email": {"common", "company", "university", "disposable", "unknown"},
}


@dataclass(frozen=True)
class Sharing:
    """What members of a group share: the share of them that does, and how many share one (0: the whole group)."""

    share: float = 0.0
    size: float = 0


@dataclass(frozen=True)
class Part:
    """Which part of a campaign a population is: the round its accounts came in, their pool, the work they do."""

    cohort: int = 0
    pool: int = 0
    stage: Stage | None = None


@dataclass(frozen=True)
class Population:
    """One kind of customer: how it looks, what it shares, when it comes and what it asks (see docs/simulate.md)."""

    name: str
    looks_guilty: str
    tells_apart: str
    group: list[float] = field(default_factory=lambda: [1, 1])
    declared: float = 0.0
    reseller: bool = False
    one_country: bool = False
    language: str = "local"
    plan: Mix = field(default_factory=lambda: {"free": 0.5, "pro": 0.5})
    programme: Mix = field(default_factory=lambda: {"none": 1.0})
    verification: Mix = field(default_factory=lambda: {"email": 0.6, "phone": 0.4})
    payment: Mix = field(default_factory=lambda: {"card": 0.6, "none": 0.4})
    email: Mix = field(default_factory=lambda: {"common": 0.8, "unknown": 0.2})
    referral: float = 0.0
    signup: str = "steady"
    signup_days: float = 500
    signup_reach: float = 300
    shared: dict[str, Sharing] = field(default_factory=dict)
    network: Mix = field(default_factory=lambda: {"residential": 0.7, "mobile": 0.3})
    one_address: bool = False
    endpoints: float = 2
    travel: float = 0.0
    client: Mix = field(default_factory=lambda: {"browser": 0.7, "sdk": 0.3})
    own_client: str = ""
    surface: Mix = field(default_factory=lambda: {"api": 1.0})
    arrivals: str = "human"
    rate: float = 2.0
    sigma: float = 1.1
    top: float = 400
    surge: list[float] = field(default_factory=lambda: [1, 0])
    repeats: float = 0.0
    turns: float = 2.5
    gap_s: float = 90
    weekend: float = 0.6
    jitter_s: float = 60
    launch_burst: float = 1.0
    jobs: Mix = field(default_factory=lambda: {"chat_qa": 1.0})
    system: Mix = field(default_factory=lambda: {"none": 1.0})
    tools: Mix = field(default_factory=lambda: {"none": 1.0})
    frame: str = "account"
    wordings: int = 0
    topics: int = 3
    items: int = 0
    items_scope: str = "group"
    image: float = 0.0
    end_users: float = 0.0
    retained: float = 1.0
    follow: float = 0.3
    follow_days: float = 12
    inject: str = ""
    campaign: Campaign | None = None
    stages: dict[str, Stage] = field(default_factory=dict)
    senders: dict[str, Population] = field(default_factory=dict)
    part: Part = field(default_factory=Part)


@dataclass(frozen=True)
class World:
    """A world: when, how many of whom, which models are launched on which day.

    ``reasoning``: share of the sessions whose client sends the reference of earlier reasoning back. ``exchanges``: how
    many the innocents are expected to make in all; 0: as many as their populations' rates give.
    """

    name: str
    about: str
    start: str
    days: int
    models: Mix
    launches: dict[str, float]
    populations: list[tuple[Population, int]]
    campaigns: list[tuple[Population, int]]
    reasoning: float = 0.0
    exchanges: float = 0.0


def worlds() -> dict[str, str]:
    """Return the named worlds and what each is for.

    >>> {"small", "small-null", "tiny", "tiny-null"} <= set(worlds())
    True
    """
    folder = resources.files("stillwatch.simulate").joinpath("worlds")
    found = {
        f.name.removesuffix(".toml"): tomllib.loads(f.read_text("utf-8"))
        for f in folder.iterdir()
        if f.name.endswith(".toml")
    }
    return {name: str(content["about"]) for name, content in sorted(found.items())}


def load_world(name: str | Path, *, scale: float = 1.0, settings: Sequence[str] = ()) -> World:
    """Read a named world or a world file.

    ``settings`` are ``campaign.NAME.KEY=VALUE``, ``campaigns.KEY=VALUE`` (every campaign) or ``world.KEY=VALUE``;
    ``scale`` multiplies the number of accounts of every population and campaign, and declared exchanges. Raises
    :class:`ConfigError` with file and line on an unknown key, a wrong type or a name that is not there.

    >>> world = load_world("tiny", settings=["campaign.reasoning.paraphrase=3"])
    >>> [(p.name, p.campaign.paraphrase) for p, _ in world.campaigns][0]
    ('reasoning', 3)
    """
    source = Source.find("worlds", str(name), Path.cwd())
    content = _inherited(source)
    changes = _changes(settings)
    change = changes.pop("world", {})
    source.known(change, _WORLD)
    content = {**content, **change}
    _check_world(source, content)
    every = [source.table(content, "knobs"), changes.pop("campaigns", {})]
    parts: dict[str, list[tuple[Population, int]]] = {"populations": [], "campaigns": []}
    for kind, found in parts.items():
        for part, entry in source.table(content, kind).items():
            own = dict(entry) if isinstance(entry, dict) and kind == "campaigns" else {"accounts": entry}
            count = own.pop("accounts", None)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise source.error(f"{part}: the number of accounts must be a whole number", part)
            layers = [every[0], own, every[1], changes.pop(f"campaign.{part}", {})] if kind == "campaigns" else []
            built = _scaled(_population(kind, part, source, layers), scale)
            found.append((built, max(1, round(count * scale)) if count else 0))
    if changes:
        raise ConfigError(f"--set {next(iter(changes))}: this world has no such campaign")
    start, days, models = str(content["start"]), int(content["days"]), dict(content["models"])
    launches, reasoning = dict(content.get("launches", {})), float(content.get("reasoning", 0.0))
    exchanges = scale * float(content.get("exchanges", 0.0))
    about = str(content["about"])
    people, campaigns = parts["populations"], parts["campaigns"]
    _check_campaigns(source, campaigns, {p.name for p, count in people if count}, {*models, *launches})
    return World(source.name, about, start, days, models, launches, people, campaigns, reasoning, exchanges)


def _scaled(population: Population, scale: float) -> Population:
    """Return the population with its declared number of exchanges in the scale of the world."""
    knobs = population.campaign
    if knobs is None or not knobs.exchanges:
        return population
    return replace(population, campaign=replace(knobs, exchanges=knobs.exchanges * scale))


def _check_campaigns(
    source: Source, campaigns: list[tuple[Population, int]], people: set[str], models: set[str]
) -> None:
    """Raise when a campaign robs a population or asks a model that this world does not have."""
    for campaign, _ in campaigns:
        knobs = campaign.campaign or Campaign()
        if knobs.stolen and knobs.victims not in people:
            raise source.error(f"{campaign.name}: this world has no {knobs.victims!r} to steal keys of", campaign.name)
        for name, stage in campaign.stages.items():
            if stage.model and stage.model not in models:
                raise source.error(f"{campaign.name}: stage {name} asks {stage.model!r}, no model here", campaign.name)


def _inherited(source: Source) -> dict[str, Any]:
    """Return what a world file says, and what the worlds that it is like say on the rest."""
    source.known(source.content, {*_WORLD, "like"})
    if "like" not in source.content:
        return source.content
    return {**_inherited(Source.find("worlds", str(source.content["like"]), source.folder)), **source.content}


def _check_world(source: Source, content: Mapping[str, Any]) -> None:
    wanted = {"about": "str", "start": "str", "days": "int", "models": "Mix"}
    for key, kind in wanted.items():
        if key not in content:
            raise source.error(f"{key!r} is missing")
        source.check(key, content[key], kind)
    try:
        date.fromisoformat(content["start"])
    except ValueError:
        raise source.error(f"start must be a date as 2026-01-31, not {content['start']!r}", "start") from None
    if content["days"] < 1:
        raise source.error("days must be at least 1", "days")
    for key in ("reasoning", "exchanges"):
        source.check(key, content.get(key, 0), "float")
    for model, day in source.table(content, "launches").items():
        source.check(model, day, "float", "launches")


def _changes(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        where, _, key = path.strip().rpartition(".")
        if not equals or not where:
            raise ConfigError(f"--set {setting}: write campaign.NAME.KEY=VALUE, campaigns.KEY=VALUE or world.KEY=VALUE")
        try:
            parsed = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            parsed = value
        changes.setdefault(where, {})[key] = parsed
    return changes


def _population(kind: str, name: str, world: Source, layers: Sequence[Mapping[str, Any]] = ()) -> Population:
    try:
        source = Source.find(kind, name, world.folder)
    except ConfigError as error:
        raise (error if error.line else world.error(error.message, name)) from None
    ours = {"name", "senders", "part"} | ({"campaign", "stages"} if kind == "populations" else set())
    source.known(source.content, {f.name for f in fields(Population)} - ours)
    _check_names(source, source.content)
    made: dict[str, Any] = {"name": source.name, "shared": {}}
    for key, value in source.table(source.content, "shared").items():
        source.check(key, value, "list", "shared")
        made["shared"][key] = Sharing(*value)
    if kind == "campaigns":
        made["campaign"] = _knobs(source, layers)
        made |= _stages(source, world)
    built: Population = source.build(Population, {**source.content, **made})
    return built


def _knobs(source: Source, layers: Sequence[Mapping[str, Any]]) -> Campaign:
    """Return a campaign's parameters: its file's, and what the world and the command line say over them."""
    knobs: Campaign = source.build(Campaign, layered([source.table(source.content, "campaign"), *layers]))
    for day, share in knobs.enforcement.items():
        if not day.replace(".", "", 1).isdigit() or not 0 <= share <= 1:
            raise source.error(
                f'enforcement: a day and a share, as {{ "4.5" = 0.6 }}, not {day} = {share}', "enforcement"
            )
    return knobs


def _stages(source: Source, world: Source) -> dict[str, Any]:
    """Return the stages of a campaign, and the populations whose requests it forwards."""
    stages: dict[str, Stage] = {}
    for name, table in source.table(source.content, "stages").items():
        if not isinstance(table, dict):
            raise source.error(f"stages.{name} must be a table", name)
        _check_names(source, table)
        stages[name] = source.build(Stage, table)
    wanted = {stage.forwards for stage in stages.values() if stage.forwards}
    return {"stages": stages, "senders": {name: _population("populations", name, world) for name in sorted(wanted)}}


def _check_names(source: Source, content: Mapping[str, Any]) -> None:
    """Raise on a name that stands for nothing, where the value is a choice."""
    rules = set(own_grammar().numbers) | {"none"}
    known = {**_CHOICES, "jobs": job_names(), "system": rules, "tools": rules, "inject": rules | {""}}
    for key, names in known.items():
        given = content.get(key, {})
        for name in given if isinstance(given, dict) else [given]:
            if name not in names:
                shown = ", ".join(sorted(names)) if len(names) < 50 else "a rule of the grammar"
                raise source.error(f"{key} has no {name!r}; known: {shown}", str(name))


@cache
def job_names() -> frozenset[str]:
    """Return the names of the jobs that a population may ask for.

    >>> "chat_qa" in job_names()
    True
    """
    text = resources.files("stillwatch.simulate").joinpath("jobs.toml").read_text(encoding="utf-8")
    return frozenset(name for family in tomllib.loads(text).values() for name in family["names"])
