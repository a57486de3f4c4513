"""Health checks and metrics of the server itself."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

from orchestune.domain.lifecycle.states import ExperimentState, WorkerState
from orchestune.errors import StoreUnavailable
from orchestune.ports.clock import new_id
from orchestune.services.core import Core
from orchestune.store import experiment_lists, idempotency, notifications, tracking_runs, workers


@dataclass(frozen=True)
class Gauge:
    """Description of one name of `/metrics`."""

    about: str
    label: str = ""
    values: tuple[str, ...] = ()
    """Values that the label may have."""


_COUNTED = ("queued", "running", "completed", "failed", "pruned", "cancelled")
GAUGES: Mapping[str, Gauge] = {
    "orchestune_experiments": Gauge("Experiments that are not deleted.", "state", tuple(ExperimentState)),
    "orchestune_workers": Gauge("Workers, without those that ended.", "state",
                                tuple(state for state in WorkerState if state is not WorkerState.ENDED)),
    "orchestune_trials": Gauge("Trials of all experiments, deleted ones with them until they are purged.", "state",
                               _COUNTED),
    "orchestune_live_attempts": Gauge("Attempts that hold a lease: what runs now."),
    "orchestune_waiting_messages": Gauge("Messages of `notify` that are not delivered yet."),
    "orchestune_unrecorded_experiments": Gauge("Experiments with events that are not recorded in MLflow yet."),
}  # fmt: skip
"""All names that `metrics` returns."""
_CHECK_SECONDS = 5.0
"""Timeout after which a locked store is reported."""
_FILES_SECONDS = 15.0
"""Timeout of the file store: the retries of a bucket client alone take a minute."""
Sample = tuple[str, dict[str, str], float]


def health(core: Core) -> None:
    """Raise StoreUnavailable if the store cannot be read, or if its last write failed because its disk is full."""
    if core.store.full:
        raise StoreUnavailable("the disk of the store is full", "free some space; nothing was lost")
    with core.store.reading() as session:
        experiment_lists.page(session, folder=None, limit=1, before=None)


def check(core: Core) -> None:
    """Check that the store is writable: write a dummy row and a dummy file, which is read and deleted.

    Raises StoreUnavailable if one of them fails: disk full, read-only, locked, unreachable.
    """
    with core.store.impatient(_CHECK_SECONDS), core.store.transaction() as session:
        idempotency.remember(session, "orchestune-check", "", 204, "", 0.0)
    trial = ThreadPoolExecutor(1)
    try:
        trial.submit(_keep_a_file, core).result(_FILES_SECONDS)
    except TimeoutError:
        raise StoreUnavailable(
            f"the file store does not respond within {_FILES_SECONDS:.0f} s",
            "check its address, and that no NetworkPolicy or firewall blocks the server",
        ) from None
    finally:
        trial.shutdown(wait=False)


def _keep_a_file(core: Core) -> None:
    key = f"checks/{new_id(core.clock)}"
    core.files.put(key, BytesIO(b"orchestune"))
    try:
        with core.files.open(key) as stream:
            stream.read()
    finally:
        core.files.delete(key)


def metrics(core: Core) -> list[Sample]:
    """Return name, labels and value of each sample; the cost does not depend on the number of trials."""
    with core.store.reading() as session:
        samples: list[Sample] = [
            ("orchestune_experiments", {"state": state}, count)
            for state, count in experiment_lists.count_by_state(session).items()
        ]
        samples += [
            ("orchestune_workers", {"state": state}, count) for state, count in workers.count_by_state(session).items()
        ]
        sums = experiment_lists.sums(session, (*_COUNTED, "live_attempts"))
        messages, unrecorded = notifications.waiting(session), len(tracking_runs.behind(session))
    samples += [("orchestune_trials", {"state": name}, float(sums[name])) for name in _COUNTED]
    samples.append(("orchestune_live_attempts", {}, float(sums["live_attempts"])))
    samples.append(("orchestune_waiting_messages", {}, float(messages)))
    samples.append(("orchestune_unrecorded_experiments", {}, float(unrecorded)))
    return samples
