"""Ephemeral experiments of one trial: removed when the client exits, even if it was killed.

The server removes one a minute after its last heartbeat.
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

_POLL_SECONDS = 0.5
"""seconds between two status requests"""
_HEARTBEAT_SECONDS = 10.0
"""seconds between two heartbeats"""


def single(specification: Specification, parameters: Configuration) -> Specification:
    """Return the specification of one trial with these parameters."""
    labels = {**specification.labels, TEST_LABEL: "0"}
    return replace(specification, budget=1, parallelism=1, stop=StopRules(), try_first=(parameters,), labels=labels)


@contextmanager
def kept_alive(console: Console, status: documents.Status) -> Iterator[None]:
    """Send heartbeats during the block, then delete the experiment; hide it if this user may not purge it."""
    ended = threading.Event()
    heartbeats = threading.Thread(target=_send_heartbeats, args=(console, status, ended), daemon=True)
    heartbeats.start()
    try:
        yield
    finally:
        ended.set()
        heartbeats.join()
        with suppress(Unreachable):  # the server then misses the heartbeats
            try:
                console.client.delete(status["id"], purge=True)
            except Denied:
                console.client.delete(status["id"])


def _send_heartbeats(console: Console, status: documents.Status, ended: threading.Event) -> None:
    client, count = console.client.clone(), 0
    while not ended.wait(_HEARTBEAT_SECONDS):
        count += 1
        with suppress(OrchestuneError):
            client.change(status["id"], labels={**status["labels"], TEST_LABEL: str(count)})
    client.close()


def wait(
    console: Console, status: documents.Status, until: Callable[[documents.Status], bool] = over
) -> documents.Status:
    """Wait until `until` holds or the experiment has ended, printing why it is pending. Raises KeyboardInterrupt at
    Ctrl-C.
    """
    last_reason, is_start_announced = "", False
    with Interrupts() as pressed:
        while not over(status) and not until(status):
            reason = one_line(status["reason"]["message"]) if status["reason"] else ""
            if reason and reason != last_reason:
                console.note(f"waiting: {reason}")
            last_reason = reason
            if not is_start_announced and any(_is_new(worker) for worker in status.get("workers", ())):
                is_start_announced = True
                console.note(f"no suitable idle worker in {console.place.name}: starting one")
            if pressed.count:
                raise KeyboardInterrupt
            time.sleep(_POLL_SECONDS)
            with suppress(TemporaryError):
                status = console.client.experiment(status["id"])
    return status


def _is_new(worker: Mapping[str, Any]) -> bool:
    """Return True if the worker was started for this experiment; a warm worker of another one is "starting" only until
    it registers.
    """
    return worker["state"] == "starting" and not worker.get("came_from")
