"""Files of SigOpt Orchestrate are read as if they were written today."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.config.experiment_file import load
from orchestune.config.sections.placement import Build
from orchestune.domain.resources.resources import Resources
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.priors import Prior
from orchestune.domain.specification.metrics import Metric
from orchestune.errors import BadInput
from tests.unit.config.samples import problems, read

ORCHESTRATE = """\
name: SGD Classifier
install: pip install -r requirements.txt
framework: python
run: python model.py
optimization:
  metrics:
    - name: accuracy
      threshold: 0.9
    - name: runtime
      strategy: store
  parameters:
    - {name: l1_ratio, type: double, bounds: {min: 0, max: 1}, conditions: {penalty: [elasticnet]}}
    - {name: alpha, type: double, bounds: {min: 1e-6, max: 0.1}, transformation: log}
    - {name: epochs, type: int, bounds: {min: 1, max: 9}, prior: {name: normal, mean: 3, scale: 1}}
    - {name: width, type: int, grid: [16, 32, 64]}
    - {name: loss, type: categorical, categorical_values: [{name: hinge}, {name: log}]}
  conditionals:
    - {name: penalty, values: [l1, elasticnet]}
  observation_budget: 60
  parallel_bandwidth: 2
resources_per_model:
  requests: {cpu: 500m, memory: 512Mi}
  limits: {cpu: 2, memory: 1Gi}
  gpus: 1
sigopt:
  api_token: whatever
"""


def test_a_file_of_orchestrate_becomes_the_same_experiment() -> None:
    loaded = read(ORCHESTRATE)
    specification = loaded.specification
    assert set(specification.space.parameters) == {
        Parameter("l1_ratio", "float", 0.0, 1.0, when=(("penalty", ("elasticnet",)),)),
        Parameter("alpha", "float", 1e-6, 0.1, log=True),
        Parameter("epochs", "int", 1, 9, prior=Prior("normal", (3.0, 1.0))),
        Parameter("width", "categorical", choices=(16, 32, 64)),
        Parameter("loss", "categorical", choices=("hinge", "log")),
        Parameter("penalty", "categorical", choices=("l1", "elasticnet")),
    }
    assert specification.metrics == (Metric("accuracy", "maximize", threshold=0.9),)
    assert (specification.budget, specification.parallelism) == (60, 2)
    assert specification.resources == Resources(0.5, 512 * 2**20, 1)
    assert loaded.build.install == ("pip install -r requirements.txt",)
    assert loaded.notes == (
        "file in the format of SigOpt Orchestrate; converted to the current format",
        "no effect: framework, sigopt",
        "metrics.runtime: need not be declared; all reported values are recorded",
    )


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ("{name: normal, mean: 0.09, scale: 0.05}", Prior("normal", (0.09, 0.05))),
        ("{name: beta, shape_a: 2, shape_b: 5}", Prior("beta", (2.0, 5.0))),
    ],
)
def test_a_prior_is_the_prior_of_here(prior: str, expected: Prior) -> None:
    text = ORCHESTRATE.replace("max: 0.1}", f"max: 0.1}}, prior: {prior}")
    assert read(text).specification.space.by_name["alpha"].prior == expected


def test_a_prior_without_a_counterpart_is_told_with_its_place() -> None:
    with pytest.raises(BadInput) as error:
        read(ORCHESTRATE.replace("name: normal, mean: 3, scale: 1", "name: laplace, mean: 3, scale: 1"))
    assert "parameters.epochs.prior" in str(error.value)


def test_a_prior_of_a_grid_is_left_out_and_told() -> None:
    loaded = read(
        ORCHESTRATE.replace("grid: [16, 32, 64]", "grid: [16, 32, 64], prior: {name: normal, mean: 1, scale: 1}")
    )
    assert loaded.specification.space.by_name["width"].prior is None
    assert "parameters.width: a prior has no effect on a grid" in loaded.notes


def test_a_later_file_with_lists_on_top_is_read_too() -> None:
    text = """\
