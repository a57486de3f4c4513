"""Statements about the parameters of a finished search, requested by commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.scene import launch, reached, write
from tests.testbeds.home import Home

COMMAND = "[ $ORCHESTUNE_PARAM_LAYERS -gt 48 ] && exit 3; echo loss={x} seconds=1"


@pytest.fixture
def searched(shared_home: Home, tmp_path: Path) -> tuple[Home, str]:
    """A search in which `x` decides, `y` does not, and many layers fail."""
    space = {"x": "0.0..1.0", "y": "0.0..1.0", "layers": "1..64"}
    metrics = {"loss": "minimize", "seconds": "minimize"}
    project = write(tmp_path / "insight", COMMAND, parameters=space, metrics=metrics, budget=60, parallelism=4)
    handle = launch(shared_home, project)
    reached(shared_home, handle, "completed")
    return shared_home, handle


def test_a_search_says_which_parameters_matter_and_where_it_fails(searched: tuple[Home, str]) -> None:
    home, handle = searched
    importances = home.json("importance", handle)
    assert importances["metric"] == "loss"
    assert importances["parameters"][0]["name"] == "x"
    explained = home.json("explain", handle)
    assert explained["parameters"] == importances["parameters"]
    codes = {(item["code"], item["parameter"]) for item in explained["findings"]}
    assert {("direction", "x"), ("failures", "layers")} <= codes
    assert ("direction", "y") not in codes
    explanation = home.run("explain", handle).stdout
    assert all(item["message"] in explanation for item in explained["findings"])


def test_a_metric_that_is_always_the_same_weighs_nothing_and_an_unknown_one_is_refused(
    searched: tuple[Home, str],
) -> None:
    home, handle = searched
    output = home.run("importance", handle, "--metric", "seconds").stdout
    assert "the seconds of the 46 completed trials does not vary with the parameters" in output
    refused = home.run("importance", handle, "--metric", "speed", "--json", expect=2)
    assert json.loads(refused.stderr)["error"]["hint"] == "it has loss, seconds"


def test_an_experiment_is_compared_with_another_one(searched: tuple[Home, str]) -> None:
    home, handle = searched
    both = home.json("compare", handle, handle)["experiments"]
    assert both[0] == both[1]
    assert both[0]["best"] == home.json("status", handle)["best"][0]["metrics"]["loss"]["value"]
    assert both[0]["compute_seconds"] > 0
