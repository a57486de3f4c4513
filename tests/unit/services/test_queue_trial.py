"""A configuration that a user queues, within the budget."""

from __future__ import annotations

import pytest

from orchestune.errors import Conflict
from orchestune.services.commands.change_experiment import resume
from orchestune.services.commands.queue_trial import queue_trial
from tests.contract.world import CoreWorld

PARAMETERS = {"x": 0.123}


def test_it_takes_the_place_of_the_last_suggestion_that_nobody_has_begun(world: CoreWorld) -> None:
    experiment = world.create(budget=4, parallelism=1, engine="random")
    world.tick(3)
    assert [trial["state"] for trial in world.trials(experiment)] == ["queued"] * 4
    trial = queue_trial(world.core, experiment, PARAMETERS, "ada")
    assert (trial["number"], trial["parameters"], trial["source"]) == (5, PARAMETERS, "user")
    displaced = world.trials(experiment)[3]
    assert displaced["state"] == "cancelled"
    assert displaced["reason"]["message"] == "replaced by a configuration that was queued by ada"
    status = world.run(experiment)
    assert (status["state"], status["counts"]["completed"], status["counts"]["cancelled"]) == ("completed", 4, 1)
    assert world.trials(experiment)[4]["state"] == "completed"


def test_nothing_that_runs_or_that_a_user_asked_for_gives_way(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1, engine="random")
    world.tick(3)
    [(_, lease)] = world.lease()
    assert queue_trial(world.core, experiment, PARAMETERS, "ada")["number"] == 3
    with pytest.raises(Conflict, match="the budget of 2 trials is used up: 0 finished, 2 running or"):
        queue_trial(world.core, experiment, {"x": 0.5}, "ada")
    assert [trial["state"] for trial in world.trials(experiment)] == ["running", "cancelled", "queued"]
    assert lease["trial"] == 1


def test_one_that_a_rule_ended_is_told_what_goes_on_with_it(world: CoreWorld) -> None:
    experiment = world.create(budget=9, stop={"target": 2.0})
    assert world.run(experiment)["reason"]["code"] == "target"
    with pytest.raises(Conflict, match="is completed") as refused:
        queue_trial(world.core, experiment, PARAMETERS, "ada")
    assert "--warm-start" in refused.value.hint
    assert world.status(experiment) == resume(world.core, experiment, "ada"), "it would change nothing"


def test_the_program_gets_each_value_as_its_parameter_spells_it(world: CoreWorld) -> None:
    """`--layers=2.0` is no whole number to a program."""
    parameters = [
        {"name": "layers", "type": "int", "min": 1, "max": 8},
        {"name": "lr", "type": "float", "min": 0.0, "max": 1.0},
    ]
    experiment = world.create(budget=4, parallelism=1, engine="random", parameters=parameters, run="true {args}")
    trial = queue_trial(world.core, experiment, {"layers": 2.0, "lr": 1}, "ada")
    assert repr(trial["parameters"]) == repr({"layers": 2, "lr": 1.0})
