"""Notifications about an experiment: stored in the transaction of the change, sent later by a controller."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NotRequired, TypedDict

from orchestune import documents
from orchestune.domain.lifecycle.states import ExperimentState
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.domain.specification.notify import BETTER, STUCK, moment
from orchestune.services.core import Core
from orchestune.store import experiment_lists, notifications, trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.notifications import NewNotice
from orchestune.store.session import Session


class BestTrial(TypedDict):
    """The incumbent by the first metric."""

    trial: int
    metric: str
    value: float | None
    parameters: documents.Parameters


class MessageFacts(TypedDict):
    """Snapshot of the experiment that is stored with a message."""

    experiment: str
    id: str
    name: str
    owner: str
    labels: dict[str, str]
    state: str
    reason: documents.Reason | None
    budget: int
    completed: int
    failed: int
    pruned: int
    best: BestTrial | None
    seconds: NotRequired[float]
    """seconds without progress; only in messages about a stuck experiment"""


class Message(MessageFacts):
    """The payload that is sent."""

    text: str


def note(session: Session, row: ExperimentRow, before: ExperimentState, best_before: float | None) -> bool:
    """Store the messages about a change in its transaction; return True if there are any."""
    kind = moment(before, row.state)
    if not kind and row.best_value == best_before:
        return False
    if not experiment_lists.readable([row]):
        return False  # it can be stopped all the same
    objective = row.specification.objective
    messages = [(notifications.SERVER, kind)] if kind and TEST_LABEL not in json.loads(row.labels_json) else []
    for index, hook in enumerate(row.specification.notify):
        if kind and hook.hears(kind):
            messages.append((str(index), kind))
        if hook.crossed(objective, best_before, row.best_value):
            messages.append((str(index), BETTER))
    return _write(session, row, messages)


def note_stuck(session: Session, row: ExperimentRow, seconds: float, hooks: Sequence[str]) -> None:
    """Store messages to `hooks` about an experiment without progress for `seconds`."""
    _write(session, row, [(hook, STUCK) for hook in hooks], seconds)


def _write(
    session: Session, row: ExperimentRow, messages: Sequence[tuple[str, str]], seconds: float | None = None
) -> bool:
    if not messages:
        return False
    facts = _facts(session, row)
    if seconds is not None:
        facts["seconds"] = seconds
    data = json.dumps(facts)
    notifications.add(session, [NewNotice(row.id, row.event_seq, kind, hook, data) for hook, kind in messages])
    return True


def document(core: Core, row: ExperimentRow, kind: str, data: str) -> Message:
    """Return the payload: the stored facts and a line of text. Takes up to a second.

    For a finished search the best trial is the one that `best` shows: if values are noisy, a model selects it.
    """
    facts: MessageFacts = json.loads(data)
    if row.state.over and facts["best"] and facts["completed"] == row.completed:
        core.estimates.refresh(core.store, row)
        with core.store.reading() as session:
            estimate = core.estimates.known(session, row)
            if estimate is not None:
                facts["best"] = _best(session, row, estimate.trial)
    return {**facts, "text": _text(kind, facts)}


def _facts(session: Session, row: ExperimentRow) -> MessageFacts:
    reason = row.reason or row.waiting
    return {
        "experiment": row.handle,
        "id": row.id,
        "name": row.name,
        "owner": row.owner,
        "labels": json.loads(row.labels_json),
        "state": row.state,
        "reason": reason.to_json() if reason else None,
        "budget": row.budget,
        "completed": row.completed,
        "failed": row.failed,
        "pruned": row.pruned,
        "best": _best(session, row, row.best_trial),
    }


def _best(session: Session, row: ExperimentRow, number: int | None) -> BestTrial | None:
    trial = trials.get(session, row.id, number) if number is not None else None
    if trial is None or number is None:
        return None
    metric = row.specification.objective.name
    value = row.best_value
    if number != row.best_trial:
        value = trials.metrics_of(session, row.id, [number])[number][metric].value
    return {"trial": number, "metric": metric, "value": value, "parameters": json.loads(trial.parameters)}


def _text(kind: str, facts: MessageFacts) -> str:
    """Return the message as one line of text."""
    best, reason, name = facts["best"], facts["reason"], facts["name"]
    best_text = f"{best['metric']} {best['value']:.6g} (trial {best['trial']})" if best else ""
    if kind == BETTER:
        return f"{name}: {best_text} is the best so far"
    if kind == STUCK:
        text = f"{name} is stuck: no trial began, ended or reported a value for {_minutes(facts['seconds'])}"
        return f"{text}; {_reason_text(reason)}" if reason else text
    verb = "was stopped" if facts["state"] == ExperimentState.STOPPED else {"paused": "is paused"}.get(kind, kind)
    finished = facts["completed"] + facts["failed"] + facts["pruned"]
    text = f"{name} {verb} after {finished} of {facts['budget']} trials"
    text += f"; {_reason_text(reason)}" if reason and kind != "finished" else ""
    return f"{text}; best {best_text}" if best_text else text


def _reason_text(reason: documents.Reason) -> str:
    return reason["message"] or reason["code"]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
