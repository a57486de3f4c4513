from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.server import logs

TOKEN = "the-token-of-an-owner"


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(style: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level, style, [TOKEN], stream)
    return stream


def test_a_json_entry_is_one_document_a_line_with_what_it_adds() -> None:
    stream = written("json")
    logging.getLogger("orchestune.server").warning("slow %s", "request", extra={"path": "/x", "seconds": 1.5})
    document = json.loads(stream.getvalue())
    assert document.pop("at").endswith("Z")
    assert document == {
        "level": "warning",
        "logger": "server",
        "message": "slow request",
        "path": "/x",
        "seconds": 1.5,
    }


@pytest.mark.parametrize("style", ["json", "plain"])
def test_a_traceback_comes_along(style: str) -> None:
    stream = written(style)
    try:
        raise ZeroDivisionError("by hand")
    except ZeroDivisionError:
        logging.getLogger("orchestune.server").exception("it failed")
    assert "ZeroDivisionError: by hand" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1 or style == "plain"


def test_a_plain_entry_reads_well() -> None:
    stream = written("plain")
    logging.getLogger("orchestune.server").info("serving", extra={"url": "http://h:1"})
    assert stream.getvalue().endswith("Z INFO server: serving url=http://h:1\n")


def test_nothing_that_an_entry_quotes_looks_like_another_entry() -> None:
    stream = written("plain")
    quoted = "/x\n2026-01-01T00:00:00.000Z INFO server: ended\x1b[2J"
    logging.getLogger("orchestune.server").warning("GET %s failed", quoted, extra={"path": quoted})
    first, *others = stream.getvalue().splitlines()
    assert " WARNING server: GET /x" in first and len(others) == 2
    assert all(line.startswith("    2026") for line in others) and "\x1b" not in stream.getvalue()


def test_no_error_that_an_entry_tells_looks_like_another_entry() -> None:
    stream = written("plain")
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z INFO server: ended\x1b[2J")
    except ValueError:
        logging.getLogger("orchestune.server").exception("it failed")
    _, *others = stream.getvalue().splitlines()
    assert all(line.startswith("    ") for line in others) and "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "plain"])
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"got {TOKEN}", TOKEN),
        ("Authorization: Bearer abc.def", "abc.def"),
        ("POST /api/v1/report/0190/5f5f5f failed", "5f5f5f"),
        ("postgresql://orchestune:hunter2@db/x is away", "hunter2"),
    ],
)
def test_no_secret_is_written(style: str, text: str, secret: str) -> None:
    stream = written(style)
    logging.getLogger("x").error(text)
    logging.getLogger("x").error("more", extra={"detail": text})
    assert secret not in stream.getvalue()
    assert stream.getvalue().count("***") == 2
    if style == "json":
        assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == ["error"] * 2


@pytest.mark.parametrize("style", ["json", "plain"])
def test_no_secret_is_written_however_it_is_spelled_in_json(style: str) -> None:
    secret = 'of"hunter2\\and-Zoë\u2028'
    stream = io.StringIO()
    logs.configure("info", style, [secret], stream)
    try:
        raise ValueError(f"not {secret}")
    except ValueError:
        logging.getLogger("x").exception("got %s", secret, extra={"detail": Path(secret), "seconds": 1.5})
    assert "hunter2" not in stream.getvalue()
    if style == "json":
        assert json.loads(stream.getvalue())["seconds"] == 1.5


def test_a_secret_that_is_a_word_of_the_log_breaks_none_of_its_documents() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", ['"', "level"], stream)
    logging.getLogger("x").warning('the "level"')
    assert json.loads(stream.getvalue())["message"] == "the *********"


def test_the_level_holds_and_libraries_say_what_matters_only() -> None:
    stream = written("plain", "warning")
    logging.getLogger("orchestune.server").info("not this")
    assert stream.getvalue() == ""
    stream = written("plain", "info")
    logging.getLogger("uvicorn.error").info("not this")
    logging.getLogger("orchestune.server").info("this")
    assert stream.getvalue().count("\n") == 1
