"""The contents of a release, and the rights to publish it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import orchestune
from orchestune.worker import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(workflow: str) -> list[dict[str, Any]]:
    return [step for job in WORKFLOWS[workflow]["jobs"].values() for step in job.get("steps", ())]


def test_the_version_is_written_in_one_place() -> None:
    assert orchestune.__version__ == VERSION
    assert "version" in PROJECT["project"]["dynamic"]
    place = ROOT / PROJECT["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{VERSION}"' in place.read_text()
    others = [path for path in (ROOT / "src").rglob("*.py*") if path != place and path.suffix in (".py", ".pyi")]
    assert [path for path in others if f'= "{VERSION}"' in path.read_text()] == []


def test_the_program_has_the_name_of_the_distribution_so_that_pipx_and_uvx_run_it() -> None:
    assert list(PROJECT["project"]["scripts"]) == [PROJECT["project"]["name"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_makes_targets_that_exist_and_may_only_read_unless_a_job_says_so(name: str) -> None:
    commands = [re.sub(r"\$\{\{.*?\}\}", "…", step["run"]) for step in steps(name) if "run" in step]
    make_targets = {word for command in commands for word in re.findall(r"\bmake (?:\S+=\S+ )?([a-z-]+)", command)}
    assert make_targets <= TARGETS
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}


def test_every_python_that_is_declared_is_tested() -> None:
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
    assert WORKFLOWS["test"]["jobs"]["quick"]["strategy"]["matrix"]["python"] == declared


def test_pypi_gets_a_release_from_a_tag_by_trusted_publishing_after_all_tests_have_passed() -> None:
    release = WORKFLOWS["release"]
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as a boolean
    job = release["jobs"]["pypi"]
    assert set(job["needs"]) == {"build", "test"}
    assert release["jobs"]["test"]["uses"] == "./.github/workflows/test.yml"
    assert "workflow_call" in WORKFLOWS["test"][True]
    assert (job["permissions"], job["environment"]["name"]) == ({"id-token": "write"}, "pypi")
    [publish] = [step for step in job["steps"] if "pypi-publish" in step.get("uses", "")]
    assert "with" not in publish  # no user and no password
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()
