"""Labelled worlds to measure against: honest customers, including the ones who look odd, and campaigns among them.

Worlds, populations and campaigns are small TOML files; text is composed by our own grammar. What is written are the
canonical tables (or raw logs) with the truth beside them. Nothing here knows how detection works.
"""

from stillwatch.simulate.corpus import Corpus, read_corpus
from stillwatch.simulate.cost import cost
from stillwatch.simulate.knobs import skills
from stillwatch.simulate.output import Summary, simulate, write_dataset, write_logs
from stillwatch.simulate.rawlogs import FORMATS
from stillwatch.simulate.space import Space, amount, space
from stillwatch.simulate.spec import World, load_world, worlds
from stillwatch.simulate.world import Made, make_world

__all__ = [
    "FORMATS",
    "Corpus",
    "Made",
    "Space",
    "Summary",
    "World",
    "amount",
    "cost",
    "load_world",
    "make_world",
    "read_corpus",
    "simulate",
    "skills",
    "space",
    "worlds",
    "write_dataset",
    "write_logs",
]
