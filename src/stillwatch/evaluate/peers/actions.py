"""What accounts did and showed, as codes: the shared input of the methods that look for groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillwatch.signals.frame import Frame, Ints
from stillwatch.signals.sketch import Kind, kind_of
from stillwatch.signals.traits import Incidence, client_traits, identity_traits, incidence, network_traits

CONTENT = {"head": Kind.HEAD, "system": Kind.SYSTEM_ID, "tools": Kind.TOOLSET}


@dataclass(frozen=True)
class Actions:
    """Who did what when: an entry an action, by account, then value, then time.

    ``account`` and ``value`` are codes (a value is a prompt head, a system text, an address …), ``ts`` microseconds.

    >>> Actions(np.array([0]), np.array([4]), np.array([9])).value.tolist()
    [4]
    """

    account: Ints
    value: Ints
    ts: Ints


def content_actions(frame: Frame, families: tuple[str, ...] = tuple(CONTENT)) -> Actions:
    """Return which account used which prompt head, system text or set of tools (by name in ``CONTENT``), and when.

    A prompt head is the hash of the first six or twelve masked words: the peers get what a prompt is built from
    without its payload, which most of them leave to their user to provide.

    >>> from types import SimpleNamespace
    >>> from stillwatch.signals.frame import Ragged
    >>> heads = Ragged(np.array([0, 1, 2]), np.array([Kind.HEAD, Kind.PAYLOAD], np.uint64) << np.uint64(60))
    >>> frame = SimpleNamespace(sketch=heads, account=np.array([0, 1]), ts=np.array([5, 6]))
    >>> content_actions(frame).ts.tolist()
    [5]
    """
    kinds = [CONTENT[name] for name in families]
    wanted = np.isin(kind_of(frame.sketch.flat), np.array(kinds, np.uint8))
    rows = frame.sketch.rows()[wanted]
    _, value = np.unique(frame.sketch.flat[wanted], return_inverse=True)
    return _sorted(frame.account[rows].astype(np.int64), value.astype(np.int64), frame.ts[rows])


def coded_actions(frame: Frame, columns: tuple[str, ...]) -> Actions:
    """Return which account showed which value of the coded columns, and when; values of columns stay apart.

    >>> from types import SimpleNamespace
    >>> code = {"ip": np.array([0, -1]), "ip_prefix": np.array([0, 0])}
    >>> frame = SimpleNamespace(code=code, names={"ip": ["x"], "ip_prefix": ["y"]}, account=np.array([0, 1]))
    >>> frame.ts = np.array([5, 6])
    >>> coded_actions(frame, ("ip", "ip_prefix")).value.tolist()
    [0, 1, 1]
    """
    account, value, ts, offset = [], [], [], 0
    for name in columns:
        there = frame.code[name] >= 0
        account.append(frame.account[there].astype(np.int64))
        value.append(frame.code[name][there].astype(np.int64) + offset)
        ts.append(frame.ts[there])
        offset += len(frame.names[name])
    return _sorted(np.concatenate(account), np.concatenate(value), np.concatenate(ts))


def joined(*parts: Actions) -> Actions:
    """Return all actions, the values of each part apart from the others'.

    >>> one = Actions(np.array([0]), np.array([1]), np.array([9]))
    >>> joined(one, one).value.tolist()
    [1, 3]
    """
    sizes = [int(part.value.max(initial=-1)) + 1 for part in parts]
    offsets = np.cumsum([0, *sizes[:-1]])
    value = np.concatenate([part.value + offset for part, offset in zip(parts, offsets, strict=True)])
    return _sorted(np.concatenate([p.account for p in parts]), value, np.concatenate([p.ts for p in parts]))


def _sorted(account: Ints, value: Ints, ts: Ints) -> Actions:
    order = np.lexsort((ts, value, account))
    return Actions(account[order], value[order], ts[order])


def held_traits(frame: Frame, families: tuple[str, ...] = ()) -> dict[str, Incidence]:
    """Return who holds which value of the families (empty: of all): content, client, network and identity, by name.

    >>> from stillwatch.evaluate.peers.example import four_accounts
    >>> sorted(held_traits(four_accounts()))[:3]
    ['client_fingerprint', 'device_hash', 'email_domain']
    """
    content = {}
    for name in CONTENT:
        used = content_actions(frame, (name,))
        content[name] = incidence(used.account.astype(np.int32), used.value, frame.n_accounts)
    held = {**content, **client_traits(frame), **network_traits(frame), **identity_traits(frame)}
    return {name: held[name] for name in families or held}


def one_table(families: dict[str, Incidence], *, least: int = 2, most: float = np.inf) -> Incidence:
    """Return all families as one account × value table, of values held by ``least`` to ``most`` accounts.

    >>> one = incidence(np.array([0, 1, 1], np.int32), np.array([0, 0, 1]), 2)
    >>> both = one_table({"card": one, "device": one})
    >>> both.account.tolist(), both.value.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1])
    """
    parts, offset = [], 0
    for family in families.values():
        use = ((family.holders() >= least) & (family.holders() <= most))[family.value]
        parts.append((family.account[use], family.value[use].astype(np.int64) + offset))
        offset += family.n_values
    account, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, dense = np.unique(value, return_inverse=True)
    n_accounts = len(next(iter(families.values())).start) - 1
    return incidence(account, dense.astype(np.int64), n_accounts)
