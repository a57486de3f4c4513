"""What an owner asks of a running or finished experiment. Everything here may be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from orchestune import documents
from orchestune.archives.record import FILES_DROPPED
from orchestune.config.tokens import looks_like_a_secret
from orchestune.domain.experiment import TEST_LABEL
from orchestune.domain.states import Desired, Reason, ReasonCode, TrialState
from orchestune.domain.words import plural
from orchestune.errors import BadInput, Conflict, Problem, Purged
from orchestune.services import allowing, trials
from orchestune.services.actors import by
from orchestune.services.core import Core
from orchestune.services.ledger import Ledger, locked
from orchestune.services.outgoing import store_key
from orchestune.services.read_experiments import resolve, status
from orchestune.services.signals import ACTING, EXPERIMENTS
from orchestune.store import blobs, changes, experiments, logs, removal
from orchestune.store import trials as rows
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session, parts


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What an owner changes of an experiment; None: it stays as it is."""

    budget: int | None = None
    parallelism: int | None = None
    priority: int | None = None
    labels: Mapping[str, str] | None = None


def change_experiment(core: Core, ref: str, changes: Changes, actor: str) -> documents.Status:
    """Change budget, parallelism (up to what the budget holds), priority or labels.

    A finished experiment goes on when its budget grew.
    """
    experiment = resolve(core, ref)
    row = _read(core, experiment)
    if (changes.budget or 0) > row.budget:
        _may_go_on(core, row)
    if (changes.budget or 0) > row.budget or (changes.parallelism or 0) > row.parallelism:
        allowing.refuse(core, row)
    with locked(core, experiment, actor) as ledger:
        _change(ledger, changes)
    return status(core, experiment)


def _refuse_secrets(labels: Mapping[str, str], former: Mapping[str, str]) -> None:
    """BadInput if a new label looks like a token or password, as in an experiment file."""
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
        # what has it is removed for good once its command line falls silent, and that is an owner's to ask for
        raise BadInput.one("belongs to tests alone, and this is none", f"labels.{TEST_LABEL}", "name it otherwise")
    budget = changes.budget if changes.budget != row.budget else None
    parallelism = changes.parallelism
    if parallelism is not None:  # as where an experiment is created
        parallelism = min(parallelism, (changes.budget or row.budget) * row.specification.folds.count)
    counts = {"budget": budget, "parallelism": parallelism, "priority": changes.priority}
    columns: dict[str, object] = {
        key: count for key, count in counts.items() if count is not None and count != getattr(row, key)
    }
    event = dict(columns)
    spare = _beyond(ledger, budget) if budget is not None else []
    if changes.labels is not None:
        _refuse_secrets(changes.labels, json.loads(row.labels_json))
        columns["labels"], event["labels"] = json.dumps(dict(changes.labels)), dict(changes.labels)
    if not columns:
        return
    grew = budget is not None and budget > row.budget
    if budget is not None:
        _show(ledger)
    experiments.change(session, row.id, revision=row.revision, **columns)
    for column, value in columns.items():
        setattr(row, "labels_json" if column == "labels" else column, value)
    ledger.record("experiment_changed", event)
    for trial in spare:
        reason = Reason(ReasonCode.STOPPED, f"the budget was lowered {by(ledger.actor)}")
        trials.cancel(ledger, trial, TrialState.QUEUED, reason)
    if budget is not None and row.ended_by is not None and row.desired is Desired.PAUSED:
        row.desired = Desired.RUNNING  # a pause is over with what was paused
    if grew and row.desired is Desired.STOPPED:
        _begin_again(ledger)
    ledger.evaluate()


def _beyond(ledger: Ledger, budget: int) -> list[int]:
    """The trials for which such a budget has no room. Conflict where they are others than suggestions that wait."""
    row = ledger.row
    count = max(row.finished + row.open - budget, 0)
    found = rows.suggested(ledger.session, row.id, count) if count else []
    if len(found) < count:
        least = budget + count - len(found)
        many = f"{plural(least, 'trial')} {'was' if least == 1 else 'were'}"
        raise Conflict(f"{many} handed out already", f"the budget can be {least} or more")
    return found


def _read(core: Core, experiment: str) -> ExperimentRow:
    with core.store.reading() as session:
        return experiments.get(session, experiment)


def _may_go_on(core: Core, row: ExperimentRow) -> None:
    """Conflict for what is over and came in an archive, which has neither the place where it ran nor its secrets."""
    if not row.state.over:
        return
    if row.cluster not in core.backends:
        raise _stays_over(row, f"it ran in the cluster '{row.cluster}', which this server does not have")
    wanted = [secret.name for secret in row.specification.secrets]
    known = core.secrets.get(row.id) if wanted else {}
    if missing := [name for name in wanted if name not in known]:
        raise _stays_over(row, f"this server has no value of its secrets {', '.join(missing)}")


def _stays_over(row: ExperimentRow, why: str) -> Conflict:
    return Conflict(
        f"{row.handle} cannot go on here: {why}",
        f"`orchestune run --warm-start {row.handle}` begins another search with its results",
    )


def _show(ledger: Ledger) -> None:
    """What was deleted and goes on is in the lists again. Conflict for what is being removed for good."""
    if not experiments.show(ledger.session, ledger.row.id):
        raise Conflict(f"{ledger.row.handle} is being removed for good")


