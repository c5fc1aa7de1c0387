"""Who a group's accounts are, in what a reader knows at a glance: programme, mail domains, network, country, payment.

It is no evidence and takes no part in a verdict; "education, campus.example" may end a case that statistics cannot.
"""

from __future__ import annotations

import numpy as np

from stillwatch.cases.wording import clean, plural, share
from stillwatch.linkage.space import Space
from stillwatch.signals.frame import Codes, Ints

_OF_ACCOUNTS = {
    "programme": "programme",
    "plan": "plan",
    "email_domain": "mail domain",
    "payment_kind": "payment",
    "billing_country": "billing country",
    "verification": "verification",
}
_OF_EXCHANGES = {"network_kind": "network", "country": "country"}
_MOST, _LEAST_SHARE, _LEAST = 3, 0.1, 3


def about(space: Space, members: Ints) -> list[str]:
    """Say what members (account codes) mostly are, a line a column of the data; columns without a value are left out.

    At most three values a line, each of a tenth of the members and of three accounts at least, so that no line names
    one account. Networks and countries are the commonest of each account's exchanges.

    >>> about(example_space(), example_found().members)[0]
    'programme: none 100 %'
    """
    frame = space.frame
    columns = {
        **{title: (frame.attribute[name], f"account.{name}") for name, title in _OF_ACCOUNTS.items()},
        **{title: (space.main[name], name) for name, title in _OF_EXCHANGES.items()},
    }
    lines = [_line(title, codes[members], frame.names[name]) for title, (codes, name) in columns.items()]
    return [line for line in lines if line]


def _line(title: str, codes: Codes, spelt: list[str]) -> str:
    known = codes[codes >= 0]
    if not len(known):
        return ""
    value, count = np.unique(known, return_counts=True)
    order = np.lexsort((value, -count))
    shown = [i for i in order[:_MOST] if count[i] >= max(_LEAST, _LEAST_SHARE * len(codes))]
    named = [f"{clean(spelt[value[i]], 60)} {share(count[i] / len(codes))}" for i in shown]
    others = len(value) - len(shown)
    more = [plural(others, "other" if named else "value")] if others else []
    return f"{title}: {', '.join([*named, *more])}"
