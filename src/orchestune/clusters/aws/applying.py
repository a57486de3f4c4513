"""Runs the steps that create a cluster: finds or creates each resource, repairs it, and waits for it.

Idempotent, and safe to interrupt anywhere. A create is never retried blindly: after a temporary error it is unknown if
AWS has created the resource, so `find` runs again first. Two processes at once are excluded by `cluster_lock`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Repair, ResourceIds, Step, repaired
from orchestune.domain.clusters.cluster import CompletedStep, ProvisioningEvent
from orchestune.errors import OrchestuneError, TemporaryError

Say = Callable[[ProvisioningEvent], None]
_FIRST_DELAY, _MAX_DELAY = 1.0, 60.0
"""initial and maximum delay in seconds between retries after a temporary error"""


def apply(aws: Aws, steps: Sequence[Step], say: Say, heartbeat: Callable[[], None]) -> ResourceIds:
    """Find or create each resource and wait until it is usable; return the IDs. Steps of one batch start together."""
    ids: ResourceIds = {}
    numbered = list(enumerate(steps))
    for _, batch in groupby(numbered, key=lambda pair: pair[1].batch or f"step {pair[0]}"):
        started = []
        for _, step in batch:
            start = aws.clock()
            outcome = _start(aws, step, ids, say)
            heartbeat()
            started.append((step, start, outcome))
        for step, start, outcome in started:
            _finish(aws, step, ids, start, outcome, say, heartbeat)
    return ids


def inspect_steps(steps: Sequence[Step]) -> Iterator[tuple[Step, Sequence[Repair] | None]]:
    """Yield each step with the repairs it needs, or None if its resource is missing. Changes nothing."""
    ids: ResourceIds = {}
    for step in steps:
        resource_id = step.find(ids)
        if resource_id is None:
            yield step, None
        else:
            ids[step.key] = resource_id
            yield step, step.find_repairs(ids)


def _start(aws: Aws, step: Step, ids: ResourceIds, say: Say) -> CompletedStep:
    """Find or create the resource without waiting for it; return FOUND or MADE."""
    say(ProvisioningEvent(CompletedStep.WAITING, step.planned))
    try:
        return _find_or_create(aws, step, ids)
    except OrchestuneError:
        say(ProvisioningEvent(CompletedStep.FAILED, step.planned))
        raise


def _find_or_create(aws: Aws, step: Step, ids: ResourceIds) -> CompletedStep:
    """Find or create the resource. Never retries a create blindly: `find` shows if it took effect."""
    outcome, delay = CompletedStep.FOUND, _FIRST_DELAY
    while (resource_id := step.find(ids)) is None:
        outcome = CompletedStep.MADE
        try:
            resource_id = step.create(ids)
            break
        except TemporaryError:
            if delay > _MAX_DELAY:
                raise
        aws.sleep(delay)
        delay *= 2
    ids[step.key] = resource_id
    return outcome


def _finish(
    aws: Aws,
    step: Step,
    ids: ResourceIds,
    start: float,
    outcome: CompletedStep,
    say: Say,
    heartbeat: Callable[[], None],
) -> None:
    """Repair the resource, wait until it is usable, and report the outcome."""

    def report_waiting() -> None:
        heartbeat()
        say(ProvisioningEvent(CompletedStep.WAITING, step.planned, aws.clock() - start))

    try:
        repairs = step.find_repairs(ids)
        for repair in repairs:
            repair.do()
        step.wait(ids, report_waiting)
    except OrchestuneError:
        say(ProvisioningEvent(CompletedStep.FAILED, step.planned, aws.clock() - start))
        raise
    if repairs and outcome is CompletedStep.FOUND:
        say(ProvisioningEvent(CompletedStep.CHANGED, repaired(step, repairs), aws.clock() - start))
    else:
        say(ProvisioningEvent(outcome, step.planned, aws.clock() - start))
