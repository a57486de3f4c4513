"""Changes to running or finished experiments by users. All operations are idempotent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from orchestune import documents
from orchestune.config.sections.tokens import looks_like_a_secret
from orchestune.domain.lifecycle.states import Desired, Reason, ReasonCode, TrialState
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.domain.words import plural
from orchestune.errors import BadInput, Conflict, Problem, Purged
from orchestune.services import environments
from orchestune.services.actors import by
from orchestune.services.commands.size_limits import refuse_large_labels, refuse_more_unfinished
from orchestune.services.core import Core
from orchestune.services.execution import policy_recheck, trials
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.services.memory.signals import ACTING, EXPERIMENTS
from orchestune.services.outgoing import store_key
from orchestune.services.queries.read_experiments import resolve, status
from orchestune.store import blobs, changes, experiments, logs, removal
from orchestune.store import trials as rows
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session, batches


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Requested changes; None leaves a setting unchanged."""

    budget: int | None = None
    parallelism: int | None = None
    priority: int | None = None
    labels: Mapping[str, str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """inherited by trials on this machine from now on if the experiment is over; see `environments`"""


def change_experiment(core: Core, ref: str, changes: Changes, actor: str) -> documents.Status:
    """Change budget, parallelism (capped at budget times folds), priority or labels.

    A finished experiment continues if its budget is raised.
    """
    experiment = resolve(core, ref)
    row = _read(core, experiment)
    if (changes.budget or 0) > row.budget:
        _check_resumable(core, row)
    if (changes.budget or 0) > row.budget or (changes.parallelism or 0) > row.parallelism:
        policy_recheck.refuse(core, row)
    environments.check(core, row.specification, row.cluster, changes.environment)
    with locked(core, experiment, actor) as ledger:
        was_over = ledger.row.state.over
        _change(ledger, changes)
        if was_over and changes.environment:
            environments.store(core, experiment, changes.environment)
    return status(core, experiment)


def _refuse_secrets(labels: Mapping[str, str], former: Mapping[str, str]) -> None:
    """Raise BadInput if a new label looks like a token or password, as for experiment files."""
    problems = [
        Problem("looks like a token or password, which all who see the experiment could read", key=f"labels.{name}")
        for name, text in labels.items()
        if former.get(name) != text and looks_like_a_secret(name, text)
    ]
    if problems:
        raise BadInput(problems, "leave it out")


def _change(ledger: Ledger, changes: Changes) -> None:
    row, session = ledger.row, ledger.session
    if TEST_LABEL in (changes.labels or {}) and TEST_LABEL not in json.loads(row.labels_json):
        # experiments with this label are purged once their command line sends no heartbeat; only owners may purge
        raise BadInput.one("is reserved for `orchestune test`", f"labels.{TEST_LABEL}", "use another label")
    budget = changes.budget if changes.budget != row.budget else None
    parallelism = changes.parallelism
    if parallelism is not None:  # same cap as in `create_experiment`
        parallelism = min(parallelism, (changes.budget or row.budget) * row.specification.folds.count)
    counts = {"budget": budget, "parallelism": parallelism, "priority": changes.priority}
    columns: dict[str, object] = {
        key: count for key, count in counts.items() if count is not None and count != getattr(row, key)
    }
    event = dict(columns)
    excess = _beyond(ledger, budget) if budget is not None else []
    if changes.labels is not None:
        _refuse_secrets(changes.labels, json.loads(row.labels_json))
        refuse_large_labels(changes.labels)
        columns["labels"], event["labels"] = json.dumps(dict(changes.labels)), dict(changes.labels)
    if not columns:
        return
    grew = budget is not None and budget > row.budget
    if budget is not None:
        _show(ledger)
    if grew and row.state.over:
        refuse_more_unfinished(session, row)
    experiments.change(session, row.id, revision=row.revision, **columns)
    for column, value in columns.items():
        setattr(row, "labels_json" if column == "labels" else column, value)
    ledger.record("experiment_changed", event)
    for trial in excess:
        reason = Reason(ReasonCode.STOPPED, f"the budget was lowered {by(ledger.actor)}")
        trials.cancel(ledger, trial, TrialState.QUEUED, reason)
    if budget is not None and row.ended_by is not None and row.desired is Desired.PAUSED:
        row.desired = Desired.RUNNING  # an experiment that has ended is no longer paused
    if grew and row.desired is Desired.STOPPED:
        _set_running(ledger)
    ledger.evaluate()


def _beyond(ledger: Ledger, budget: int) -> list[int]:
    """Return the queued suggestions beyond `budget`. Raises Conflict if other trials already exceed it."""
    row = ledger.row
    count = max(row.finished + row.open - budget, 0)
    suggestions = rows.suggested(ledger.session, row.id, count) if count else []
    if len(suggestions) < count:
        least = budget + count - len(suggestions)
        many = f"{plural(least, 'trial')} {'was' if least == 1 else 'were'}"
        raise Conflict(f"{many} started already", f"set the budget to {least} or more")
    return suggestions


def _read(core: Core, experiment: str) -> ExperimentRow:
    with core.store.reading() as session:
        return experiments.get(session, experiment)


def _check_resumable(core: Core, row: ExperimentRow) -> None:
    """Raise Conflict if the experiment is over and its cluster or secrets are missing here, as after an import."""
    if not row.state.over:
        return
    if row.cluster not in core.backends:
        raise _stays_over(row, f"it ran in the cluster '{row.cluster}', which this server does not have")
    names = [secret.name for secret in row.specification.secrets]
    secrets = core.secrets.get(row.id) if names else {}
    if missing := [name for name in names if name not in secrets]:
        raise _stays_over(row, f"this server has no value of its secrets {', '.join(missing)}")


def _stays_over(row: ExperimentRow, why: str) -> Conflict:
    return Conflict(
        f"{row.handle} cannot be resumed here: {why}",
        f"start another search with its results: orchestune run --warm-start {row.handle}",
    )


def _show(ledger: Ledger) -> None:
    """List a deleted experiment again, since it continues. Raises Conflict if it is being purged."""
    if not experiments.show(ledger.session, ledger.row.id):
        raise Conflict(f"{ledger.row.handle} is being purged")


def pause(core: Core, ref: str, now: bool, actor: str) -> documents.Status:
    """Start no more trials; with `now`, also preempt running trials, which are requeued.

    Has no effect on an experiment that is over or ending.
    """
    experiment = resolve(core, ref)
    with locked(core, experiment, actor) as ledger:
        row = ledger.row
        if not row.ending and row.desired is not Desired.PAUSED:
            row.desired = Desired.PAUSED
            row.reason = Reason(ReasonCode.PAUSED_BY_USER, f"paused {by(actor)}")
        if not row.ending and now:
            ledger.session.run(changes.ORDER_LIVE, {"experiment": row.id, "stop_order": "preempted"})
    core.signals.notify(f"work:{experiment}")  # the ledger wakes no worker if only stop orders changed
    return status(core, experiment)


def resume(core: Core, ref: str, actor: str, environment: Mapping[str, str] = MappingProxyType({})) -> documents.Status:
    """Resume the experiment. Waives the guard that paused it and resets the loss counters of trials.

    `environment`: as in `Changes`.
    """
    experiment = resolve(core, ref)
    before = _read(core, experiment)
    if before.desired is Desired.STOPPED:
        _check_resumable(core, before)
    policy_recheck.refuse(core, before)
    environments.check(core, before.specification, before.cluster, environment)
    with locked(core, experiment, actor) as ledger:
        row, reason = ledger.row, ledger.row.reason
        if row.desired is Desired.PAUSED and reason is not None:
            row.waive_guard(reason.code)
        if row.desired is not Desired.RUNNING:
            if row.state.over:
                refuse_more_unfinished(ledger.session, row)
                environments.store(core, experiment, environment)
            _show(ledger)
            _set_running(ledger)
            ledger.session.run(changes.FORGET_LOST_ATTEMPTS, {"experiment": row.id})
            ledger.record("experiment_changed", {"desired": Desired.RUNNING})
        ledger.evaluate()
    return status(core, experiment)


def _set_running(ledger: Ledger) -> None:
    """Set the experiment to running and requeue user-named trials that its stop had cancelled."""
    row = ledger.row
    stopped = row.desired is Desired.STOPPED
    row.desired, row.reason = Desired.RUNNING, None
    if stopped:
        trials.requeue_cancelled(ledger)


def stop(core: Core, ref: str, actor: str) -> documents.Status:
    """Stop the experiment: cancel queued trials and send SIGTERM to running ones. Results are kept."""
    experiment = resolve(core, ref)
    _stop(core, experiment, actor)
    return status(core, experiment)


def _stop(core: Core, experiment: str, actor: str) -> None:
    """Stop an experiment by its id; works also if its specification cannot be parsed."""
    with locked(core, experiment, actor) as ledger:
        row = ledger.row
        if not row.state.over and row.desired is not Desired.STOPPED:
            row.desired = Desired.STOPPED
            reason = Reason(ReasonCode.STOPPED, f"stopped {by(actor)}")
            if row.ended_by is None:  # otherwise it keeps its own reason and only ends sooner
                row.reason = reason
            trials.cancel_open(ledger, reason)
            if rows.may_still_run(ledger.session, row.id):  # attempts cancelled before this stop
                ledger.awaits_workers()


def delete(core: Core, ref: str, purge: bool, actor: str) -> ExperimentRow | None:
    """Stop and hide an experiment; with `purge`, the finishing controller removes it once nothing of it runs.

    Return the experiment; None if it was purged already.
    """
    try:
        with core.store.reading() as session:
            row = experiments.find(session, ref)
        _stop(core, row.id, actor)
    except Purged:
        return None
    with core.store.transaction() as session:
        experiments.hide(session, row.id, purge=purge)
    core.signals.notify(ACTING, EXPERIMENTS)
    return row


def remove(core: Core, experiment: str) -> None:
    """Remove the records and files of an experiment that is over and being purged.

    Idempotent; an interrupted call can be retried.
    """
    core.secrets.delete(experiment)
    core.secrets.delete(store_key(experiment))
    environments.delete(core, experiment)
    clear(core, experiment, partial(core.store.transaction, durable=False))
    with core.store.transaction() as session:
        removal.purge(session, experiment)


def clear(core: Core, experiment: str, part: Callable[[], AbstractContextManager[Session]]) -> None:
    """Remove log files and all rows but the experiment's own, in batches (`part`) so that writers are not blocked."""
    for key in list(core.files.keys(logs.prefix(experiment))):
        core.files.delete(key)
    _mark_blobs_old(core, experiment)
    more = True
    while more:
        with part() as session:
            more = removal.shrink(session, experiment)


def _mark_blobs_old(core: Core, experiment: str) -> None:
    """Mark its blobs as old: the next sweep deletes those without references."""
    with core.store.reading() as session:
        digests = blobs.named_by(session, experiment)
    for batch in batches(digests):
        with core.store.transaction(durable=False) as session:
            blobs.mark_old(session, batch)


def drop_files(core: Core, experiment: str) -> None:
    """Remove the logs, artifacts and checkpoints of an experiment that is over; its records and its code stay.

    Idempotent: after a server crash, files without rows may remain, which the next call removes. Rows are updated in
    batches, as in `remove`.
    """
    objects = list(core.files.keys(logs.prefix(experiment)))
    _mark_blobs_old(core, experiment)
    more = True
    while more:
        with locked(core, experiment) as ledger:
            if not ledger.row.state.over:
                return  # it was resumed
            more = removal.drop_files(ledger.session, experiment)
    for key in objects:
        core.files.delete(key)
    with locked(core, experiment) as ledger:
        removal.files_dropped(ledger.session, experiment)
        ledger.record("files_dropped", {})
