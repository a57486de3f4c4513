"""Large documents are encoded in parts, to the same bytes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from orchestune.server import answers
from orchestune.server.answers import encoded, encoded_in_parts


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"a": {}, "b": []},
        {2: 2, None: 3, True: 4, 1.5: "x", 'é"': "\\"},
        {"a": {"b": {"c": [1, {"d": []}]}}},
        list(range(2500)),
        tuple(range(1001)),
        {"x": [[]] * 1001, "y": {"z": [{"a": 1}] * 3000}},
        "text",
        None,
        1.5,
        {"a": [1.0] * 1500 + [math.inf, -math.inf, math.nan]},
    ],
)
def test_the_parts_are_the_document(document: Any) -> None:
    assert encoded_in_parts(document) == encoded(document)


def test_no_part_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a trial may take 16 MiB, which kept the event loop for a third of a second."""
    sizes = list[int]()
    encode = answers._ENCODER.encode
    monkeypatch.setattr(answers._ENCODER, "encode", lambda part: sizes.append(len(encode(part))) or encode(part))  # type: ignore[func-returns-value, redundant-expr]
    encoded_in_parts({"number": 1, "artifacts": [{"path": f"file{number}", "size": 1} for number in range(50_000)]})
    assert max(sizes) < 50_000
