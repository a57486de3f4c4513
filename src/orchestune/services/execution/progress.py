"""Guard against trials that begin again and again: their place ends them before they have published a checkpoint.

A preemption costs no budget and no retry. A trial that needs more time than its place gives it would otherwise use
machines forever: a Slurm job with a time limit, spot instances that are taken back.
"""

from __future__ import annotations

import json

from orchestune.domain.lifecycle.states import AttemptState, Reason, ReasonCode
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store.statements.attempts import NEWEST_OF_FOLD, EndOfAttempt

PREEMPTIONS = 3
"""consecutive preemptions of a fold without a new checkpoint after which the experiment is paused"""
_CODES = (ReasonCode.PREEMPTED, ReasonCode.WORKER_STOPPED)
"""reasons of a place; pauses, quarantines and changed policies end attempts as preempted as well"""


def pause_without_progress(ledger: Ledger, trial: int, fold: int) -> None:
    """Pause the experiment if the last attempts of a fold were all preempted and none published a checkpoint."""
    if ReasonCode.NO_PROGRESS in ledger.row.waived_guards:
        return
    where = {"experiment": ledger.row.id, "trial": trial, "fold": fold, "limit": PREEMPTIONS}
    ends = ledger.session.rows(NEWEST_OF_FOLD, where)
    reasons = [_place_reason(end) for end in ends]
    if len(ends) < PREEMPTIONS or None in reasons:
        return
    checkpoint = json.loads(ends[0].checkpoint) if ends[0].checkpoint else {}
    if checkpoint.get("attempt") in {end.id for end in ends}:
        return
    longest = max((end.finished_at or 0.0) - (end.started_at or 0.0) for end in ends)
    span = f"{longest:.0f} s" if longest < 120 else f"{longest / 60:.0f} min"
    text = (
        f"trial {trial} was ended {PREEMPTIONS} times in a row, after {span} at most, and began again each time; the"
        f" last time: {reasons[0]}\nPublish checkpoints (`checkpoint`), or give trials more time: {_limit(ledger)}"
    )
    ledger.pause(Reason(ReasonCode.NO_PROGRESS, text))


def _limit(ledger: Ledger) -> str:
    """Return the setting that may limit the time of the experiment's trials."""
    time = ledger.row.specification.placement.slurm.get("time")
    if time is not None:
        return f"now each job ends after `slurm: {{time: {time}}}`"
    return "on Slurm by `slurm: {time: …}`, on a cloud by nodes that are not taken back"


def _place_reason(end: EndOfAttempt) -> str | None:
    """Return why the place ended an attempt that had begun; None if something else ended it."""
    if end.state is not AttemptState.PREEMPTED or end.started_at is None or not end.reason:
        return None
    reason = Reason.from_json(json.loads(end.reason))
    return reason.message if reason is not None and reason.code in _CODES else None
