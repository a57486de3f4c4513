"""Accepted text: YAML 1.2 words and numbers, and guards against files that are no experiment."""

from __future__ import annotations

import math

import pytest

from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import plain
from orchestune.config.document.report import ProblemReport
from tests.unit.config.samples import GOOD, changed, problems, read


def value(text: str) -> object:
    return plain(compose(text, "file", ProblemReport()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-6", 1e-6),
        ("1E6", 1e6),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("007", 7),
        ("0o17", 15),
        ("0x1f", 31),
        ("+3", 3),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("1" * 5000, math.inf),
        ("|\n  5\n", "5\n"),
    ],
)
def test_a_word_means_what_the_core_schema_says(text: str, expected: object) -> None:
    yaml_value = value(text)
    assert yaml_value == expected
    assert type(yaml_value) is type(expected)


def test_an_old_yaml_directive_changes_nothing() -> None:
    assert value("%YAML 1.1\n---\na: [on, 0o17, 1e3]") == {"a": ["on", 15, 1000.0]}


def test_anchors_and_aliases_may_be_used() -> None:
    text = changed("name: SGD", "labels: &x {a: b}") + "env: *x\n"
    assert read(text).specification.env == {"a": "b"}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty (an experiment needs at least run, parameters, metrics and budget)"),
        ("# nothing\n", "2:1: the file is empty (an experiment needs at least run, parameters, metrics and budget)"),
        (
            "- a\n",
            (
                "1:1: found a list, expected a mapping from keys to values"
                " (an experiment needs at least run, parameters, metrics and budget)"
            ),
        ),
        (
            changed("budget: 40", "\tbudget: 40"),
            "7:1: tab used for indentation (YAML allows only spaces) (replace each tab with two spaces)",
        ),
        (
            changed("  accuracy", "\taccuracy"),
            "6:1: tab used for indentation (YAML allows only spaces) (replace each tab with two spaces)",
        ),
        (
            changed("budget: 40", "budget: 40: 3"),
            (
                "7:11: not valid YAML: mapping values are not allowed here"
                " (quote values that contain ': ', and check the indentation)"
            ),
        ),
        (changed("name: SGD", "name: [SGD"), "2:4: not valid YAML: expected ',' or ']', but got ':'"),
        (changed("name: SGD", "name: 'SGD"), "8:1: not valid YAML: found unexpected end of stream"),
        (
            changed("name: SGD", "name: @SGD"),
            "1:7: not valid YAML: found character '@' that cannot start any token (quote the value)",
        ),
        (
            changed("name: SGD", 'name: "\\d"'),
            (
                "1:9: not valid YAML: found unknown escape character 'd'"
                " (a backslash starts an escape sequence in double quotes; use single quotes, such as '\\d+')"
            ),
        ),
        (GOOD + "---\nmore: 1\n", "8:1: a second YAML document starts here (expected one document)"),
        (
            changed("name: SGD", "name: SGD\nkeep: [*.ckpt]"),
            "2:8: undefined alias '.ckpt' (no such anchor before this line) (quote text that starts with *)",
        ),
        (
            changed("name: SGD", "name: SGD\ncode: {ignore: [*]}"),
            (
                "2:18: not valid YAML: expected alphabetic or numeric character, but found ']'"
                " (quote text that starts with * or &)"
            ),
        ),
        (
            changed("name: SGD", "name: SGD\ncode: {ignore: !data }"),
            ("2:16: tag '!data' is not allowed (expected a scalar tag such as !!str) (quote text that starts with !)"),
        ),
        (
            changed("name: SGD", "name: *x"),
            "1:7: undefined alias 'x' (no such anchor before this line) (quote text that starts with *)",
        ),
        (changed("name: SGD", "name: &x [*x]"), "1:11: the alias 'x' refers to a value that contains it"),
        (changed("name: SGD", "? [a]\n: b"), "1:3: a mapping key must be a single value, not a list or a mapping"),
        (
            changed("name: SGD", "name: !!python/name:os.system x"),
            (
                "1:7: tag 'tag:yaml.org,2002:python/name:os.system' is not allowed"
                " (expected a scalar tag such as !!str) (quote text that starts with !)"
            ),
        ),
        (
            changed("name: SGD", r'name: "a\0b"'),
            "1:7: invalid character in text (U+0000 or a lone surrogate)",
        ),
        (
            changed("name: SGD", r'name: "\ud800"'),
            "1:7: invalid character in text (U+0000 or a lone surrogate)",
        ),
        (changed("name: SGD", r'name: "\UFFFFFFFF"'), "1:1: not valid YAML from here"),
        (BOMB, "5:28: more than 50000 values (each use of an alias counts)"),
        ("[" * 10_000, "1:34: nested too deeply (maximum 32 levels)"),
        ("a: {" * 10_000, "1:129: nested too deeply (maximum 32 levels)"),
        ("x: 1\n" * 60_000, "25000:4: more than 50000 values (each use of an alias counts)"),
    ],
)
def test_what_is_no_yaml_of_an_experiment_gets_an_error_with_its_place(text: str, message: str) -> None:
    messages = problems(text)
    assert f"experiment.yml:{message}" in messages


def test_a_key_that_stands_twice_is_told_with_its_path() -> None:
    text = changed("  accuracy: maximize", "  accuracy: maximize\n  accuracy: minimize")
    assert problems(text) == [
        "experiment.yml:7:3: metrics.accuracy: duplicate key (first on line 6) (remove one of them)"
    ]
