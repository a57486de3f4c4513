"""Every SQL statement lives in `store/`: one place knows the columns."""

from __future__ import annotations

import re
from pathlib import Path

import orchestune

SOURCES = Path(orchestune.__file__).parent
STATEMENT = re.compile(r"\bSELECT [\w*.(]|\bINSERT INTO \w|\bUPDATE \w+ SET\b|\bDELETE FROM \w")
ELSEWHERE = ("store", "config/foreign")  # studies of Optuna are its databases


def test_no_statement_stands_outside_of_the_store() -> None:
    statements = [
        f"{path.relative_to(SOURCES)}: {match[0]}"
        for path in sorted(SOURCES.rglob("*.py"))
        if not path.relative_to(SOURCES).as_posix().startswith(ELSEWHERE)
        for match in STATEMENT.finditer(path.read_text())
    ]
    assert statements == []
