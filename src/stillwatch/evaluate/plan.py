"""What a run measures: a plan of cells, each for one part of the scorecard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stillwatch.errors import ConfigError
from stillwatch.evaluate.cells import Cell, Scene
from stillwatch.linkage.space import PARTS
from stillwatch.simulate.knobs import skills

LEVELS = ("careless", "competent", "guarded", "careful")
BASE = "competent"
KNOBS: dict[str, tuple[str, ...]] = {
    "wording": ("paraphrase",),
    "networks": ("residential", "subnet_share", "subnet_size"),
    "payments": ("payment_share", "accounts_per_payment"),
    "sign-ups": ("signup_share", "signup_size", "signup_days"),
    "devices": ("device_share",),
    "clients": ("own_client",),
    "schedule": ("jitter_s",),
    "cover": ("cover",),
}
ALL, EACH = "all", "each"
_WORLD = re.compile(r"([^:]+)(?::(\d+)(?:-(\d+))?)?")
NULL_SEED = 1001


@dataclass(frozen=True)
class Entry:
    """A cell and the part of the scorecard it is for; ``row`` is its knob or the part left out, ``level`` the skill."""

    part: str
    cell: Cell
    row: str = ""
    level: str = ""


@dataclass(frozen=True)
class Wish:
    """What is asked for. Worlds are written ``NAME:SEED`` or ``NAME:FIRST-LAST``, several with commas.

    ``settings`` are ``--set`` settings of ``worlds``, measured with each of ``detectors``.
    ``nulls`` is how many seeds of the worlds ``null_world`` are measured, ``sweep`` names knobs (or ``all``) swept on
    ``sweep_world``, ``ablate`` whether parts are left out one by one on ``sweep_world``, ``daily`` and ``reseed`` the
    worlds followed day by day and scanned with several seeds.
    """

    worlds: str = ""
    settings: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ("stillwatch",)
    null_world: str = "tiny-hard-null"
    nulls: int = 0
    sweep: tuple[str, ...] = ()
    sweep_world: str = "tiny:931-932"
    ablate: bool = False
    daily: str = ""
    hours: float = 24
    reseed: str = ""
    calibrate_on: str = ""
    scale: float = 1.0


# Seeds from 901 on were never used while tuning. Sizes and durations of the presets: docs/evaluate.md.
PLANS: dict[str, Wish] = {
    "quick": Wish(worlds="tiny:901-902", nulls=2, null_world="tiny-null"),
    "standard": Wish(
        worlds="tiny:901-905,tiny-playbooks:901-903,tiny-playbooks-careful:901-903,tiny-playbooks-adaptive:901-903,"
        "tiny-hard:901-903",
        nulls=20,
        sweep=(ALL,),
        sweep_world="tiny:931-932",
        ablate=True,
        daily="tiny-playbooks:911,tiny-playbooks-adaptive:911",
        reseed="tiny:921",
    ),
    "full": Wish(
        worlds="small:901-903,hard:901-903,playbooks:901-903,playbooks-careful:901-903,playbooks-adaptive:901-903",
        nulls=20,
        sweep=(*KNOBS, ALL),
        sweep_world="tiny-playbooks:931-932",
        ablate=True,
        daily="playbooks:911,playbooks-adaptive:911",
        reseed="small:921",
    ),
}


def scenes(text: str, scale: float = 1.0, settings: Iterable[str] = ()) -> list[Scene]:
    """Read worlds with seeds; a world without a seed has seed 0. Raises :class:`ConfigError` on what is neither.

    >>> [(scene.world, scene.seed) for scene in scenes("tiny:3-4,small")]
    [('tiny', 3), ('tiny', 4), ('small', 0)]
    """
    found = []
    for one in filter(None, text.split(",")):
        read = _WORLD.fullmatch(one.strip())
        first, last = (int(read[2] or 0), int(read[3] or read[2] or 0)) if read else (1, 0)
        if read is None or last < first:
            raise ConfigError(f"{one}: write NAME:SEED or NAME:FIRST-LAST, such as small:901-905")
        found += [Scene(read[1], seed, scale, tuple(settings)) for seed in range(first, last + 1)]
    return found


def plan(wish: Wish) -> list[Entry]:
    """Return all cells of a wish, world by world, so that each world is made once.

    Raises :class:`ConfigError` on a world, knob or seed that cannot be.

    >>> [entry.cell.scene.seed for entry in plan(Wish(worlds="tiny:1-2", reseed="tiny:2"))]
    [1, 2, 2]
    """
    entries = [
        Entry("worlds", Cell(scene, detector=name))
        for scene in scenes(wish.worlds, wish.scale, wish.settings)
        for name in wish.detectors
    ]
    nulls = f"{wish.null_world}:{NULL_SEED}-{NULL_SEED + wish.nulls - 1}" if wish.nulls else ""
    entries += [Entry("null", Cell(s, detector=name)) for s in scenes(nulls, wish.scale) for name in wish.detectors]
    entries += [
        Entry("daily", Cell(s, "daily", name, hours=wish.hours))
        for s in scenes(wish.daily, wish.scale)
        for name in wish.detectors
    ]
    entries += [Entry("reseed", Cell(scene, "reseed")) for scene in scenes(wish.reseed, wish.scale)]
    entries += sweeps(wish) + (ablations(wish) if wish.ablate else [])
    order = {scene: number for number, scene in enumerate(dict.fromkeys(entry.cell.scene for entry in entries))}
    return sorted(entries, key=lambda entry: order[entry.cell.scene])


def sweeps(wish: Wish) -> list[Entry]:
    """Return the cells of the sweeps: one knob at a time moves from careless to careful, the others stay competent.

    The knob ``all`` moves them all; ``each`` stands for every single one. Raises :class:`ConfigError` on a knob that is
    none.

    >>> [(entry.row, entry.level) for entry in sweeps(Wish(sweep=("cover",), sweep_world="tiny:1"))][:2]
    [('cover', 'careless'), ('cover', 'competent')]
    """
    knobs = list(dict.fromkeys(knob for name in wish.sweep for knob in (KNOBS if name == EACH else (name,))))
    unknown = [knob for knob in knobs if knob not in KNOBS and knob != ALL]
    if unknown:
        raise ConfigError(f"--sweep {unknown[0]}: known are {', '.join([*KNOBS, ALL, EACH])}")
    return [
        Entry("sweep", Cell(scene), knob, level)
        for knob in knobs
        for level in LEVELS
        for scene in scenes(wish.sweep_world, wish.scale, settings(knob, level))
    ]


def settings(knob: str, level: str) -> list[str]:
    """Return the ``--set`` settings that put a knob of every campaign at a level of skill.

    >>> settings("wording", "careful"), settings("all", "careful")
    (['campaigns.skill=competent', 'campaigns.paraphrase=3'], ['campaigns.skill=careful'])
    """
    if knob == ALL:
        return [f"campaigns.skill={level}"]
    if level == BASE:
        return [f"campaigns.skill={BASE}"]
    return [f"campaigns.skill={BASE}", *(f"campaigns.{key}={skills()[level][key]}" for key in KNOBS[knob])]


def ablations(wish: Wish) -> list[Entry]:
    """Return the cells in which Stillwatch does without one part at a time, and the whole beside them.

    >>> [entry.row for entry in ablations(Wish(sweep_world="tiny:1"))][:3]
    ['', 'STACK', 'TASK']
    """
    parts: Sequence[tuple[str, ...]] = [(), *((part,) for part in PARTS)]
    worlds = scenes(wish.sweep_world, wish.scale)
    return [Entry("ablation", Cell(scene, without=left), "".join(left)) for scene in worlds for left in parts]
