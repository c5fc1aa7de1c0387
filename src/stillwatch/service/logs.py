"""Structured logs: one JSON object a line on stderr; no prompt, no answer, no secret is ever given to them."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

_USUAL = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; what was passed as ``extra`` becomes members.

    >>> record = logging.makeLogRecord({"msg": "taken", "levelname": "INFO", "created": 0.0, "version": 7})
    >>> JsonLines().format(record)
    '{"at":"1970-01-01T00:00:00.000+00:00","level":"info","message":"taken","version":7}'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
        }
        if record.exc_info:
            line["cause"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def start_logging() -> None:
    """Send the logs of Stillwatch and of its web server to stderr as JSON lines.

    >>> start_logging()
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("stillwatch", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