def pause(core: Core, ref: str, now: bool, actor: str) -> documents.Status:
    """Start no more trials; `now`: also take back those that run, to be offered again on `resume`.

    Of what is over or comes to its end nothing is paused.
    """
    experiment = resolve(core, ref)
    with locked(core, experiment, actor) as ledger:
        row = ledger.row
        if not row.ending and row.desired is not Desired.PAUSED:
            row.desired = Desired.PAUSED
            row.reason = Reason(ReasonCode.PAUSED_BY_USER, f"paused {by(actor)}")
        if not row.ending and now:
            ledger.session.run(changes.ORDER_LIVE, {"experiment": row.id, "stop_order": "preempted"})
    core.signals.notify(f"work:{experiment}")  # the orders may be all that changed
    return status(core, experiment)


def resume(core: Core, ref: str, actor: str) -> documents.Status:
    """Go on. The guard that paused it does not fire again; a trial that lost workers starts from zero."""
    experiment = resolve(core, ref)
    before = _read(core, experiment)
    if before.desired is Desired.STOPPED:
        _may_go_on(core, before)
    allowing.refuse(core, before)
    with locked(core, experiment, actor) as ledger:
        row, reason = ledger.row, ledger.row.reason
        if row.desired is Desired.PAUSED and reason is not None:
            row.waive_guard(reason.code)
        if row.desired is not Desired.RUNNING:
            _show(ledger)
            _begin_again(ledger)
            ledger.session.run(changes.FORGET_LOST_ATTEMPTS, {"experiment": row.id})
            ledger.record("experiment_changed", {"desired": Desired.RUNNING})
        ledger.evaluate()
    return status(core, experiment)


def _begin_again(ledger: Ledger) -> None:
    """It is wanted again, with what somebody named and was not tried for its stop."""
    row = ledger.row
    stopped = row.desired is Desired.STOPPED
    row.desired, row.reason = Desired.RUNNING, None
    if stopped:
        trials.queue_again(ledger)


def stop(core: Core, ref: str, actor: str) -> documents.Status:
    """End it now: queued trials are cancelled, running ones get SIGTERM; results stay."""
    experiment = resolve(core, ref)
    with locked(core, experiment, actor) as ledger:
        row = ledger.row
        if not row.state.over and row.desired is not Desired.STOPPED:
            row.desired = Desired.STOPPED
            reason = Reason(ReasonCode.STOPPED, f"stopped {by(actor)}")
            if row.ended_by is None:  # otherwise it ends for its own reason, only at once
                row.reason = reason
            trials.cancel_open(ledger, reason)
            if rows.may_still_run(ledger.session, row.id):  # what was cancelled before this stop
                ledger.awaits_workers()
    return status(core, experiment)


def delete(core: Core, ref: str, purge: bool, actor: str) -> ExperimentRow | None:
    """Stop it and hide it; `purge`: the finishing controller removes records and files once nothing of it runs.

    Return the experiment that `ref` names; None if it was purged already, and nothing is left to do.
    """
    try:
        with core.store.reading() as session:
            row = experiments.find(session, ref)
        stop(core, row.id, actor)
    except Purged:
        return None
    with core.store.transaction() as session:
        experiments.hide(session, row.id, purge=purge)
    core.signals.notify(ACTING, EXPERIMENTS)
    return row


def remove(core: Core, experiment: str) -> None:
    """Remove the records and files of an experiment that is over and hidden for good.

    Repeatable, wherever it was cut off.
    """
    core.secrets.delete(experiment)
    core.secrets.delete(store_key(experiment))
    clear(core, experiment, partial(core.store.transaction, durable=False))
    with core.store.transaction() as session:
        removal.purge(session, experiment)


def clear(core: Core, experiment: str, part: Callable[[], AbstractContextManager[Session]]) -> None:
    """Remove its logs in files and all rows but its own, a few in each transaction `part`: others write meanwhile."""
    for key in list(core.files.keys(logs.prefix(experiment))):
        core.files.delete(key)
    _make_old(core, experiment)
    more = True
    while more:
        with part() as session:
            more = removal.shrink(session, experiment)


def _make_old(core: Core, experiment: str) -> None:
    """Let its blobs go with the next sweep, as far as nothing names them then."""
    with core.store.reading() as session:
        digests = blobs.named_by(session, experiment)
    for some in parts(digests):
        with core.store.transaction(durable=False) as session:
            blobs.make_old(session, some)


def drop_files(core: Core, experiment: str) -> None:
    """Remove the logs, artifacts and checkpoints of an experiment that is over; its records and its code stay.

    Repeatable: where a server died on the way, files may be there that no row names any more. Rows change a few at a
    time, as in `remove`.
    """
    objects = list(core.files.keys(logs.prefix(experiment)))
    _make_old(core, experiment)
    more = True
    while more:
        with locked(core, experiment) as ledger:
            if not ledger.row.state.over:
                return  # it goes on again
            more = removal.drop_files(ledger.session, experiment)
    for key in objects:
        core.files.delete(key)
    with locked(core, experiment) as ledger:
        removal.files_dropped(ledger.session, experiment)
        ledger.record(FILES_DROPPED, {})
