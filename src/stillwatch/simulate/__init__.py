"""Labelled worlds to measure against: honest customers, including the ones who look odd, and campaigns among them."""

from stillwatch.simulate.spec import load_world, worlds
from stillwatch.simulate.world import Summary, simulate

__all__ = ["Summary", "load_world", "simulate", "worlds"]
