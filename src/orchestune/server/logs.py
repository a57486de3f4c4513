"""The server log: one line per entry, plain or JSON, with secrets redacted."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from typing import TextIO

from orchestune.ports.clock import rfc3339

_SECRETS = re.compile(r"(?i)(bearer\s+)[^\s\"']+|(/api/v1/report/[^/\s]+/)[^\s\"']+|(://[^:/@\s]*:)[^@/\s]+(?=@)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_AUDIT = "orchestune.audit"
_WORD = re.compile(r"[^\s\"=]+")
_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime", "taskName"}


class Redaction:
    """Replaces text that looks like a token or password, and the given secret values, by `***`."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = [value for value in values if value]

    def __call__(self, text: str) -> str:
        for value in self.values:
            text = text.replace(value, "***")
        return _SECRETS.sub(lambda match: f"{match[1] or match[2] or match[3]}***", text)


class PlainFormatter(logging.Formatter):
    """Formatter for `TIME LEVEL logger: message key=value`, followed by a traceback, if any.

    Lines within an entry, such as in a path or an error, are indented, so that none can be taken for another entry.
    """

    def __init__(self, redact: Redaction) -> None:
        super().__init__()
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        text = f"{rfc3339(record.created)} {record.levelname} {_name(record)}: {record.getMessage()}"
        exact = record.name == _AUDIT
        for key, value in _extra(record).items():
            text += f" {key}={_quoted(str(value)) if exact else value}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return _plain(self.redact(text))


class JsonFormatter(logging.Formatter):
    """Formatter for one JSON document per line: `at`, `level`, `logger`, `message`, `exception`, and extra fields."""

    def __init__(self, redact: Redaction) -> None:
        super().__init__()
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": _name(record),
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: self._redacted(value) for name, value in document.items()})

    def _redacted(self, value: object) -> object:
        """Redact a value before it is serialized: JSON may escape characters of a secret."""
        return value if isinstance(value, bool | int | float | None) else self.redact(str(value))


def configure(level: str, style: str, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Log entries of `level` and above to `stream` (default: standard error). Replaces earlier configuration."""
    handler = logging.StreamHandler(stream or sys.stderr)
    redact = Redaction(secrets)
    handler.setFormatter(JsonFormatter(redact) if style == "json" else PlainFormatter(redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "asyncio", "alembic", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _quoted(text: str) -> str:
    """Quote `text` if it could be taken for several fields: callers choose names and paths."""
    return text if _WORD.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _name(record: logging.LogRecord) -> str:
    return record.name.removeprefix("orchestune.")


def _plain(text: str) -> str:
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text).replace("\n", "\n    ")


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _OWN and key != "color_message"}