name: x
run: python x.py
parameters: [{name: a, type: int, bounds: {min: 1, max: 5}}]
metrics: [{name: loss, objective: minimize}]
budget: 5
type: random
metadata: {team: vision}
"""
    specification = read(text).specification
    assert specification.metrics == (Metric("loss", "minimize"),)
    assert (specification.engine, specification.labels) == ("random", {"team": "vision"})


EXPERIMENT = """\
name: My Experiment
project: demo
parameters: [{name: a, type: int, bounds: {min: 1, max: 5}}]
metrics: [{name: loss, objective: minimize}]
budget: 5
"""
RUN = "name: My Run\nrun: python x.py\nimage: mine\nresources: {gpus: 1, requests: {cpu: 2}}\n"


def test_the_command_of_the_later_client_stands_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "experiment.yml").write_text(EXPERIMENT)
    (tmp_path / "run.yml").write_text(RUN)
    loaded = load(tmp_path / "experiment.yml")
    assert loaded.specification.run == "python x.py"
    assert loaded.specification.resources == Resources(2.0, None, 1)
    assert loaded.build == Build()
    assert loaded.notes[1:] == (
        "no effect: project",
        "the command comes from run.yml",
        "no effect: name, image of run.yml",
    )


def test_the_dockerfile_beside_it_makes_the_image_as_it_did(tmp_path: Path) -> None:
    (tmp_path / "experiment.yml").write_text(EXPERIMENT)
    (tmp_path / "run.yml").write_text(RUN)
    (tmp_path / "Dockerfile").write_text("FROM python:3.9\n")
    assert load(tmp_path / "experiment.yml").build.dockerfile == "Dockerfile"


def test_mistakes_in_the_file_of_the_command_name_that_file(tmp_path: Path) -> None:
    (tmp_path / "experiment.yml").write_text(EXPERIMENT)
    (tmp_path / "run.yml").write_text("run: python x.py {b}\n")
    with pytest.raises(BadInput) as error:
        load(tmp_path / "experiment.yml")
    assert f"{tmp_path}/run.yml:1:6: run: unknown placeholder '{{b}}'" in str(error.value)


def test_a_file_with_a_command_looks_at_no_other(tmp_path: Path) -> None:
    (tmp_path / "experiment.yml").write_text(EXPERIMENT + "run: python own.py\n")
    (tmp_path / "run.yml").write_text(RUN)
    assert load(tmp_path / "experiment.yml").specification.run == "python own.py"


def test_options_change_an_older_file_in_the_present_spelling() -> None:
    specification = read(ORCHESTRATE, "budget=7", "parameters.epochs=1..3").specification
    assert specification.budget == 7
    assert specification.space.by_name["epochs"].high == 3


def test_mistakes_in_an_older_file_keep_their_lines() -> None:
    text = ORCHESTRATE.replace("{min: 1, max: 9}", "{min: 9, max: 1}").replace(
        "observation_budget: 60", "num_solutions: 1"
    )
    assert problems(text) == [
        "experiment.yml:1:1: budget: is missing (set the number of trials, for example budget: 40)",
        "experiment.yml:14:7: parameters.epochs: the minimum 9 must be less than the maximum 1",
    ]


def test_what_has_no_name_or_comes_later_is_refused() -> None:
    text = ORCHESTRATE.replace("strategy: store", "strategy: constraint").replace("{name: loss, ", "{")
    text += "linear_constraints: [{type: less_than}]\n"
    messages = problems(text)
    assert "experiment.yml:10:17: metrics.runtime.strategy: a constraint needs a threshold" in messages[0]
    assert messages[1:] == [
        "experiment.yml:16:7: parameters: expected a mapping with a name",
        "experiment.yml:27:22: constraints[0]: found a mapping, expected a condition such as lr * 2 + momentum <= 1",
    ]


def test_linear_constraints_are_conditions() -> None:
    terms = "[{name: epochs, weight: 2}, {name: epochs, weight: -0.5}]"
    text = ORCHESTRATE + f"linear_constraints: [{{type: less_than, threshold: 9, terms: {terms}}}]\n"
    specification = read(text).specification
    assert specification.space.texts() == ["2 * {epochs} + -0.5 * {epochs} <= 9"]
