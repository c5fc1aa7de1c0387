"""From a request to its template id, read as the logs are read: the same text, the same hash."""

from __future__ import annotations

import json

import pyarrow as pa

from stillwatch.ingest.messages import conversation
from stillwatch.response.decide import Request
from stillwatch.signals.sketch import sketch_texts


def template_of(request: Request) -> int | None:
    """Return the template id of a request's prompt (or of the prompt in its messages); None without words.

    >>> one, two = (Request(account="a", prompt=f"Rate the answer {n} from 1 to 5.") for n in (7, 8))
    >>> template_of(one) == template_of(two), template_of(Request(account="a"))
    (True, None)
    """
    prompt = request.prompt if request.prompt is not None else _said(request)
    if not prompt:
        return None
    prompt = prompt.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # as ingest does
    return int(sketch_texts(pa.array([prompt], pa.large_string())).templates[0]) or None


def _said(request: Request) -> str | None:
    if not request.said:
        return None
    try:
        return conversation(json.loads(request.said)).prompt
    except (ValueError, RecursionError, TypeError, AttributeError):
        return None
