"""Ephemeral experiments of one trial: removed when the client exits, even if it was killed.

The server removes one a minute after its last heartbeat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.interrupts import Interrupts
from orchestune.cli.terminal.render import one_line
from orchestune.client.states import over
from orchestune.domain.search.space import Configuration
from orchestune.domain.specification.experiment import TEST_LABEL, Specification, StopRules
from orchestune.errors import Denied, OrchestuneError, TemporaryError, Unreachable
from orchestune.sdk.submitting import at_hand

if TYPE_CHECKING:
    from orchestune import documents

_POLL_SECONDS, _LOCAL_POLL_SECONDS = 0.5, 0.2
"""seconds between two status requests, to another machine and to this one"""
_HEARTBEAT_SECONDS = 10.0
"""seconds between two heartbeats"""
_STOP_POLL_SECONDS = 0.05
_STOP_MARGIN_SECONDS = 5.0
"""seconds beyond its grace period in which a stopped trial ends"""


def single(specification: Specification, parameters: Configuration) -> Specification:
    """Return the specification of one trial with these parameters, which is not retried if it fails."""
    labels = {**specification.labels, TEST_LABEL: "0"}
    return replace(
        specification,
        budget=1,
        parallelism=1,
        stop=StopRules(),
        try_first=(parameters,),
        labels=labels,
        retries=0,
        oom_retries=0,
    )


@contextmanager
def kept_alive(console: Console, status: documents.Status, grace: float) -> Iterator[None]:
    """Send heartbeats during the block, then delete the experiment; hide it if this user may not purge it.

    If the block raises, as at Ctrl-C, first terminate its trial and wait for its end, at most `grace` and a few
    seconds.
    """
    ended = threading.Event()
    heartbeats = threading.Thread(target=_send_heartbeats, args=(console, status, ended), daemon=True)
    heartbeats.start()
    try:
        with ExitStack() as on_error:
            on_error.callback(_stop, console, status, grace + _STOP_MARGIN_SECONDS)
            yield
            on_error.pop_all()
    finally:
        ended.set()
        heartbeats.join()
        with suppress(Unreachable):  # the server then misses the heartbeats
            try:
                console.client.delete(status["id"], purge=True)
            except Denied:
                console.client.delete(status["id"])


def _stop(console: Console, status: documents.Status, timeout: float) -> None:
    """Stop the experiment and wait for the end of its trial. Best-effort: deleting it terminates the trial too."""
    deadline = time.monotonic() + timeout
    with suppress(OrchestuneError):
        status = console.client.stop(status["id"])
        while status["counts"]["running"] and time.monotonic() < deadline:
            time.sleep(_STOP_POLL_SECONDS)
            status = console.client.experiment(status["id"])


def _send_heartbeats(console: Console, status: documents.Status, ended: threading.Event) -> None:
    client, count = console.client.clone(), 0
    while not ended.wait(_HEARTBEAT_SECONDS):
        count += 1
        with suppress(OrchestuneError):
            client.change(status["id"], labels={**status["labels"], TEST_LABEL: str(count)})
    client.close()


def wait(
    console: Console,
    status: documents.Status,
    until: Callable[[documents.Status], bool] = over,
    wake: threading.Event | None = None,
) -> documents.Status:
    """Wait until `until` holds or the experiment has ended, printing why it is pending.

    Raises KeyboardInterrupt at Ctrl-C. `wake`: set if there is news, for an earlier status request.
    """
    last_reason, is_start_announced = "", at_hand(console.place)  # processes of this machine start fast
    poll_seconds = _LOCAL_POLL_SECONDS if console.place.embedded else _POLL_SECONDS
    wake = wake or threading.Event()
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
            if wake.wait(poll_seconds):
                wake.clear()
            with suppress(TemporaryError):
                status = console.client.experiment(status["id"])
    return status


def _is_new(worker: Mapping[str, Any]) -> bool:
    """Return True if the worker was started for this experiment.

    A warm worker of another one is "starting" only until it registers.
    """
    return worker["state"] == "starting" and not worker.get("came_from")
