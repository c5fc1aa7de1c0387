"""Counters for Prometheus: what was decided, from which snapshot, and what was refused or missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stillwatch.response.decide import Decision

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meters:
    """The meters of one process, in a registry of its own.

    >>> meters = Meters()
    >>> meters.decided(Decision(action="tag", shadow="cap"))
    >>> [line for line in meters.text().decode().splitlines() if line.startswith("stillwatch_decisions_total")]
    ['stillwatch_decisions_total{action="tag"} 1.0']
    """

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self._decided: Counter[tuple[str, str, str]] = Counter()
        self.read(self._decisions)

    def decided(self, decision: Decision) -> None:
        """Count one decision; in one event loop, as no lock is taken."""
        self._decided[decision.action, decision.shadow, decision.degraded] += 1

    def _decisions(self) -> Iterable[Metric]:
        actions, shadows, degraded = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        for (action, shadow, why), count in self._decided.items():
            actions[action] += count
            if shadow:
                shadows[shadow] += count
            if why:
                degraded[why, action] += count
        yield counts("decisions", "Decisions answered, by action", "action", actions)
        yield counts("shadow_decisions", "What measures in shadow mode would have done", "action", shadows)
        family = CounterMetricFamily(
            "stillwatch_degraded_decisions", "Answers without a good snapshot", labels=["why", "action"]
        )
        for labels, count in sorted(degraded.items()):
            family.add_metric(labels, count)
        yield family

    def read(self, source: Callable[[], Iterable[Metric]]) -> None:
        """Ask ``source`` for further metrics whenever they are scraped."""
        self.registry.register(_Asked(source))

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Asked(Collector):
    """A collector around a function."""

    def __init__(self, source: Callable[[], Iterable[Metric]]) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Return what the function returns."""
        return self._source()


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """Return one reading of a gauge.

    >>> gauge("snapshot_version", "Number of the snapshot in force", 7).name
    'stillwatch_snapshot_version'
    """
    return GaugeMetricFamily(f"stillwatch_{name}", text, value=value)


def counts(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    """Return readings of a counter by one label.

    >>> len(counts("refused_snapshots", "Snapshots not taken", "why", {"older": 2}).samples)
    1
    """
    family = CounterMetricFamily(f"stillwatch_{name}", text, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family
