"""The events that a dozen and more scenarios leave in the record of an experiment, and what became of its trials."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestune.ports.backend import WorkerLoss
from orchestune.services.commands import change_experiment, queue_trial, rerun_trial, stop_trial
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.commands.rerun_trial import Rerun
from tests.golden.expected_files import Golden
from tests.golden.stage import FAILED, PREEMPTED, Document, Stage

RULE: Document = {"type": "asha", "min_steps": 1, "reduction": 2}
Scenario = Callable[[Stage], list[str]]
SCENARIOS: dict[str, Scenario] = {}
"""by the name of the expected file"""


def scenario(function: Scenario) -> Scenario:
    """Add a scenario under its name."""
    SCENARIOS[function.__name__] = function
    return function


@scenario
def finish(stage: Stage) -> list[str]:
    experiment = stage.create(budget=3, parallelism=2)
    first, second = stage.two()
    leases = first.lease(), second.lease()
    first.work(beats=[first.started(leases[0])])
    first.work(beats=[first.measured(leases[0], 0.5, 1)])
    first.finish(leases[0], points=[[1, "loss", 0.25, 2, None]])
    second.finish(leases[1])
    first.finish(first.lease())
    _end(stage)
    return [experiment]


@scenario
def fail(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    worker.finish(worker.lease(), **FAILED)
    worker.finish(worker.lease())
    _end(stage)
    return [experiment]


@scenario
def fail_every_trial(stage: Stage) -> list[str]:
    experiment = stage.create(budget=5, stop={"max_failures": 2})
    worker = stage.worker()
    for _ in range(2):
        worker.finish(worker.lease(), **FAILED)
    _end(stage)
    return [experiment]


@scenario
def fail_for_a_missing_metric_pauses_the_experiment(stage: Stage) -> list[str]:
    experiment = stage.create(budget=3)
    worker = stage.worker()
    worker.finish(worker.lease(), points=[], tail="done\n")
    _end(stage)
    return [experiment]


@scenario
def retry(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1, retries=2)
    worker = stage.worker()
    for _ in range(2):
        worker.finish(worker.lease(), **FAILED)
        stage.pass_time(10)
    worker.finish(worker.lease())
    _end(stage)
    return [experiment]


@scenario
def lost_worker(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.lease()
    stage.silence(20)
    stage.world.backend.gone[worker.id] = "killed by signal 9"
    stage.tick()
    stage.pass_time(60)
    other = stage.worker()
    other.finish(other.lease())
    _end(stage)
    return [experiment]


@scenario
def lost_worker_that_comes_back(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    worker.finish(lease)
    _end(stage)
    return [experiment]


@scenario
def lost_worker_five_times_pauses_the_experiment(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    for _ in range(5):
        worker = stage.worker()
        lease = worker.lease()
        worker.work(beats=[worker.started(lease)])
        stage.world.backend.gone[worker.id] = "killed by signal 9"
        stage.tick()
        stage.pass_time(120)
    _end(stage)
    return [experiment]


@scenario
def worker_that_cannot_be_started(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    stage.tick()
    worker = stage.process()
    stage.world.backend.gone[worker.id] = "no such image"
    stage.world.backend.faults[worker.id] = WorkerLoss.REFUSED
    _end(stage)
    return [experiment]


@scenario
def preempted_worker(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.lease()
    stage.world.backend.gone[worker.id] = "the node was preempted"
    stage.world.backend.faults[worker.id] = WorkerLoss.PLACE
    stage.tick()
    stage.pass_time(60)
    other = stage.worker()
    other.finish(other.lease())
    _end(stage)
    return [experiment]


@scenario
def out_of_memory(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.lease()
    stage.world.backend.gone[worker.id] = "out of memory"
    stage.world.backend.faults[worker.id] = WorkerLoss.OUT_OF_MEMORY
    _end(stage)
    return [experiment]


@scenario
def out_of_memory_with_more_of_it(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1, resources={"cpu": 1, "memory": 2**30}, oom_retries=1)
    worker = stage.worker()
    reason = {"code": "out_of_memory", "message": "killed by signal 9 above its limit of memory"}
    killed: Document = {"state": "failed", "exit_code": None, "signal": 9, "points": [], "reason": reason}
    worker.finish(worker.lease(), **killed)
    stage.tick(2)
    larger = stage.process()
    larger.register()
    larger.finish(larger.lease(), **killed)
    _end(stage)
    return [experiment]


@scenario
def prune(stage: Stage) -> list[str]:
    experiment = stage.create(budget=3, parallelism=2, early_stopping=RULE)
    good, bad = stage.two()
    first, second = good.lease(), bad.lease()
    good.work(beats=[good.measured(first, 0.1, 1)])
    bad.work(beats=[bad.measured(second, 0.9, 1)])
    reason = {"code": "pruned", "message": "asha: as it was ordered"}
    bad.finish(second, state="pruned", exit_code=None, signal=15, points=[], reason=reason)
    good.finish(first, 0.1)
    good.finish(good.lease())
    _end(stage)
    return [experiment]


@scenario
def stop(stage: Stage) -> list[str]:
    experiment = stage.create(budget=3)
    worker = stage.worker()
    worker.finish(worker.lease())
    lease = worker.lease()
    change_experiment.stop(stage.core, experiment, "ada")
    worker.finish(lease, state="cancelled", exit_code=None, signal=15, points=[])
    _end(stage)
    return [experiment]


@scenario
def stop_and_resume(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    worker.lease()
    change_experiment.stop(stage.core, experiment, "ada")
    _end(stage)
    change_experiment.resume(stage.core, experiment, "grace")
    other = stage.worker()
    other.finish(other.lease())
    other.finish(other.lease())
    _end(stage)
    return [experiment]


@scenario
def stop_of_one_trial(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    stop_trial.stop_trial(stage.core, experiment, 1, "grace")
    worker.finish(lease, state="cancelled", exit_code=None, signal=15, points=[])
    worker.finish(worker.lease())
    _end(stage)
    return [experiment]


@scenario
def stop_rule_target(stage: Stage) -> list[str]:
    experiment = stage.create(budget=5, stop={"target": 0.15})
    worker = stage.worker()
    worker.finish(worker.lease(), 0.5)
    worker.finish(worker.lease(), 0.125)
    _end(stage)
    return [experiment]


@scenario
def stop_rule_patience(stage: Stage) -> list[str]:
    experiment = stage.create(budget=5, stop={"patience": 2})
    worker = stage.worker()
    for value in (0.5, 0.25, 0.75, 0.75):
        worker.finish(worker.lease(), value)
    _end(stage)
    return [experiment]


@scenario
def stop_rule_futile(stage: Stage) -> list[str]:
    experiment = stage.create(budget=5, stop={"futile": {"limit": 0.2, "after": 2, "side": "above"}})
    worker = stage.worker()
    for value in (0.5, 0.25):
        worker.finish(worker.lease(), value)
    _end(stage)
    return [experiment]


@scenario
def stop_rule_while_trials_run(stage: Stage) -> list[str]:
    experiment = stage.create(budget=4, parallelism=2, stop={"target": 0.15})
    first, second = stage.two()
    leases = first.lease(), second.lease()
    first.finish(leases[0], 0.125)
    stage.tick()
    second.work()
    second.finish(leases[1], state="cancelled", exit_code=None, signal=15, points=[])
    _end(stage)
    return [experiment]


@scenario
def pause_and_resume(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    change_experiment.pause(stage.core, experiment, False, "ada")
    worker.finish(lease)
    stage.tick()
    change_experiment.resume(stage.core, experiment, "grace")
    again = stage.worker()
    again.finish(again.lease())
    _end(stage)
    return [experiment]


@scenario
def pause_now_and_resume(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    change_experiment.pause(stage.core, experiment, True, "ada")
    worker.work()
    worker.finish(lease, **PREEMPTED)
    change_experiment.resume(stage.core, experiment, "ada")
    worker.finish(worker.lease())
    _end(stage)
    return [experiment]


@scenario
def budget_raised(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1, try_first=[{"x": 0.1}, {"x": 0.2}])
    worker = stage.worker()
    worker.finish(worker.lease())
    _end(stage)
    changes = Changes(budget=2, parallelism=2, priority=3, labels={"team": "vision"})
    change_experiment.change_experiment(stage.core, experiment, changes, "grace")
    other = stage.worker()
    other.finish(other.lease())
    _end(stage)
    return [experiment]


@scenario
def budget_lowered(stage: Stage) -> list[str]:
    experiment = stage.create(budget=4, parallelism=2, try_first=[{"x": 0.1}])  # the others are the engine's
    worker = stage.worker()
    lease = worker.lease()
    stage.tick()
    change_experiment.change_experiment(stage.core, experiment, Changes(budget=1), "ada")
    worker.finish(lease)
    _end(stage)
    return [experiment]


@scenario
def configuration_queued_by_a_user(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2, try_first=[{"x": 0.1}])
    queue_trial.queue_trial(stage.core, experiment, {"x": 0.75}, "grace")
    worker = stage.worker()
    worker.finish(worker.lease())
    worker.finish(worker.lease())
    _end(stage)
    return [experiment]


@scenario
def rerun(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.finish(worker.lease())
    _end(stage)
    again = stage.named(rerun_trial.rerun_trial(stage.core, experiment, 1, Rerun(), "grace"))
    other = stage.worker()
    other.finish(other.lease())
    _end(stage)
    return [experiment, again]


@scenario
def delete(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    worker.lease()
    change_experiment.delete(stage.core, experiment, False, "ada")
    _end(stage)
    return [experiment]


@scenario
def folds(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2, folds={"count": 2})
    worker = stage.worker()
    for value in (0.25, 0.5):
        worker.finish(worker.lease(), value)
    worker.finish(worker.lease(), **FAILED)
    _end(stage)
    return [experiment]


@scenario
def folds_pruned(stage: Stage) -> list[str]:
    experiment = stage.create(budget=2, folds={"count": 3, "prune_after": 2})
    worker = stage.worker()
    for value in (0.1, 0.2, 0.3, 0.9, 0.8):
        worker.finish(worker.lease(), value)
    _end(stage)
    return [experiment]


@scenario
def space_exhausted(stage: Stage) -> list[str]:
    choices = [{"name": "x", "type": "categorical", "choices": [0.25, 0.5]}]
    experiment = stage.create(budget=9, parameters=choices, engine="grid", try_first=[])
    worker = stage.worker()
    worker.finish(worker.lease())
    worker.finish(worker.lease())
    _end(stage)
    return [experiment]


@scenario
def files_and_checkpoints(stage: Stage) -> list[str]:
    experiment = stage.create(budget=1, checkpoint_every=1.0)
    worker = stage.worker()
    lease = worker.lease()
    worker.upload()
    worker.checkpoint(lease, step=7)
    worker.finish(lease, **PREEMPTED)
    again = worker.lease()
    worker.artifacts(again, "best.pt")
    worker.finish(again)
    _end(stage)
    change_experiment.drop_files(stage.core, experiment)
    return [experiment]


@scenario
def quarantined_node(stage: Stage) -> list[str]:
    experiment = stage.create(budget=10, parallelism=2)
    stage.tick()
    good, bad = stage.process(0), stage.process(1)
    good.register(node="node-1")
    bad.register(node="node-2")
    for _ in range(5):
        good.finish(good.lease())
    full = "OSError: [Errno 28] No space left on device\n"
    for _ in range(4):
        bad.finish(bad.lease(), **FAILED, tail=full)
    stage.tick()
    return [experiment]


@pytest.mark.parametrize("name", SCENARIOS)
def test_events(name: str, stage: Stage, golden: Golden) -> None:
    experiments = SCENARIOS[name](stage)
    stage.clear()
    for experiment in experiments:
        stage.events(experiment)
        stage.outcome(experiment)
    golden.check(f"{name}.txt", stage.text)


def test_every_expected_file_is_used(golden: Golden) -> None:
    golden.check_names(f"{name}.txt" for name in SCENARIOS)


def _end(stage: Stage) -> None:
    """Let the server finish what has ended, and shut down idle workers."""
    stage.tick(3)
