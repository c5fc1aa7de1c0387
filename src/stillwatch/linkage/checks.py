"""The promises every view keeps, runnable on a stranger's view of a group.

A view (:class:`stillwatch.linkage.views.View`) turns a group of accounts into nats. The search believes whatever a view
says, so before a new one joins ``Space.views``, hand it to ``check_view(view, n_accounts, rng)``: it runs every check
below on groups drawn at random from the accounts 0 … n_accounts − 1 and raises :class:`PromiseBroken` with the name of
the view, the promise and the group that broke it. A few hundred accounts and a second or two are enough.

* the same group gives the same numbers, in whatever order its members come (:func:`check_deterministic`,
  :func:`check_order`);
* the group that is passed in is not changed (:func:`check_leaves_input_alone`);
* a group of none, one or two gives finite numbers (:func:`check_small_groups`);
* there is one score a member, from 0 to ``view.cap`` (where the view has one), and ``known`` is a share
  (:func:`check_scores`);
* strangers are ordinary: groups drawn at random stay near what other random groups have (:func:`check_strangers`).

The checks draw from ``rng`` alone, so a failure can be repeated from its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from stillwatch.linkage.nulls import tail
from stillwatch.linkage.views import View
from stillwatch.signals.frame import Ints

_SIZES = (3, 10, 40)
_STRANGERS, _NULL, _SIZE = 20, 60, 25
_NEAR = 1e-3


class PromiseBroken(AssertionError):  # noqa: N818 - named after what happened
    """A view does not keep a promise.

    >>> from types import SimpleNamespace
    >>> wrong = SimpleNamespace(scores=lambda group: -np.ones(len(group)), known=lambda group: 1.0)
    >>> check_scores(wrong, 3, np.random.default_rng(0))
    Traceback (most recent call last):
    stillwatch.linkage.checks.PromiseBroken: SimpleNamespace: a score lies outside 0 … inf, for the group [0, 1, 2] of 3
    """


def _broken(view: View, promise: str, group: Ints) -> PromiseBroken:
    shown = np.array2string(group[:10], separator=", ")
    return PromiseBroken(f"{type(view).__name__}: {promise}, for the group {shown} of {len(group)}")


def _groups(n_accounts: int, rng: np.random.Generator) -> Iterator[Ints]:
    for size in _SIZES:
        yield np.sort(rng.choice(n_accounts, min(size, n_accounts), replace=False)).astype(np.int64)


def check_deterministic(view: View, n_accounts: int, rng: np.random.Generator) -> None:
    """Demand that the same group gives exactly the same numbers twice.

    Raises :class:`PromiseBroken`.

    >>> from stillwatch.linkage.views import Signups
    >>> created = np.arange(100) * 3_600_000_000
    >>> view = Signups(created, created, np.arange(100, dtype=np.int32))
    >>> check_deterministic(view, 100, np.random.default_rng(1))
    """
    for group in _groups(n_accounts, rng):
        same = view.effect(group) == view.effect(group) and view.known(group) == view.known(group)
        if not same or not np.array_equal(view.scores(group), view.scores(group)):
            raise _broken(view, "two runs differ", group)


def check_order(view: View, n_accounts: int, rng: np.random.Generator) -> None:
    """Demand that the order of the members changes nothing but the order of their scores (rounding aside).

    Raises :class:`PromiseBroken`.

    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda group: np.arange(len(group)), effect=lambda group: 0.0)
    >>> check_order(view, 3, np.random.default_rng(1))
    Traceback (most recent call last):
    stillwatch.linkage.checks.PromiseBroken: SimpleNamespace: scores depend on the order of the members, for ...
    """
    for group in _groups(n_accounts, rng):
        order = rng.permutation(len(group))
        mixed = group[order]
        if not np.isclose(view.effect(group), view.effect(mixed), rtol=_NEAR, atol=_NEAR):
            raise _broken(view, "the effect depends on the order of the members", group)
        if not np.allclose(view.scores(group)[order], view.scores(mixed), rtol=_NEAR, atol=_NEAR):
            raise _broken(view, "scores depend on the order of the members", group)


def check_leaves_input_alone(view: View, n_accounts: int, rng: np.random.Generator) -> None:
    """Demand that the group is not changed by being measured.

    Raises :class:`PromiseBroken`.

    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=np.sort, effect=lambda group: group.fill(0), known=np.mean)
    >>> check_leaves_input_alone(view, 3, np.random.default_rng(1))
    Traceback (most recent call last):
    stillwatch.linkage.checks.PromiseBroken: SimpleNamespace: the group was changed by measuring it, for ...
    """
    for group in _groups(n_accounts, rng):
        before = group.copy()
        for measure in (view.scores, view.effect, view.known):
            measure(group)
            if not np.array_equal(before, group):
                raise _broken(view, "the group was changed by measuring it", before)


def check_small_groups(view: View, n_accounts: int, rng: np.random.Generator) -> None:
    """Demand finite numbers for groups of none, one and two.

    Raises :class:`PromiseBroken`.

    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda group: group * 0.0, effect=lambda group: 1 / len(group), known=len)
    >>> check_small_groups(view, 9, np.random.default_rng(1))
    Traceback (most recent call last):
    stillwatch.linkage.checks.PromiseBroken: SimpleNamespace: a group of 0 raises ZeroDivisionError(...), for ...
    """
    for size in (0, 1, 2):
        group = np.sort(rng.choice(n_accounts, min(size, n_accounts), replace=False)).astype(np.int64)
        with np.errstate(all="raise"):
            try:
                numbers = [view.effect(group), view.known(group), *view.scores(group)]
            except (ArithmeticError, ValueError, IndexError) as error:
                raise _broken(view, f"a group of {len(group)} raises {error!r}", group) from error
        if not np.isfinite(numbers).all():
            raise _broken(view, f"a group of {len(group)} gives a number that is not finite", group)


def check_scores(view: View, n_accounts: int, rng: np.random.Generator) -> None:
    """Demand one score a member, from 0 to the cap, and a share of members known.

    Raises :class:`PromiseBroken`.

    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda group: np.full(len(group), 5.0), known=lambda group: 1.0, cap=4.0)
    >>> check_scores(view, 3, np.random.default_rng(0))
    Traceback (most recent call last):
    stillwatch.linkage.checks.PromiseBroken: SimpleNamespace: a score lies outside 0 … 4, for the group [0, 1, 2] of 3
    """
    cap = float(getattr(view, "cap", np.inf))
    for group in _groups(n_accounts, rng):
        scores = view.scores(group)
        if scores.shape != (len(group),) or not np.isfinite(scores).all():
            raise _broken(view, "scores are not one finite number a member", group)
        if scores.min() < 0 or scores.max() > cap:
            raise _broken(view, f"a score lies outside 0 … {cap:g}", group)
        if not 0 <= view.known(group) <= 1:
            raise _broken(view, "known is no share", group)


def check_strangers(view: View, n_accounts: int, rng: np.random.Generator) -> None:
    """Demand that random groups are ordinary among random groups of the same size.

    Of twenty of them at most three may come out with p < 0.01 against a null of sixty others.

    Raises :class:`PromiseBroken`.

    >>> from types import SimpleNamespace
    >>> lengths = np.random.default_rng(0).random(200)
    >>> check_strangers(SimpleNamespace(effect=lambda group: lengths[group].mean()), 200, np.random.default_rng(1))
    """
    size = min(_SIZE, max(3, n_accounts // 4))
    drawn = [np.sort(rng.choice(n_accounts, size, replace=False)).astype(np.int64) for _ in range(_STRANGERS + _NULL)]
    effects = np.array([view.effect(group) for group in drawn])
    surprising = [i for i in range(_STRANGERS) if tail(float(effects[i]), effects[_STRANGERS:]) < 0.01]
    if len(surprising) > 3:
        raise _broken(view, f"{len(surprising)} of {_STRANGERS} groups of strangers stand out", drawn[surprising[0]])


CHECKS: tuple[Callable[[View, int, np.random.Generator], None], ...] = (
    check_deterministic,
    check_order,
    check_leaves_input_alone,
    check_small_groups,
    check_scores,
    check_strangers,
)


def check_view(view: View, n_accounts: int, rng: np.random.Generator) -> None:
    """Run every check on a view of the accounts 0 … n_accounts − 1; raise :class:`PromiseBroken` at the first broken.

    >>> from stillwatch.linkage.views import Signups
    >>> created = np.sort(np.random.default_rng(0).integers(0, 10**13, 300))
    >>> check_view(Signups(created, created, np.arange(300, dtype=np.int32)), 300, np.random.default_rng(1))
    """
    for check in CHECKS:
        check(view, n_accounts, rng)
