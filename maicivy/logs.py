"""Log lines: one event each, with fields, as key=value for people or as JSON for machines."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from typing import Any

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/+@%,")


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """Return the `extra` that gives a log line its fields: `log.info("x", extra=fields(n=1))`."""
    return {"fields": values}


def configure(level: str, style: str) -> None:
    """Send every log line to stderr at `level`, in `style` `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # aiohttp's access log would hold addresses and User-Agents.
    logging.getLogger("aiohttp.access").disabled = True


class TextFormatter(logging.Formatter):
    """`2025-12-08T12:34:56Z info  WebSocket client connected clients=3`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, whatever the message holds."""
        parts = [_time_of(record), f"{record.levelname.lower():7}", _message_of(record)]
        parts += [f"{name}={_quoted(value)}" for name, value in _fields_of(record).items()]
        return " ".join(parts).replace("\r", "\\r").replace("\n", "\\n")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, whatever the message holds."""
        line = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
        }
        return json.dumps(line | _fields_of(record), default=str, ensure_ascii=False)


def _time_of(record: logging.LogRecord) -> str:
    instant = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message_of(record: logging.LogRecord) -> str:
    """Return what is said; of other packages the bare template, for they may quote a visitor."""
    if record.name.partition(".")[0] == "maicivy":
        return record.getMessage()
    return str(record.msg).partition("\n")[0].replace("%s", "?").replace("%r", "?")


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    values: dict[str, Any] = dict(getattr(record, "fields", {}))
    if record.exc_info and record.exc_info[0] is not None:
        values["error"] = record.exc_info[0].__name__
        values["where"] = _where(record.exc_info[2])
    return values


def _where(traceback: Any) -> str:
    """Return the innermost frames as `file:line`; messages may quote a visitor, places do not."""
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " < ".join(reversed(places[-6:]))


def _quoted(value: Any) -> str:
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text, ensure_ascii=False)
