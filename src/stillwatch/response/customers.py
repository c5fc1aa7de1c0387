"""What a plan may know of the accounts it touches: owner, programme, reseller, plan and tokens, from the dataset."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.response.policy import Customer
from stillwatch.tables import Dataset

_COLUMNS = ("org_id", "programme", "reseller_id", "plan")


@dataclass(frozen=True)
class Customers:
    """The accounts asked for, and totals over all; ``known`` is False when there was no dataset to ask.

    ``accounts`` counts all accounts; ``paying_tokens`` sums the tokens (in and out) of all on a plan that is not free.
    """

    accounts: int
    paying_tokens: int = 0
    known: bool = False
    by_account: dict[str, Customer] = field(default_factory=dict)

    def of(self, account_id: str) -> Customer:
        """Return what is known of an account; nothing is a :class:`Customer` of nulls.

        >>> Customers(accounts=10).of("a").organisation is None
        True
        """
        return self.by_account.get(account_id, Customer())


UNKNOWN = Customers(accounts=0)
"""Nothing is known of any account."""


def read_customers(dataset: Dataset, wanted: Collection[str]) -> Customers:
    """Read the customers among ``wanted`` account ids and the totals over all of a dataset.

    Raises :class:`stillwatch.errors.DatasetError` when the dataset breaks the contract.

    >>> read_customers(example_dataset(), []).known
    True
    """
    tokens = _tokens(dataset)
    accounts = dataset.accounts().select(["account_id", *_COLUMNS])
    joined = tokens.join(accounts, "account_id", join_type="full outer")
    pays = pc.fill_null(pc.invert(pc.is_in(joined["plan"], value_set=pa.array(["free", None], pa.string()))), False)
    paying = pc.sum(joined.filter(pays)["tokens"]).as_py() or 0
    rows = joined.filter(pc.is_in(joined["account_id"], value_set=pa.array(sorted(wanted), pa.string()))).to_pylist()
    found = {
        row["account_id"]: Customer(
            row["org_id"], row["programme"], row["reseller_id"], row["plan"], int(row["tokens"] or 0)
        )
        for row in rows
    }
    return Customers(len(joined), int(paying), True, found)


def _tokens(dataset: Dataset) -> pa.Table:
    """Return account_id and tokens, a row an account."""
    parts = []
    for batch in dataset.batches(["account_id", "input_tokens", "output_tokens"]):
        both = pc.add(pc.fill_null(batch["input_tokens"], 0), pc.fill_null(batch["output_tokens"], 0))
        parts.append(_summed(pa.table({"account_id": batch["account_id"], "tokens": both})))
    empty = pa.table({"account_id": pa.array([], pa.string()), "tokens": pa.array([], pa.int64())})
    return _summed(pa.concat_tables([empty, *parts]))


def _summed(table: pa.Table) -> pa.Table:
    sums = table.group_by("account_id").aggregate([("tokens", "sum")])
    return pa.table({"account_id": sums["account_id"], "tokens": sums["tokens_sum"]})
