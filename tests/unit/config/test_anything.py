"""Any file becomes an experiment or one error for its reader."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestune.config.experiment_file import parse
from orchestune.config.keys import KEYS, LATER
from orchestune.config.sources.orchestrate import _MARKS
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput
from tests.unit.config.samples import GOOD
from tests.unit.config.test_older_files import ORCHESTRATE

FULL = (
    GOOD
    + "resources: {cpu: 1, memory: 2Gi, gpu: 1}\nenv: {A: b}\nsecrets: {C: env:D}\nstop: {time: 2h}\nretry: 1\n"
    + "try_first: [{alpha: 0.01}]\nkeep: {patterns: [a], keep_best: 2}\ncheckpoint: 5m\nengine: {name: tpe, x: 1}\n"
)
SLOW = settings(max_examples=150, suppress_health_check=list(HealthCheck))

NAMES = sorted(
    {key.name for key in KEYS}
    | {below.name for key in KEYS for below in key.kind.keys}
    | {*LATER, *_MARKS, "alpha", ""}
)
WORDS = st.sampled_from(
    [
        "1..5",
        "0.0..1 log",
        "1e-6..0.1 log",
        "bool",
        "maximize",
        "grid",
        "{args}",
        "{x} }",
        "5m",
        "2Gi",
        "..",
        "1e999",
        "env:A",
        "file:",
        "*",
        "..",
        "/",
        "0x",
        "mean:0",
        "${",
        "{{",
        "é",
        "\u2028",
        "\ud800",
        "\0",
        "\x85",
        "-",
        ": ",
        "#",
        "<<",
    ]
)
ATOMS = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(), st.integers(10**300, 10**301), st.floats(), st.text(max_size=8)
)
KEYWORDS = st.one_of(st.sampled_from(NAMES), st.text(max_size=6))
TREES: st.SearchStrategy[Any] = st.recursive(
    ATOMS, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYWORDS, below, max_size=5), max_leaves=25
)


def judge(text: str, *overrides: str) -> None:
    """Either an experiment that survives its way to the server, or an error with at least one problem."""
    error: BadInput | None = None
    try:
        specification = parse(text, "experiment.yml", overrides, {}).specification
    except BadInput as exc:
        error = exc
    if error is not None:
        assert error.problems
        assert all(problem.message for problem in error.problems)
        str(error).encode()
        return
    document = json.dumps(specification.to_json(), allow_nan=False)
    assert Specification.from_json(json.loads(document.encode())) == specification


@SLOW
@given(st.text())
def test_any_text(text: str) -> None:
    judge(text)


@SLOW
@given(
    st.lists(st.sampled_from([*'{}[]:,-?&*!|>%@`"#\n\t \\', "'", "a", "1", "- ", ": ", "\n  ", "\\u", "<<", "--- "]))
)
def test_any_heap_of_yaml_marks(parts: list[str]) -> None:
    judge("".join(parts))


@SLOW
@given(st.dictionaries(KEYWORDS, TREES, max_size=6))
def test_any_document(tree: dict[str, Any]) -> None:
    judge(json.dumps(tree))


@SLOW
@given(st.sampled_from([key.name for key in KEYS]), TREES)
def test_any_value_in_the_place_of_a_right_one(name: str, tree: Any) -> None:
    judge(GOOD, f"{name}={json.dumps(tree)}")


@SLOW
@given(st.sampled_from(["1..5", "0.5..9", "{min: 1, max: 9}", "[a, b]", "bool"]), TREES)
def test_any_parameter_beside_a_right_one(spelling: str, tree: Any) -> None:
    judge(GOOD, f"parameters.other={spelling}", f"parameters.more={json.dumps(tree)}")


@SLOW
@given(st.sampled_from([FULL, ORCHESTRATE]), st.data())
def test_any_right_file_with_a_few_changes(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 8, len(text))))
        text = text[:start] + data.draw(st.text(max_size=4) | WORDS) + text[end:]
    judge(text)


@SLOW
@given(st.text(), st.text())
def test_any_option(key: str, value: str) -> None:
    judge(FULL, f"{key}={value}", key)
