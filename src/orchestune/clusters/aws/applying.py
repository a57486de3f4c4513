"""Creation of missing resources, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Made, Repair, Step, mended
from orchestune.domain.clusters.cluster import CompletedStep, ProvisioningEvent
from orchestune.errors import OrchestuneError, TemporaryError

Say = Callable[[ProvisioningEvent], None]
_FIRST, _LONGEST = 1.0, 60.0
"""initial and maximum delay in seconds between retries after a temporary error"""


def apply(aws: Aws, steps: Sequence[Step], say: Say, beat: Callable[[], None]) -> Made:
    """Find or create each resource and wait until it is usable; return the IDs. Steps of one batch start together."""
    made: Made = {}
    numbered = list(enumerate(steps))
    for _, together in groupby(numbered, key=lambda item: item[1].batch or f"step {item[0]}"):
        begun = []
        for _, step in together:
            began = aws.clock()
            what = _begin(aws, step, made, say)
            beat()
            begun.append((step, began, what))
        for step, began, what in begun:
            _settle(aws, step, made, began, what, say, beat)
    return made


def looked(steps: Sequence[Step]) -> Iterator[tuple[Step, Sequence[Repair] | None]]:
    """Yield each step with the repairs it needs, or None if its resource is missing. Changes nothing."""
    made: Made = {}
    for step in steps:
        found = step.find(made)
        if found is None:
            yield step, None
        else:
            made[step.key] = found
            yield step, step.lacks(made)


def _begin(aws: Aws, step: Step, made: Made, say: Say) -> CompletedStep:
    say(ProvisioningEvent(CompletedStep.WAITING, step.planned))
    try:
        return _found_or_made(aws, step, made)
    except OrchestuneError:
        say(ProvisioningEvent(CompletedStep.FAILED, step.planned))
        raise


def _found_or_made(aws: Aws, step: Step, made: Made) -> CompletedStep:
    """Find or create the resource. Never retries a create blindly: `find` shows if it took effect."""
    what, pause = CompletedStep.FOUND, _FIRST
    while (found := step.find(made)) is None:
        what = CompletedStep.MADE
        try:
            found = step.make(made)
            break
        except TemporaryError:
            if pause > _LONGEST:
                raise
        aws.sleep(pause)
        pause *= 2
    made[step.key] = found
    return what


def _settle(
    aws: Aws, step: Step, made: Made, began: float, what: CompletedStep, say: Say, beat: Callable[[], None]
) -> None:
    def alive() -> None:
        beat()
        say(ProvisioningEvent(CompletedStep.WAITING, step.planned, aws.clock() - began))

    try:
        mends = step.lacks(made)
        for mend in mends:
            mend.do()
        step.settle(made, alive)
    except OrchestuneError:
        say(ProvisioningEvent(CompletedStep.FAILED, step.planned, aws.clock() - began))
        raise
    if mends and what is CompletedStep.FOUND:
        say(ProvisioningEvent(CompletedStep.CHANGED, mended(step, mends), aws.clock() - began))
    else:
        say(ProvisioningEvent(what, step.planned, aws.clock() - began))
