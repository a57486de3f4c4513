"""Experiments of one trial for which somebody waits: gone with them, also where their program was killed.

The server removes one a minute after it last heard of somebody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.interrupts import Interrupts
from orchestune.cli.terminal.render import one_line
from orchestune.client.states import over
from orchestune.domain.search.space import Configuration
from orchestune.domain.specification.experiment import TEST_LABEL, Specification, StopRules
from orchestune.errors import Denied, OrchestuneError, TemporaryError, Unreachable

if TYPE_CHECKING:
    from orchestune import documents

_LOOK = 0.5
"""seconds between two looks at the experiment"""
_BEAT = 10.0
"""seconds after which the server hears that somebody still waits"""


def single(specification: Specification, parameters: Configuration) -> Specification:
    """The specification of one trial with these parameters."""
    labels = {**specification.labels, TEST_LABEL: "0"}
    return replace(specification, budget=1, parallelism=1, stop=StopRules(), try_first=(parameters,), labels=labels)


@contextmanager
def attended(console: Console, status: documents.Status) -> Iterator[None]:
    """While somebody waits for it; afterwards it is removed: for good where this user may, else it is hidden."""
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(console, status, ended), daemon=True)
    beats.start()
    try:
        yield
    finally:
        ended.set()
        beats.join()
        with suppress(Unreachable):  # then the server will see that nobody waits
            try:
                console.client.delete(status["id"], purge=True)
            except Denied:
                console.client.delete(status["id"])


def _beat(console: Console, status: documents.Status, ended: threading.Event) -> None:
    client, count = console.client.clone(), 0
    while not ended.wait(_BEAT):
        count += 1
        with suppress(OrchestuneError):
            client.change(status["id"], labels={**status["labels"], TEST_LABEL: str(count)})
    client.close()


def wait(
    console: Console, status: documents.Status, until: Callable[[documents.Status], bool] = over
) -> documents.Status:
    """Until that holds, or it is over; why nothing moves is said meanwhile. KeyboardInterrupt at Ctrl-C."""
    said, starts = "", False
    with Interrupts() as pressed:
        while not over(status) and not until(status):
            reason = one_line(status["reason"]["message"]) if status["reason"] else ""
            if reason and reason != said:
                console.note(f"waiting: {reason}")
            said = reason
            if not starts and any(_is_new(worker) for worker in status.get("workers", ())):
                starts = True
                console.note(f"no idle worker in {console.place.name} fits: one is started")
            if pressed.count:
                raise KeyboardInterrupt
            time.sleep(_LOOK)
            with suppress(TemporaryError):
                status = console.client.experiment(status["id"])
    return status


def _is_new(worker: Mapping[str, Any]) -> bool:
    """Whether it was started for this; one that came from another experiment is starting only until it says so."""
    return worker["state"] == "starting" and not worker.get("came_from")
