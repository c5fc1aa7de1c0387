"""Run Splink 5 on an accounts table (CSV with a header); write pairs with their match probability as CSV.

``python -I run_splink.py accounts.csv pairs.csv SEED``. Columns: ``unique_id`` and the attributes in ``_COMPARED``,
empty where unknown. Unsupervised: u by random sampling, m by expectation maximisation.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

_COMPARED = (
    "payment_hash", "payment_bin", "device_hash", "phone_hash", "email_domain", "ip_prefix", "user_agent",
    "billing_country", "referral", "signup_hour",
)  # fmt: skip
_BLOCKED = (
    ("payment_hash",), ("device_hash",), ("phone_hash",), ("referral",), ("ip_prefix", "payment_bin"),
    ("ip_prefix", "signup_hour"), ("email_domain", "payment_bin", "signup_hour"), ("email_domain", "ip_prefix"),
)  # fmt: skip
_LEAST = 10  # accounts: fewer say nothing of how common agreement is


def main(accounts: Path, pairs: Path, seed: int) -> None:
    """Estimate the model and write every candidate pair above probability 0.01: one,two,weight."""
    import pyarrow as pa
    import pyarrow.csv
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    logging.disable(logging.WARNING)
    strings = dict.fromkeys(("unique_id", *_COMPARED), pa.string())
    options = pa.csv.ConvertOptions(column_types=strings, include_columns=list(strings), strings_can_be_null=True)
    table = pa.csv.read_csv(accounts, convert_options=options)
    filled = [name for name in _COMPARED if table[name].null_count < len(table)]
    blocking = [block_on(*rule) for rule in _BLOCKED if set(rule) <= set(filled)]
    if len(table) < _LEAST or not blocking:
        pairs.write_text("one,two,weight\n", encoding="utf-8")
        return
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[_comparison(name) for name in filled],
        blocking_rules_to_generate_predictions=blocking,
    )
    api = DuckDBAPI()
    linker = Linker(api.register(table), settings)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=seed)
    for rule in blocking:
        _learn(linker, rule)
    found = linker.inference.predict(threshold_match_probability=0.01)
    columns = ["unique_id_l", "unique_id_r", "match_probability"]
    rows = found.as_pyarrow_table().select(columns).rename_columns(["one", "two", "weight"])
    pa.csv.write_csv(rows.sort_by([("one", "ascending"), ("two", "ascending")]), pairs)


def _comparison(name: str) -> Any:
    """Return an exact comparison whose weight depends on how common the value is."""
    import splink.comparison_library as cl

    return cl.ExactMatch(name).configure(term_frequency_adjustments=True)


def _learn(linker: Any, rule: Any) -> None:
    """Estimate m from the pairs that agree on one rule; one without pairs, or whose m falls to 0, teaches nothing."""
    from splink.internals.exceptions import EMTrainingException

    try:
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    except (EMTrainingException, ValueError):  # Splink refuses an m of 0 by a ValueError
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
