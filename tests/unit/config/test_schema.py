"""The shipped schema and the page follow from the table, and the schema judges as the parser does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from docs.writing import experiment_file
from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import plain
from orchestune.config.document.report import ProblemReport
from orchestune.config.keys import KEYS
from tests.unit.config.samples import ALPHA, GOOD, changed, problems, with_lines

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(ROOT.glob("examples/*/experiment.yml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    document = json.loads((ROOT / "src/orchestune/config/experiment.schema.json").read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def document(text: str) -> Any:
    return plain(compose(text, "file", ProblemReport()))


def test_the_page_speaks_of_every_key() -> None:
    page = experiment_file.page()
    for key in KEYS:
        assert f"| `{key.name}` |" in page
        for below in key.kind.keys:
            assert f"| `{below.name}` |" in page


def test_the_example_of_the_page_is_right() -> None:
    text = experiment_file.page().split("```yaml\n")[1].split("```")[0]
    assert problems(text) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_schema_accepts_every_example(validator: Draft202012Validator, path: Path) -> None:
    assert list(validator.iter_errors(document(path.read_text()))) == []


ACCEPTED = [
    GOOD,
    *(
        changed(ALPHA, spelling)
        for spelling in (
            "2..8",
            "-1.5..1e3",
            "1e-6..0.1:log",
            "0..1 step 0.1",
            "[a, 1, true]",
            "bool",
            "{type: bool}",
            "{min: 1, max: 3, step: 1, log: false}",
            "{choices: [a]}",
            "[a, b]\n  b: {min: 0.5, max: 1, when: {alpha: [a]}}",
        )
    ),
    *(
        changed("accuracy: maximize", metric)
        for metric in ("a/b: minimize", "a: {goal: minimize, take: mean:3, threshold: 1}")
    ),
    changed("run: python model.py {args}", "run: [a, 5, '{args}']"),
    changed("budget: 40", "engine: grid").replace(ALPHA, "1..5"),
    changed("budget: 40", "engine: {name: grid}").replace(ALPHA, "1..5"),
    *(
        with_lines(line)
        for line in (
            "parallelism: 2",
            "resources: {cpu: 500m, memory: 1.5Gi, gpu: 1}",
            "resources: {cpu: 2, gpu: {count: 0}}",
            "resources: {gpu: 0.25}",
            "resources: {cpu: 2, pin: true, gpu: {count: 0.5, type: a100, memory: 40Gi}}",
            "env: {A: 1, B: x, C: ''}",
            "secrets: [A]",
            "secrets: {A: env:B, B: {file: x}}",
            "timeout: 1h30m",
            "timeout: 5",
            "grace: 2.5",
            "retry: 3",
            "retry: {attempts: 0}",
            "retry: {oom: 2}",
            "retry: {attempts: 1, oom: 2, memory_factor: 1.25}",
            "stop: {max_failures: 1, target: -1.5, time: 2d, patience: 4}",
            "stop: {futile: {below: 0.6, after: 20}}",
            "early_stopping: wilcoxon",
            "early_stopping: {type: percentile, metric: accuracy, min_steps: 0.5, interval: 2, reduction: 2}",
            "try_first: []",
            "try_first: [{alpha: 0.01}]",
            "keep: a",
            "keep: [a, 'b/*.c', ..d]",
            "keep: []",
            "keep: {patterns: [a], limit: 5M}",
            "checkpoint: true",
            "checkpoint: 5m",
            "checkpoint: {every: 10}",
            "seed: 3",
            "engine: {name: tpe, startup: 5}",
            "priority: -5",
            "labels: {a.b/c: 1}",
            "code: {ignore: [x], limit: 5000}",
            "code: {ignore: x}",
            "timeout: 1e3",
        )
    ),
]

REJECTED = [
    "[]",
    changed("name: SGD", "name: [a]"),
    changed("budget: 40\n", ""),
    changed("run: python model.py {args}\n", ""),
    changed("run: python model.py {args}", "run: []"),
    changed("run: python model.py {args}", "run: {a: b}"),
    changed("run: python model.py {args}", "run: '  '"),
    changed("metrics:\n  accuracy: maximize\n", "metrics: {}\n"),
    changed("metrics:\n  accuracy: maximize\n", "metrics: [accuracy]\n"),
    *(
        changed(ALPHA, spelling)
        for spelling in (
            "5",
            "abc",
            "1..x",
            "1..2 lin",
            "[]",
            "[[a]]",
            "{type: double, min: 1, max: 2}",
            "{min: a, max: 2}",
            "{what: 1}",
            "{min: 1, max: 2, when: {}}",
            "{min: 1, max: 2, when: 5}",
            "1..2\n  9x: 1..2",
            "1..2\n  args: 1..2",
            "true",
        )
    ),
    *(
        changed("accuracy: maximize", metric)
        for metric in ("a: max", "a: {take: last}", "a: {goal: minimize, take: 3}", "step: minimize")
    ),
    *(
        with_lines(line)
        for line in (
            "unknown: 1",
            "nodes: 3",
            "folds: 0",
            "folds: {prune_after: 1}",
            "parallelism: 0",
            "parallelism: 1.5",
            "parallelism: '2'",
            "budget2: 3",
            "seed: -1",
            "resources: {cpu: 0}",
            "resources: {cpu: x}",
            "resources: {memory: lots}",
            "resources: {gpu: 1.5}",
            "resources: {gpu: {count: 1, type: []}}",
            "resources: [1]",
            "env: [A]",
            "env: {A: [b]}",
            "env: {1A: x}",
            "env: {ORCHESTUNE_X: x}",
            "secrets: {A: value}",
            "secrets: ['a b']",
            "secrets: {A: {env: B, file: C}}",
            "secrets: {A: {}}",
            "timeout: 0",
            "timeout: 5x",
            "timeout: [1]",
            "retry: -1",
            "retry: {}",
            "retry: {memory_factor: 1}",
            "retry: {oom: 11}",
            "stop: {x: 1}",
            "stop: {patience: 0}",
            "stop: {futile: {below: 0.6}}",
            "early_stopping: sometimes",
            "early_stopping: {min_steps: 1}",
            "early_stopping: {type: asha, min_steps: 0}",
            "early_stopping: {type: asha, reduction: 1}",
            "stop: {target: .x}",
            "try_first: {alpha: 1}",
            "try_first: [1]",
            "keep: [/a]",
            "keep: [../a]",
            "keep: [a/../b]",
            "keep: {keep_best: 1}",
            "keep: {patterns: []}",
            "keep: 5",
            "checkpoint: {every: x}",
            "checkpoint: [1]",
            "engine: magic",
            "engine: {options: 1}",
            "priority: x",
            "priority: 5000",
            "labels: [a]",
            "labels: {'a b': c}",
            "code: {limit: x}",
            "code: []",
        )
    ),
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_parser_and_schema_accept_the_same(validator: Draft202012Validator, text: str) -> None:
    assert problems(text) == []
    assert list(validator.iter_errors(document(text))) == []


@pytest.mark.parametrize("text", REJECTED)
def test_parser_and_schema_reject_the_same(validator: Draft202012Validator, text: str) -> None:
    assert problems(text) != []
    assert list(validator.iter_errors(document(text))) != []
