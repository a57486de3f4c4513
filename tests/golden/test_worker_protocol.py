"""Transcripts of the worker protocol: each scenario's expected file has every call with its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from orchestune.domain.lifecycle.transitions import Cause
from orchestune.ports.backend import WorkerLoss
from orchestune.services.commands import change_experiment, queue_trial, stop_trial
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.execution import uploads
from orchestune.services.queries import read_logs
from orchestune.store import workers
from tests.golden.expected_files import Golden
from tests.golden.stage import FAILED, HELLO, PREEMPTED, Document, Process, Stage

RULE: Document = {"type": "asha", "min_steps": 1, "reduction": 2}
UNKNOWN = "01890000-0000-7000-8000-000000000000"
Scenario = Callable[[Stage], None]
SCENARIOS: dict[str, Scenario] = {}
"""by the name of the expected file"""


def scenario(function: Scenario) -> Scenario:
    """Add a scenario under its name."""
    SCENARIOS[function.__name__] = function
    return function


# registration


@scenario
def register_first(stage: Stage) -> None:
    stage.create()
    stage.worker(full=True, version="0.1.0", capabilities=["preload"])


@scenario
def register_job_with_every_part(stage: Stage) -> None:
    stage.create(
        run=["python", "train.py", "--x", "{x}"],
        env={"OMP_NUM_THREADS": "1"},
        secrets=[{"name": "TOKEN", "source": "env:TOKEN"}],
        secret_values={"TOKEN": "the value"},
        timeout=600.0,
        grace=20.0,
        keep={"patterns": ["*.pt"], "limit": 1024},
        checkpoint_every=60.0,
        stdin="",
        resources={"cpu": 1, "memory": 2**30},
        preload=["numpy"],
    )
    stage.worker(full=True)


@scenario
def register_again_with_the_same_boot(stage: Stage) -> None:
    stage.create()
    worker = stage.worker()
    worker.lease()
    stage.note("the answer to the registration was lost: the same process repeats it, and keeps its lease")
    worker.register()
    worker.work()


@scenario
def register_by_another_process_loses_the_leases_of_the_first(stage: Stage) -> None:
    experiment = stage.create()
    first = stage.worker()
    first.lease()
    second = stage.process(boot=2)
    second.register()
    second.work()
    stage.pass_time(10)
    second.work(want=1)
    stage.outcome(experiment)


@scenario
def register_with_another_protocol(stage: Stage) -> None:
    stage.create()
    stage.worker(protocol=99)


@scenario
def register_unknown_worker(stage: Stage) -> None:
    stage.create()
    Process(stage, "").register()
    stage.tick()
    worker = stage.process()
    worker.id = UNKNOWN
    worker.register()
    worker.work(want=1)
    worker.job()


@scenario
def register_after_the_worker_ended(stage: Stage) -> None:
    stage.create()
    worker = stage.worker()
    stage.note("the backend says that the worker's process is gone")
    stage.world.backend.gone[worker.id] = "killed by signal 9"
    stage.tick()
    worker.work(want=1)
    worker.register()
    worker.job()


@scenario
def job_of_a_later_revision(stage: Stage) -> None:
    experiment = stage.create()
    worker = stage.worker()
    change_experiment.change_experiment(stage.core, experiment, Changes(budget=5), "ada")
    worker.job(1)
    worker.job(2)
    worker.job(3)


# the life of an attempt


@scenario
def lease_start_metrics_success(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    worker.work(beats=[worker.started(lease)])
    worker.work(beats=[worker.measured(lease, 0.5, 1)])
    worker.work(beats=[worker.measured(lease, 0.25, 2, 1)])
    worker.finish(lease, points=[[2, "loss", 0.125, 3, None]])
    stage.tick()
    worker.work(want=1)
    stage.outcome(experiment)


@scenario
def poll_with_nothing_to_say(stage: Stage) -> None:
    stage.create(budget=1)
    worker = stage.worker()
    worker.work()
    worker.work()
    lease = worker.lease()
    worker.work(want=1)
    worker.work(beats=[worker.started(lease)], want=1)


@scenario
def success_before_the_start_was_reported(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def failure_that_is_final(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    worker.finish(worker.lease(), **FAILED)
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def failure_that_is_retried(stage: Stage) -> None:
    experiment = stage.create(budget=1, retries=1)
    worker = stage.worker()
    worker.finish(worker.lease(), **FAILED)
    stage.note("the retry waits for 2 s")
    worker.work(want=1)
    stage.pass_time(3)
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def failure_whose_retries_are_used_up(stage: Stage) -> None:
    experiment = stage.create(budget=1, retries=1)
    worker = stage.worker()
    for _ in range(2):
        worker.finish(worker.lease(), **FAILED)
        stage.pass_time(10)
    worker.work(want=1)
    stage.outcome(experiment)


@scenario
def failure_without_the_metric(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    points = [[0, "los", 0.5, None, None]]
    worker.finish(worker.lease(), points=points, logs=[[0, "los=0.5\n", 0]], tail="los=0.5\n", log_bytes=8)
    stage.outcome(experiment)


@scenario
def failure_with_a_metric_that_is_not_finite(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    for value in ("nan", "inf"):
        worker.finish(worker.lease(), points=[[0, "loss", value, None, None]])
    stage.outcome(experiment)


@scenario
def failure_by_timeout(stage: Stage) -> None:
    experiment = stage.create(budget=1, timeout=5.0)
    worker = stage.worker()
    reason = {"code": "timeout", "message": "longer than 5 s"}
    worker.finish(worker.lease(), state="failed", exit_code=None, signal=15, points=[], reason=reason)
    stage.outcome(experiment)


@scenario
def failure_for_lack_of_memory_raises_the_request(stage: Stage) -> None:
    experiment = stage.create(budget=1, resources={"cpu": 1, "memory": 2**30}, oom_retries=2)
    worker = stage.worker()
    reason = {"code": "out_of_memory", "message": "killed by signal 9 above its limit of memory"}
    killed: Document = {"state": "failed", "exit_code": None, "signal": 9, "points": [], "memory": 2**30}
    worker.finish(worker.lease(), reason=reason, **killed)
    worker.work(want=1)
    stage.note("a larger worker is started")
    stage.tick(2)
    larger = stage.process()
    larger.register()
    larger.finish(larger.lease())
    stage.outcome(experiment)


@scenario
def lost_before_the_command_started(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    reason = {"code": "sandbox", "message": "no folder for the trial"}
    worker.finish(worker.lease(), state="lost", exit_code=None, points=[], logs=[], reason=reason)
    worker.work(want=1)
    stage.pass_time(5)
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def logs_that_repeat_overlap_and_lack_a_part(stage: Stage) -> None:
    stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    parts = ([[0, "one\n", 0]], [[0, "one\n", 0], [4, "two\n", 0]], [[6, "o\nthree\n", 0]], [[99, "late\n", 0]])
    for logs in (*parts, [[40, "after a gap\n", 26]]):
        worker.work(beats=[worker.started(lease, logs=logs)])
    worker.finish(lease, logs=[[52, "end\n", 0]], log_bytes=56)
    stage.show("logs", _logs(stage))


@scenario
def usage_that_repeats(stage: Stage) -> None:
    stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    samples = [[number, 4.0 * number, 1.5, 2**30, 0.5, 2**31] for number in range(3)]
    worker.work(beats=[worker.started(lease, usage=samples[:2])])
    worker.work(beats=[worker.started(lease, usage=samples[:2])])
    worker.finish(lease, usage=samples[2:])


@scenario
def metrics_of_any_name_and_spread(stage: Stage) -> None:
    metrics = [{"name": "loss", "goal": "minimize", "take": "best"}, {"name": "speed", "goal": "maximize"}]
    experiment = stage.create(budget=1, metrics=metrics)
    worker = stage.worker()
    points = [
        [0, "loss", 0.25, 1, 0.125], [1, "loss", 0.5, 2, None], [2, "speed", 40, None, None],
        [3, "memory", 1e300, None, None],
    ]  # fmt: skip
    worker.finish(worker.lease(), points=points)
    stage.outcome(experiment)


# reports that come again, late, or for something else


@scenario
def report_repeated(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    report = worker.end(lease)
    worker.work(finished=[report], lost=True)
    stage.note("the worker has not heard of it, and repeats")
    worker.work(finished=[report])
    worker.work(finished=[report | {"state": "failed", "reason": FAILED["reason"]}])
    stage.outcome(experiment)


@scenario
def report_of_a_failure_repeated(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    report = worker.end(worker.lease(), **FAILED)
    worker.work(finished=[report], lost=True)
    worker.work(finished=[report])
    stage.outcome(experiment)


@scenario
def report_twice_in_one_call(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    report = worker.end(worker.lease())
    worker.work(finished=[report, report])
    stage.outcome(experiment)


@scenario
def report_beat_after_the_end(stage: Stage) -> None:
    stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    worker.finish(lease)
    worker.work(beats=[worker.measured(lease, 0.5, 9)])


@scenario
def report_late_counts_while_no_newer_attempt_is_leased(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    stage.outcome(experiment)
    worker.finish(lease)
    stage.outcome(experiment)


@scenario
def report_late_failure_counts(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    worker.finish(lease, **FAILED)
    stage.outcome(experiment)


@scenario
def report_late_loss_brings_its_logs_alone(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    report = worker.end(lease, state="lost", points=[], reason={"code": "worker_lost", "message": "gone"})
    worker.work(finished=[report])
    worker.work(finished=[report])
    stage.outcome(experiment)


@scenario
def report_late_values_are_kept_for_the_end(stage: Stage) -> None:
    experiment = stage.create(budget=1, metrics=[{"name": "loss", "goal": "minimize", "take": "best"}])
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    worker.work(beats=[worker.measured(lease, 0.25, 1)])
    worker.finish(lease, points=[[1, "loss", 0.5, 2, None]])
    stage.outcome(experiment)


@scenario
def report_of_a_worker_that_has_ended(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    old = stage.worker()
    lease = old.lease()
    stage.note("the backend says that the worker's process is gone; it is only cut off")
    new = _replaced(stage, old)
    newer = new.lease()
    stage.note("the first worker has ended for the server")
    old.finish(lease, 0.9)
    new.finish(newer)
    stage.outcome(experiment)


@scenario
def report_superseded_token_of_the_same_worker(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    worker.work()
    stage.pass_time(60)
    newer = worker.lease()
    worker.finish(lease, 0.9)
    worker.work(beats=[worker.measured(lease, 0.9, 1)])
    worker.finish(newer)
    worker.work(finished=[worker.end(lease, 0.9)])
    stage.outcome(experiment)


@scenario
def report_with_another_token(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    worker.work(finished=[worker.end(lease | {"token": 7})])
    worker.work(beats=[worker.measured(lease | {"token": 0}, 0.9, 1)])
    stage.outcome(experiment)


@scenario
def report_of_an_unknown_attempt(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    stranger = worker.lease() | {"attempt": UNKNOWN}
    worker.work(finished=[worker.end(stranger)], beats=[worker.started(stranger)])
    stage.note("it says that it works on one")
    worker.work(live=[UNKNOWN, *worker.leases])
    stage.outcome(experiment)


@scenario
def report_of_another_experiments_attempt(stage: Stage) -> None:
    first, second = stage.create(budget=1), stage.create(budget=1)
    stage.tick()
    one, two = stage.process(0), stage.process(1)
    one.register()
    two.register()
    lease = one.lease()
    two.work(finished=[two.end(lease, 0.0)], beats=[two.started(lease)])
    stage.outcome(first)
    stage.outcome(second)


# leases


@scenario
def lease_lost_on_the_way(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.work(want=1, lost=True)
    worker.work(want=1)
    worker.work(want=1)
    worker.work(want=1)
    stage.outcome(experiment)


@scenario
def leases_up_to_the_slots_of_a_worker(stage: Stage) -> None:
    stage.create(budget=6, parallelism=2)
    worker = stage.worker()
    with stage.core.store.transaction() as session:
        workers.change(session, worker.id, slots=2)
    worker.work(want=9)
    worker.work(want=1)


@scenario
def leases_up_to_the_parallelism_of_the_experiment(stage: Stage) -> None:
    stage.create(budget=6, parallelism=1)
    worker = stage.worker()
    with stage.core.store.transaction() as session:
        workers.change(session, worker.id, slots=4)
    worker.work(want=4)


@scenario
def lease_of_a_configuration_that_a_user_queued(stage: Stage) -> None:
    experiment = stage.create(budget=2, try_first=[{"x": 0.1}])
    queue_trial.queue_trial(stage.core, experiment, {"x": 0.75}, "ada")
    worker = stage.worker()
    worker.finish(worker.lease())
    worker.finish(worker.lease())
    worker.work(want=1)


@scenario
def lease_is_not_taken_back_by_an_older_call(stage: Stage) -> None:
    stage.create(budget=3, parallelism=2)
    worker = stage.worker()
    lease = worker.lease()
    stage.note("a call that was sent before the lease arrived comes after it")
    worker.work(live=[], beat=worker.beat)
    worker.work(beats=[worker.started(lease)])


@scenario
def call_that_does_not_tell_what_is_live(stage: Stage) -> None:
    experiment = stage.create(budget=3)
    worker = stage.worker()
    worker.lease()
    worker.work(live=None)
    change_experiment.stop(stage.core, experiment, "ada")
    worker.work(live=None)


@scenario
def trial_that_runs_alone_after_it_lost_its_workers(stage: Stage) -> None:
    experiment = stage.create(budget=3)
    for _ in range(3):
        worker = stage.worker()
        lease = worker.lease()
        worker.work(beats=[worker.started(lease)])
        stage.world.backend.gone[worker.id] = "killed by signal 9"
        stage.tick()
        stage.pass_time(60)
    stage.note("trials that lost no worker come first, beside each other")
    change_experiment.change_experiment(stage.core, experiment, Changes(parallelism=2), "ada")
    stage.tick()
    first, second = stage.process(-2), stage.process(-1)
    first.register()
    second.register()
    first_lease, second_lease = first.lease(), second.lease()
    first.finish(first_lease)
    first.work(want=1)
    second.finish(second_lease)
    alone = first.lease()
    second.work(want=1)
    first.finish(alone)
    stage.outcome(experiment)


# orders


@scenario
def cancelled_trial(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    worker.work(beats=[worker.started(lease)])
    stop_trial.stop_trial(stage.core, experiment, 1, "ada")
    worker.work()
    worker.finish(lease, state="cancelled", exit_code=None, signal=15, points=[])
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def cancelled_trial_that_succeeds_meanwhile(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    stop_trial.stop_trial(stage.core, experiment, 1, "ada")
    worker.finish(lease)
    stage.outcome(experiment)


@scenario
def stopped_experiment(stage: Stage) -> None:
    experiment = stage.create(budget=3)
    worker = stage.worker()
    lease = worker.lease()
    change_experiment.stop(stage.core, experiment, "ada")
    worker.work(beats=[worker.measured(lease, 0.5, 1)])
    worker.finish(lease, state="cancelled", exit_code=None, signal=15, points=[])
    stage.tick(3)
    worker.work(want=1)
    stage.outcome(experiment)


@scenario
def deleted_experiment(stage: Stage) -> None:
    experiment = stage.create(budget=3)
    worker = stage.worker()
    lease = worker.lease()
    change_experiment.delete(stage.core, experiment, True, "ada")
    worker.work()
    stage.tick(4)
    worker.finish(lease)
    worker.register()


@scenario
def pruned_trial(stage: Stage) -> None:
    experiment, worker, lease = _ordered_to_prune(stage)
    worker.work()
    worker.work(finished=[_pruned(worker, lease)])
    stage.outcome(experiment)


@scenario
def pruned_trial_with_a_grace_of_its_own(stage: Stage) -> None:
    _ordered_to_prune(stage, grace=3.5)


@scenario
def pruned_trial_reported_twice(stage: Stage) -> None:
    experiment, worker, lease = _ordered_to_prune(stage)
    worker.work(finished=[_pruned(worker, lease)], lost=True)
    worker.work(finished=[_pruned(worker, lease)])
    stage.outcome(experiment)


@scenario
def pruned_trial_that_succeeds_meanwhile(stage: Stage) -> None:
    experiment, worker, lease = _ordered_to_prune(stage)
    worker.finish(lease, 0.9)
    stage.outcome(experiment)


@scenario
def pruned_trial_that_fails_meanwhile(stage: Stage) -> None:
    experiment, worker, lease = _ordered_to_prune(stage)
    worker.finish(lease, **FAILED)
    stage.outcome(experiment)


@scenario
def pruned_trial_whose_worker_is_lost(stage: Stage) -> None:
    experiment, worker, lease = _ordered_to_prune(stage)
    stage.silence(20)
    worker.work()
    worker.work(finished=[_pruned(worker, lease)])
    stage.outcome(experiment)


@scenario
def pruned_trial_whose_worker_stops(stage: Stage) -> None:
    experiment, worker, lease = _ordered_to_prune(stage)
    worker.finish(lease, **PREEMPTED)
    stage.outcome(experiment)


@scenario
def reports_by_http_and_the_question_whether_to_stop(stage: Stage) -> None:
    stage.create(budget=3, parallelism=2, early_stopping=RULE)
    good, bad = stage.two()
    first, second = good.lease(), bad.lease()
    good.work(beats=[good.started(first)])
    good.http(first, {"loss": 0.1, "step": 1})
    good.should_stop(first)
    bad.http(second, {"loss": 0.9, "step": 1, "Batch Size": 32})
    bad.should_stop(second)
    bad.http(second, {"loss": "high"})
    bad.http(second, {"loss": 0.9}, signature="0" * 40)
    bad.finish(second)
    bad.http(second, {"loss": 0.9})
    bad.should_stop(second)


# workers that drain, pause, and come back


@scenario
def drained_worker(stage: Stage) -> None:
    experiment = stage.create(budget=3)
    worker = stage.worker()
    lease = worker.lease()
    stage.note("the server wants this worker to end once it has nothing to do")
    with stage.core.store.transaction() as session:
        workers.move(session, worker.id, Cause.DRAIN)
    worker.work(beats=[worker.started(lease)], want=1)
    worker.finish(lease)
    worker.work(want=1)
    stage.outcome(experiment)


@scenario
def drained_worker_that_goes_on_with_another_experiment(stage: Stage) -> None:
    first = stage.create(budget=1)
    worker = stage.worker()
    second = stage.create(budget=1)
    worker.finish(worker.lease())
    with stage.core.store.transaction() as session:
        workers.hand_over(session, worker.id, second)
    worker.work(want=1)
    stage.note("its next process registers for the other experiment")
    stage.tick()
    next_process = stage.process(0, boot=2)
    next_process.register()
    next_process.finish(next_process.lease())
    worker.work(want=1)
    stage.outcome(first)
    stage.outcome(second)


@scenario
def paused_experiment(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    change_experiment.pause(stage.core, experiment, False, "ada")
    worker.work(beats=[worker.started(lease)])
    worker.finish(lease)
    worker.work(want=1)
    change_experiment.resume(stage.core, experiment, "ada")
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def paused_experiment_that_takes_its_trials_back(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    change_experiment.pause(stage.core, experiment, True, "ada")
    worker.work()
    worker.finish(lease, **PREEMPTED)
    worker.work(want=1)
    change_experiment.resume(stage.core, experiment, "ada")
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def preempted_by_the_worker(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.finish(worker.lease(), **PREEMPTED)
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def preempted_by_the_place(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    stage.note("the place takes the worker's machine away")
    stage.world.backend.faults[worker.id] = WorkerLoss.PLACE
    new = _replaced(stage, worker, "the node was preempted")
    worker.finish(lease)
    new.finish(new.lease())
    stage.outcome(experiment)


@scenario
def out_of_memory_of_the_whole_worker(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    worker.work(beats=[worker.started(lease)])
    stage.world.backend.faults[worker.id] = WorkerLoss.OUT_OF_MEMORY
    stage.world.backend.gone[worker.id] = "out of memory"
    stage.tick()
    worker.finish(lease)
    stage.outcome(experiment)


@scenario
def lost_worker_that_comes_back(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    worker.work(beats=[worker.started(lease)])
    worker.finish(lease)
    worker.finish(worker.lease())
    stage.outcome(experiment)


@scenario
def lost_worker_that_comes_back_after_its_trial_was_given_away(stage: Stage) -> None:
    experiment = stage.create(budget=2, parallelism=2)
    cut_off, other = stage.two()
    lease = cut_off.lease()
    mine = other.lease()
    for _ in range(4):
        stage.world.hear_nothing(4)
        other.work()
    stage.pass_time(60)
    other.finish(mine)
    again = other.lease()
    cut_off.work()
    cut_off.finish(lease, 0.9)
    other.finish(again)
    stage.outcome(experiment)


@scenario
def call_with_another_boot(stage: Stage) -> None:
    stage.create(budget=2)
    worker = stage.worker()
    worker.work(want=1, boot="boot-7")
    worker.work(want=1)


@scenario
def two_processes_with_one_identity(stage: Stage) -> None:
    experiment = stage.create(budget=2)
    first = stage.worker()
    lease = first.lease()
    second = stage.process(boot=2)
    second.register()
    stage.note("the first process still runs")
    first.work(beats=[first.started(lease)], want=1)
    stage.pass_time(10)
    second.work(want=1)
    newer = second.lease()
    first.finish(lease, 0.9)
    first.work(want=1)
    second.finish(newer)
    stage.outcome(experiment)


@scenario
def worker_whose_experiment_has_ended(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    worker.finish(worker.lease())
    stage.tick(2)
    worker.work(want=1)
    worker.register()
    stage.outcome(experiment)


@scenario
def server_that_was_restarted(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    stage.note("the server restarts an hour later")
    stage.world.close()
    stage.pass_time(3600)
    stage.world.open()
    stage.core = stage.world.core
    stage.tick()
    worker.work(beats=[worker.started(lease)])
    worker.finish(lease)
    stage.outcome(experiment)


# folds


@scenario
def folds_of_a_trial(stage: Stage) -> None:
    experiment = stage.create(budget=1, parallelism=1, folds={"count": 3})
    worker = stage.worker()
    for value in (0.1, 0.2, 0.6):
        worker.finish(worker.lease(), value)
    stage.outcome(experiment)


@scenario
def folds_of_which_one_fails(stage: Stage) -> None:
    experiment = stage.create(budget=1, parallelism=2, folds={"count": 3})
    first, second = stage.two()
    failing, sibling = first.lease(), second.lease()
    first.finish(failing, **FAILED)
    second.work()
    second.finish(sibling)
    stage.outcome(experiment)


@scenario
def folds_of_which_one_is_late(stage: Stage) -> None:
    experiment = stage.create(budget=1, folds={"count": 2})
    worker = stage.worker()
    lease = worker.lease()
    stage.silence(20)
    worker.finish(lease, 0.5)
    worker.finish(worker.lease(), 0.25)
    stage.outcome(experiment)


@scenario
def folds_that_are_pruned_together(stage: Stage) -> None:
    experiment = stage.create(budget=2, parallelism=1, folds={"count": 3, "prune_after": 2})
    worker = stage.worker()
    for value in (0.1, 0.2, 0.3, 0.9, 0.8):
        worker.finish(worker.lease(), value)
    worker.work(want=1)
    stage.outcome(experiment)


# files


@scenario
def checkpoint_from_which_the_next_attempt_resumes(stage: Stage) -> None:
    stage.create(budget=1, checkpoint_every=1.0)
    worker = stage.worker()
    lease = worker.lease()
    worker.upload()
    worker.checkpoint(lease, step=7)
    worker.finish(lease, **PREEMPTED)
    again = worker.lease()
    worker.checkpoint(lease, step=9)
    worker.finish(again)


@scenario
def checkpoint_of_an_unknown_attempt_or_blob(stage: Stage) -> None:
    stage.create(budget=1, checkpoint_every=1.0)
    worker = stage.worker()
    lease = worker.lease()
    worker.checkpoint(lease, step=1)
    worker.upload()
    worker.checkpoint(lease | {"attempt": UNKNOWN}, step=1)
    worker.checkpoint(lease | {"token": 9}, step=1)
    worker.checkpoint(lease, step=1, digest="not a digest")
    worker.checkpoint(lease, step="nan")


@scenario
def checkpoint_of_a_cancelled_attempt(stage: Stage) -> None:
    experiment = stage.create(budget=1, checkpoint_every=1.0)
    worker = stage.worker()
    lease = worker.lease()
    worker.upload()
    change_experiment.stop(stage.core, experiment, "ada")
    worker.checkpoint(lease, step=7)


@scenario
def artifacts_of_a_trial(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    worker.finish(lease, files=2, sending=1)
    worker.upload()
    worker.artifacts(lease, "best.pt", more=True)
    worker.artifacts(lease, "plots/loss.png")
    worker.artifacts(lease, "plots/loss.png")
    worker.work(sending=0)
    stage.tick(2)
    stage.outcome(experiment)


@scenario
def artifacts_that_will_not_come(stage: Stage) -> None:
    experiment = stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    worker.artifacts(lease, refused="best.pt is larger than the limit")
    worker.finish(lease, files=1)
    worker.artifacts(lease, refused="best.pt is larger than the limit")
    stage.tick(2)
    stage.outcome(experiment)


@scenario
def artifacts_of_an_attempt_that_was_replaced(stage: Stage) -> None:
    stage.create(budget=1)
    worker = stage.worker()
    lease = worker.lease()
    worker.finish(lease, **PREEMPTED)
    worker.lease()
    worker.upload()
    worker.artifacts(lease, "best.pt")


@scenario
def uploads_in_parts(stage: Stage) -> None:
    stage.create(budget=1)
    worker = stage.worker()
    for offset, content in ((0, b"hel"), (0, b"hel"), (9, b"lo"), (3, b"lo")):
        call = {"digest": HELLO, "offset": offset, "content": content.decode()}
        stage.record(
            f"{worker.name} upload", call, partial(uploads.append, stage.core, worker.id, HELLO, offset, content)
        )


@pytest.mark.parametrize("name", SCENARIOS)
def test_worker_protocol(name: str, stage: Stage, golden: Golden) -> None:
    SCENARIOS[name](stage)
    golden.check(f"{name}.txt", stage.text)


def test_every_expected_file_is_used(golden: Golden) -> None:
    golden.check_names(f"{name}.txt" for name in SCENARIOS)


def _only(stage: Stage) -> str:
    [item] = stage.experiments
    return item


def _logs(stage: Stage) -> Any:
    items = read_logs.logs(stage.core, _only(stage), 0, 100)["items"]
    return [{name: item[name] for name in ("trial", "offset", "gap", "text", "last") if name in item} for item in items]


def _replaced(stage: Stage, old: Process, why: str = "killed by signal 9") -> Process:
    """The worker that is started in the place of one that is gone."""
    stage.world.backend.gone[old.id] = why
    stage.tick()
    stage.pass_time(60)
    return stage.worker()


def _ordered_to_prune(stage: Stage, **rule: Any) -> tuple[str, Process, Document]:
    """An experiment in which the second of two trials is ordered to end; its worker and lease."""
    experiment = stage.create(budget=3, parallelism=2, early_stopping=RULE | rule)
    good, bad = stage.two()
    first, second = good.lease(), bad.lease()
    good.work(beats=[good.measured(first, 0.1, 1)])
    bad.work(beats=[bad.measured(second, 0.9, 1)])
    return experiment, bad, second


def _pruned(worker: Process, lease: Document) -> Document:
    reason = {"code": "pruned", "message": "asha: as it was ordered"}
    return worker.end(lease, state="pruned", exit_code=None, signal=15, points=[], reason=reason)
