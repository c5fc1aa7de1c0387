"""Run coordination-network-toolkit's co_similar_tweet on a CSV of its eight columns; write its edges as CSV.

``python -I run_toolkit.py messages.csv edges.csv WINDOW_SECONDS SIMILARITY EDGE_WEIGHT PROCESSES``. The database is
made beside the output.
"""

from __future__ import annotations

import csv
import sqlite3
import sys
from pathlib import Path


def main(messages: Path, edges: Path, window: int, similarity: float, weight: int, processes: int) -> None:
    """Compute the network with the package's own defaults for all that is not given, and write user_1,user_2,weight."""
    from coordination_network_toolkit.compute_networks import compute_co_similar_tweet
    from coordination_network_toolkit.preprocess import preprocess_csv_files
    from coordination_network_toolkit.similarity import get_similarity_fn_from_min_size

    csv.field_size_limit(sys.maxsize)
    edges.with_suffix(".db").unlink(missing_ok=True)
    database = str(edges.with_suffix(".db"))
    preprocess_csv_files(database, [str(messages)])
    compute_co_similar_tweet(
        database,
        window,
        n_threads=processes,
        similarity_threshold=similarity,
        min_edge_weight=weight,
        similarity_function=get_similarity_fn_from_min_size(1),
    )
    rows = sqlite3.connect(database).execute(
        "select user_1, user_2, weight from co_similar_tweet_network order by 1, 2"
    )
    with edges.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("one", "two", "weight"), *rows])


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]), Path(given[1]), int(given[2]), float(given[3]), int(given[4]), int(given[5]))
