"""Every request that makes, changes and removes the paper's cluster, against files that people can read.

`ORCHESTUNE_WRITE_GOLDEN=1` updates them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.integration.aws import stage
from tests.testbeds.aws.fake import Fake
from tests.testbeds.aws.wire import Call

GOLDEN = Path(__file__).parent / "golden"
_ID = re.compile(r"\b(vpc|subnet|igw|nat|rtb|rtbassoc|sg|lt|eni|eipalloc|vpce|i|a)-[0-9a-f]{8,17}\b")
_MARKS = "orchestune.dev/maker", "orchestune.dev/beat"


def requests(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Return the requests, with ids numbered in the order in which they appeared."""
    identifiers: dict[str, str] = {}
    numbers: dict[str, int] = {}

    def named(match: re.Match[str]) -> str:
        if match[0] not in identifiers:
            numbers[match[1]] = numbers.get(match[1], 0) + 1
            identifiers[match[0]] = f"{match[1]}-{numbers[match[1]]}"
        return identifiers[match[0]]

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            if value.get("Key") in _MARKS:
                return {"Key": value["Key"], "Value": "…"}
            return {name: plain(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if isinstance(value, bytes):
            return "…"
        if isinstance(value, str) and key.endswith(("Document", "PolicyText", "lifecyclePolicyText")):
            return plain(json.loads(value))
        if key.lower().endswith("token") or key == "Runtime":
            return "…"
        return _ID.sub(named, value) if isinstance(value, str) else value

    return [{call.name: plain(call.parameters)} for call in calls if stage.changes(call)]


def check(name: str, calls: Iterable[Call]) -> None:
    text, file = (
        yaml.safe_dump(requests(calls), sort_keys=False, allow_unicode=True, width=120),
        GOLDEN / f"{name}.yaml",
    )
    if os.environ.get("ORCHESTUNE_WRITE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


def test_requests_are_those_of_the_golden_files(aws: Fake) -> None:
    stage.create()
    journal_length = len(aws.journal)
    check("create", aws.journal[:journal_length])
    smaller = stage.with_pools(stage.CPU)
    stage.provisioner().update(smaller, stage.RecordedEvents(), lambda pool, beat: None)
    changed = len(aws.journal)
    check("update", aws.journal[journal_length:changed])
    stage.destroy()
    check("destroy", aws.journal[changed:])


def test_requests_for_a_cluster_that_destroys_itself_are_those_of_the_golden_file(aws: Fake) -> None:
    stage.create(stage.RETIRING)
    ours = [call for call in aws.journal if any(part in repr(call.parameters) for part in ("-retirement", "-server"))]
    check("retirement", ours)
