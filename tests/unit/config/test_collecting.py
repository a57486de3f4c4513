"""The section `collect`."""

from __future__ import annotations

import pytest

from orchestune.domain.specification.command_channels import MetricSource
from orchestune.domain.specification.experiment import Specification
from tests.unit.config.samples import problems, read, with_lines


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("collect: {csv: logs/metrics.csv}", [("csv", "logs/metrics.csv")]),
        ("collect: {tensorboard: ./runs/}", [("tensorboard", "runs")]),
        ("collect:\n- {json: a.json}\n- {regex: '(?P<a>.)'}", [("json", "a.json"), ("regex", "(?P<a>.)")]),
    ],
)  # fmt: skip
def test_what_is_collected(lines: str, expected: list[tuple[str, str]]) -> None:
    specification = read(with_lines(lines)).specification
    assert [(source.kind, source.where) for source in specification.collect] == expected
    assert Specification.from_json(specification.to_json()).collect == specification.collect


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("collect: {regex: '('}", "collect.regex: not a valid regular expression: "),
        (
            "collect: {regex: '(?P<a>x{99999999999})'}",
            "collect.regex: not a valid regular expression: the repetition number",
        ),
        ("collect: {regex: 'loss (.)'}", "collect.regex: has no group named after a metric"),
        ("collect: {csv: /tmp/x.csv}", "collect.csv: must be inside the trial's folder"),
        ("collect: {csv: '*.csv'}", "collect.csv: starts with a wildcard"),
        ("collect: {tensorbord: runs}", "(did you mean tensorboard?)"),
    ],
)
def test_mistakes(lines: str, message: str) -> None:
    [problem] = problems(with_lines(lines))
    assert message in problem


@pytest.mark.parametrize(
    ("where", "private"), [("runs", "runs"), ("logs/*/m.csv", "logs"), ("a/b.csv", "a/b.csv"), ("a/b?/c", "a")]
)
def test_what_only_the_trial_may_write(where: str, private: str) -> None:
    assert MetricSource("csv", where).private == private
    assert MetricSource("regex", where).private == ""


def test_what_python_may_read_otherwise_some_day_is_no_mistake() -> None:
    """A warning would be an error here."""
    [source] = read(with_lines("collect: {regex: 'loss[[] (?P<a>.)'}")).specification.collect
    assert source.where == "loss[[] (?P<a>.)"
