"""Compare simulated arrivals, activity and lengths with published traces: the table of docs/simulate.md.

python -m benchmarks.arrivals --data DIR [--world hard-null] [--scale 1] [--seed 1]

DIR holds ``trace_client_windows.parquet`` (ten-minute windows of production clients over 14 days: ServeGen, Apache-2.0)
and ``trace_requests.parquet`` (Azure LLM inference trace 2023, code: CC-BY-4.0; Mooncake: Apache-2.0). Real clients
send thousands of times more than simulated ones: they are thinned to simulated totals before shapes are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillwatch.simulate import load_world
from stillwatch.simulate.rows import day_rows
from stillwatch.simulate.world import Made, make_world

Array = NDArray[np.float64]
HOURS, BUSY = 336, 100
SERVICES = ("m-mid", "m-small")
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Clients:
    """Clients of one side: totals of all; of the busy, requests by hour (n, 336), gap variation and lengths by name."""

    totals: Array
    hourly: Array
    gap_cv: Array
    lengths: dict[str, Array]


def real_clients(data: Path, service: str = "") -> Clients:
    """Read the clients of the windows trace (all, or those of one of its services) that sent anything."""
    table = pq.read_table(data / "trace_client_windows.parquet").sort_by(
        [("client", "ascending"), ("window_s", "ascending")]
    )
    table = table.filter(pc.match_substring(table["source"], service))

    def by_client(name: str) -> Array:
        return np.asarray(table[name].to_numpy(zero_copy_only=False).astype(float).reshape(-1, HOURS * 6))

    rate, cv = by_client("rate_rps"), by_client("cv")
    seen = rate.sum(axis=1) > 0
    with np.errstate(invalid="ignore"):
        gaps = np.array([np.median(c[r > 0]) for c, r in zip(cv[seen], rate[seen], strict=True)])
    lengths: dict[str, Array] = {}
    for side in ("input", "output"):
        middle, high = (_mean_of_known(by_client(f"{side}_tokens_{part}")[seen]) for part in ("p50", "p95"))
        lengths |= _lengths(side, middle, high)
    return Clients(rate[seen].sum(axis=1) * 600, rate[seen].reshape(-1, HOURS, 6).sum(axis=2) * 600, gaps, lengths)


def _lengths(side: str, middle: Array, high: Array) -> dict[str, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            f"{side} tokens, log10 of a client's median": np.log10(middle + 1),
            f"{side} tokens, 95th percentile / median of a client": high / middle,
        }


def _mean_of_known(values: Array) -> Array:
    known = np.isfinite(values)
    return np.where(
        known.any(axis=1), np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan
    )


def traffic(made: Made, kind: str) -> Iterator[pa.Table]:
    """Yield the exchanges of every population with one kind of arrivals, a day of a population at a time."""
    for stream in made.streams:
        if stream.people.population.arrivals == kind:
            for day in made.days():
                table = day_rows(stream, made.world, made.launches, day, made.seed)
                if table is not None:
                    yield table.select(["account_id", "ts", "input_tokens", "output_tokens"])


def simulated_clients(made: Made) -> Clients:
    """Return the accounts with fitted arrivals that sent at least a hundred requests."""
    table = pa.concat_tables(traffic(made, "client"))
    code = table["account_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    ts = table["ts"].cast(pa.int64()).to_numpy() / 1e6 - made.span.start / 1e6
    hourly = np.zeros((code.max() + 1, HOURS))
    np.add.at(hourly, (code, (ts // 3600).astype(int)), 1)
    busy = np.flatnonzero(hourly.sum(axis=1) >= BUSY)
    lengths: dict[str, Array] = {}
    for side in ("input", "output"):
        tokens = table[f"{side}_tokens"].to_numpy(zero_copy_only=False).astype(float)
        parts = [np.nanquantile(tokens[code == who], (0.5, 0.95)) for who in busy]
        lengths |= _lengths(side, *np.array(parts).T)
    gaps = np.array([_gap_cv(ts[code == who]) for who in busy])
    return Clients(hourly.sum(axis=1), hourly[busy], gaps, lengths)


def _gap_cv(ts: Array) -> float:
    """Return the median coefficient of variation of gaps over hours with at least ten requests."""
    found = []
    for hour in np.unique(ts // 3600):
        gaps = np.diff(np.sort(ts[ts // 3600 == hour]))
        if gaps.size >= 9 and gaps.mean() > 0:
            found.append(gaps.std() / gaps.mean())
    return float(np.median(found)) if found else np.nan


def thinned(real: Clients, totals: Array, rng: np.random.Generator) -> Array:
    """Return Poisson counts by hour with the shapes of real clients and the totals of simulated ones."""
    which = rng.permutation(np.resize(np.arange(len(real.hourly)), totals.size))
    shape = real.hourly[which] / real.hourly[which].sum(axis=1, keepdims=True)
    return np.asarray(rng.poisson(shape * totals[:, None]).astype(float))


def shapes(hourly: Array) -> dict[str, Array]:
    """Return the measures of clients' hours: how uneven, how regular, how often silent."""
    hourly = hourly[hourly.sum(axis=1) >= BUSY]
    grid = hourly.reshape(len(hourly), HOURS // 24, 24)
    days, profile = grid.sum(axis=2), grid.sum(axis=1)
    return {
        "requests an hour: coefficient of variation": hourly.std(axis=1) / hourly.mean(axis=1),
        "requests a day: coefficient of variation": days.std(axis=1) / days.mean(axis=1),
        "busiest hour of the day / mean": profile.max(axis=1) / profile.mean(axis=1),
        "autocorrelation, 1 hour": autocorrelation(hourly, 1),
        "autocorrelation, 24 hours": autocorrelation(hourly, 24),
        "share of hours with a request": (hourly > 0).mean(axis=1),
        "share of days without one": (days == 0).mean(axis=1),
    }


def autocorrelation(hourly: Array, lag: int) -> Array:
    """Return each client's autocorrelation of hourly counts at a lag in hours."""
    centred = hourly - hourly.mean(axis=1, keepdims=True)
    return np.asarray((centred[:, :-lag] * centred[:, lag:]).mean(axis=1) / np.square(centred).mean(axis=1))


def dispersion(ts: Array, width_s: float) -> float:
    """Return variance over mean of counts in windows, averaged over hours with at least fifty requests."""
    ts = np.sort(ts) - ts.min()
    found = []
    for hour in np.unique(ts // 3600):
        inside = ts[ts // 3600 == hour] % 3600
        if inside.size >= 50:
            length = 3600 if hour < ts[-1] // 3600 else inside[-1]
            counts = np.bincount((inside // width_s).astype(int), minlength=int(length / width_s))
            found.append(counts.var() / counts.mean())
    return float(np.mean(found))


def distance(one: Array, two: Array) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples, unknown values left out."""
    one, two = (np.sort(part[np.isfinite(part)]) for part in (one, two))
    both = np.concatenate([one, two])
    return float(
        max(abs(np.searchsorted(one, both, "right") / one.size - np.searchsorted(two, both, "right") / two.size))
    )


def measures(clients: Clients, hourly: Array) -> dict[str, Array]:
    """Return every measure by name: of the hours given, of gaps, and of lengths."""
    return {**shapes(hourly), "gaps: coefficient of variation": clients.gap_cv, **clients.lengths}


def print_row(name: str, real: Array, made: Array, apart: str = "") -> None:
    """Print a table row of quantiles and distance, and draw both distributions under it."""
    text = [" / ".join(f"{q:.3g}" for q in np.nanquantile(part, QUANTILES)) for part in (real, made)]
    print(f"| {name} | {text[0]} | {text[1]} | {distance(real, made):.2f} | {apart} |")
    low, high = np.nanquantile(np.concatenate([real, made]), (0.02, 0.98))
    for label, part in (("real", real), ("made", made)):
        counts, _ = np.histogram(part[np.isfinite(part)], bins=48, range=(low, max(high, low + 1e-9)))
        bars = "".join(" ▁▂▃▄▅▆▇█"[round(8 * count / max(1, counts.max()))] for count in counts)
        print(f"    {label} {low:8.3g} {bars} {high:.3g}")


def top_share(totals: Array) -> float:
    """Return the share of all requests that the busiest tenth of clients sends."""
    return float(np.sort(totals)[::-1][: max(1, totals.size // 10)].sum() / totals.sum())


def compare(data: Path, made: Made, seed: int) -> None:
    """Print how clients compare, and how far apart the two real services are: hours, gaps, lengths, shares."""
    real, ours = real_clients(data), simulated_clients(made)
    rng, totals = np.random.default_rng(seed), ours.hourly.sum(axis=1)
    print(f"{len(real.hourly)} real clients, {len(ours.hourly)} simulated ones with {BUSY} requests or more\n")
    print(
        "| measure over clients (quantiles 10 / 25 / 50 / 75 / 90) | real | simulated | KS | KS of two real services |"
    )
    print("|---|---|---|---|---|")
    every = measures(real, thinned(real, totals, rng))
    two = [measures(part, thinned(part, totals, rng)) for part in (real_clients(data, name) for name in SERVICES)]
    for name, values in measures(ours, ours.hourly).items():
        print_row(name, every[name], values, f"{distance(two[0][name], two[1][name]):.2f}")
    spread = [np.log(part.totals).std() for part in (real, ours)]
    print(f"| log-sd of a client's requests | {spread[0]:.2f} | {spread[1]:.2f} | | |")
    print(f"| share of the busiest tenth | {top_share(real.totals):.2f} | {top_share(ours.totals):.2f} | | |")


def compare_requests(data: Path, made: Made) -> None:
    """Print how bunched single requests of code and of chat are, and how long those of code."""
    requests = pq.read_table(data / "trace_requests.parquet")
    for source, kind, label in (("azure2023_code", "code", "code"), ("mooncake_synthetic", "human", "chat")):
        real = requests.filter(pc.equal(requests["source"], source))
        ours = pa.concat_tables(traffic(made, kind))
        stamps = real["ts_seconds"].to_numpy(), ours["ts"].cast(pa.int64()).to_numpy() / 1e6
        for width in (1, 10):
            here, there = (dispersion(part, width) for part in stamps)
            print(f"| {label}: dispersion in {width} s | {here:.2f} | {there:.2f} | | |")
        for side in ("input_tokens", "output_tokens") if kind == "code" else ():
            sides = [part[side].to_numpy(zero_copy_only=False).astype(float) for part in (real, ours)]
            print_row(f"code: log10 of {side.replace('_', ' ')}", *(np.log10(part) for part in sides))


def main() -> None:
    """Compare a world with the traces."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--world", default="hard-null")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    made = make_world(load_world(given.world, scale=given.scale), seed=given.seed)
    compare(given.data, made, given.seed)
    compare_requests(given.data, made)


if __name__ == "__main__":
    main()
