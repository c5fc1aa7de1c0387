"""Every reader by name, in the order in which a file is offered to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stillwatch.ingest.canonical import CANONICAL, CANONICAL_ACCOUNTS, CANONICAL_LAUNCHES
from stillwatch.ingest.envelopes import ANTHROPIC, OPENAI
from stillwatch.ingest.fieldmap import MAPPED, MAPPED_ACCOUNTS, MAPPED_LAUNCHES
from stillwatch.ingest.litellm import LITELLM, LITELLM_SPEND
from stillwatch.ingest.otel import OTEL
from stillwatch.ingest.reader import Reader

READERS: Mapping[str, Reader] = {
    reader.name: reader
    for reader in (
        OTEL,
        LITELLM,
        LITELLM_SPEND,
        CANONICAL,
        CANONICAL_ACCOUNTS,
        CANONICAL_LAUNCHES,
        ANTHROPIC,
        OPENAI,
        MAPPED,
        MAPPED_ACCOUNTS,
        MAPPED_LAUNCHES,
    )
}


def recognise(values: Iterable[Any]) -> Reader | None:
    """Return the first reader that recognises more than half of the first records, or None.

    >>> recognise([{"account_id": "a", "ts": 1, "model": "m"}]).name
    'canonical'
    >>> recognise([{"x": 1}]) is None
    True
    """
    sample = list(values)
    for reader in READERS.values():
        if sum(reader.recognises(value) for value in sample) * 2 > len(sample):
            return reader
    return None
