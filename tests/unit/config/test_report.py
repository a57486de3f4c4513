"""Mistakes that show only once a file was read find the line that they are about."""

from __future__ import annotations

import pytest

from orchestune.config.document.compose import compose
from orchestune.config.document.report import ProblemReport, located
from orchestune.errors import Problem

TEXT = """\
secrets: {KEY: env:MINE}
notify:
  - when: finished
    url: env:HOOK
mlflow:
  uri: env:PLACE
"""


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("secrets.KEY", (1, 16)),
        ("secrets.OTHER", (1, 10)),
        ("notify.0.url", (4, 10)),
        ("notify.3.url", (3, 3)),
        ("mlflow.uri", (6, 8)),
        ("mlflow.uri.deeper", (6, 8)),
    ],
)
def test_a_mistake_is_placed_where_its_key_leads_or_as_near_as_that(key: str, place: tuple[int, int]) -> None:
    problem = located(Problem("is missing", key), compose(TEXT, "experiment.yml", ProblemReport()))
    assert (problem.file, problem.line, problem.column) == ("experiment.yml", *place)
    assert (problem.message, problem.key) == ("is missing", key)


@pytest.mark.parametrize("key", ["elsewhere", "0", ""])
def test_a_mistake_that_is_about_no_key_of_the_file_has_no_place_in_it(key: str) -> None:
    problem = Problem("is missing", key)
    assert located(problem, compose(TEXT, "experiment.yml", ProblemReport())) == problem
