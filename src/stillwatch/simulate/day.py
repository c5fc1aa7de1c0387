"""A day's exchanges before they have words: who sends what when, in order of time, in pieces of bounded size.

Drawing a day is cheap (some 70 bytes an exchange); words and columns are made of one piece after another, so memory
does not depend on how much is sent, and pieces may be written by several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from stillwatch.simulate.arrivals import Draw, Stream, draw_day
from stillwatch.simulate.chance import Ints, Keys, mix
from stillwatch.simulate.playbooks import relayed
from stillwatch.simulate.reasoning import Answered, Vault, carried_on

PIECE = 65_536  # exchanges: one row group of a dataset


@dataclass(frozen=True)
class Sent:
    """Exchanges of one stream on one day: all that their words and columns follow from.

    ``author``: position in ``stream.accounts`` of who wrote them; ``draw`` names the account that sends them, which is
    another where the stream has a carrier. ``number``: place in the stream's day. ``words`` and ``row``: keys of what
    is asked and of the exchange. ``back``: key of the reasoning reference sent back, 0 for none.
    """

    stream: Stream
    author: Ints
    draw: Draw
    number: Ints
    words: Keys
    row: Keys
    back: Keys

    @property
    def sender(self) -> Stream:
        """Return the stream whose accounts send the exchanges."""
        return self.stream.carrier or self.stream

    @property
    def identifier(self) -> Keys:
        """Return the key of each exchange's id."""
        return mix(self.row, "id")

    def take(self, rows: Ints) -> Sent:
        """Return some of the exchanges."""
        drawn = self.draw.take(rows)
        parts = (self.number[rows], self.words[rows], self.row[rows], self.back[rows])
        return Sent(self.stream, self.author[rows], drawn, *parts)


def send(stream: Stream, day_us: int, launches: list[int], seed: int) -> Sent | None:
    """Return what a stream sends on the day that begins at ``day_us`` (epoch microseconds); None when nothing.

    >>> from stillwatch.simulate.identity import DAY_US
    >>> from stillwatch.simulate.spec import load_world
    >>> from stillwatch.simulate.world import make_world
    >>> made = make_world(load_world("tiny"), seed=1)
    >>> sent = send(made.streams[0], made.days()[0], [], 1)
    >>> sent is not None and sent.take(np.array([0])).row.size
    1
    """
    written, draw = relayed(stream, draw_day(stream, day_us, launches, seed))
    if not draw.ts.size:
        return None
    number = np.arange(draw.ts.size)
    words = mix(seed, stream.people.key[stream.accounts[written.account]], written.ts, number, "row")
    if written.again is not None:
        words = words[written.again]
    sender = stream.carrier or stream
    row = mix(seed, sender.people.key[sender.accounts[draw.account]], draw.ts, number, "exchange")
    return Sent(stream, written.account, draw, number, words, row, np.zeros(row.size, np.uint64))


def with_references(sent: Sent, share: float, vaults: dict[str, Vault]) -> Sent:
    """Return the exchanges with the reasoning references that they send back; a campaign's are kept for its replays.

    ``share``: of the sessions of honest customers whose client sends references back.
    """
    sender = sent.sender
    crowd, stage = sender.people, sender.content.population.part.stage
    rows = sender.accounts[sent.draw.account]
    answered = Answered(sent.identifier, crowd.owner[rows], sent.draw.session, sent.draw.ts)
    vault = vaults[crowd.population.name]
    if stage and stage.replays:
        return replace(sent, back=vault.replayed(answered))
    if sender.campaign:
        vault.keep(answered)
    hands_over = crowd.population.frame == "group" and not crowd.population.campaign
    paid = crowd.population.shared.get("payment")
    if hands_over and paid and paid.share >= 1:  # one owner runs the accounts of a group
        answered = replace(answered, owner=crowd.group[rows])
    return replace(sent, back=carried_on(answered, share))


def pieces(day: list[Sent], size: int = PIECE) -> Iterator[list[Sent]]:
    """Yield the day's exchanges in order of time and id, ``size`` at a time, as parts of the streams.

    Within a piece each stream's part keeps its own order.

    >>> list(pieces([]))
    []
    """
    if not day:
        return
    place = _places(day, size)
    ends = np.cumsum([0, *(sent.row.size for sent in day)])
    count = int(place.max()) + 1
    parts = [_by_piece(place[low:high], count) for low, high in pairwise(ends)]
    for number in range(count):
        taken = [(sent, rows[at[number] : at[number + 1]]) for sent, (rows, at) in zip(day, parts, strict=True)]
        yield [sent.take(rows) for sent, rows in taken if rows.size]


def _places(day: list[Sent], size: int) -> Ints:
    """Return the number of the piece that each exchange is in, stream after stream."""
    order = np.lexsort((np.concatenate([s.identifier for s in day]), np.concatenate([s.draw.ts for s in day])))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size) // size
    return place


def _by_piece(place: Ints, count: int) -> tuple[Ints, Ints]:
    """Return the rows ordered by piece, and where each piece begins."""
    rows = np.argsort(place, kind="stable")
    return rows, np.searchsorted(place[rows], np.arange(count + 1))
