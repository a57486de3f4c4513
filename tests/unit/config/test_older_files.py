"""Files of SigOpt Orchestrate are read as if they were written today."""

from __future__ import annotations

from orchestune.domain.metrics import Metric
from orchestune.domain.resources import Resources
from orchestune.domain.space import Parameter
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
    found = loaded.specification
    assert set(found.space.parameters) == {
        Parameter("l1_ratio", "float", 0.0, 1.0, when=(("penalty", ("elasticnet",)),)),
        Parameter("alpha", "float", 1e-6, 0.1, log=True),
        Parameter("epochs", "int", 1, 9),
        Parameter("width", "categorical", choices=(16, 32, 64)),
        Parameter("loss", "categorical", choices=("hinge", "log")),
        Parameter("penalty", "categorical", choices=("l1", "elasticnet")),
    }
    assert found.metrics == (Metric("accuracy", "maximize", threshold=0.9),)
    assert (found.budget, found.parallelism) == (60, 2)
    assert found.resources == Resources(0.5, 512 * 2**20, 1)
    assert loaded.notes == (
        "this is the older spelling of SigOpt Orchestrate; it is read as the present one",
        "has no effect here: install, framework, sigopt",
        "parameters.epochs: a prior has no effect here",
        "metrics.runtime: need not be declared; whatever is reported is kept",
    )


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
    found = read(text).specification
    assert found.metrics == (Metric("loss", "minimize"),)
    assert (found.engine, found.labels) == ("random", {"team": "vision"})


def test_options_change_an_older_file_in_the_present_spelling() -> None:
    found = read(ORCHESTRATE, "budget=7", "parameters.epochs=1..3").specification
    assert found.budget == 7
    assert found.space.by_name["epochs"].high == 3


def test_mistakes_in_an_older_file_keep_their_lines() -> None:
    text = ORCHESTRATE.replace("{min: 1, max: 9}", "{min: 9, max: 1}").replace("observation_budget: 60", "tasks: []")
    assert problems(text) == [
        "experiment.yml:1:1: budget: is missing (say how many trials to run, for example budget: 40)",
        "experiment.yml:14:7: parameters.epochs: the minimum 9 must be less than the maximum 1",
        "experiment.yml:19:3: tasks: comes in a later version (leave it out)",
    ]


def test_what_has_no_name_or_comes_later_is_refused() -> None:
    text = ORCHESTRATE.replace("strategy: store", "strategy: constraint").replace("{name: loss, ", "{")
    text += "linear_constraints: [{type: less_than}]\n"
    found = problems(text)
    assert (
        "experiment.yml:10:17: metrics.runtime.strategy: the strategy 'constraint' comes in a later version" in found[0]
    )
    assert found[1:] == [
        "experiment.yml:16:7: parameters: expected a mapping with a name",
        "experiment.yml:27:1: constraints: comes in a later version (leave it out)",
    ]
