"""Resources allocated for each trial of an experiment on its backend."""

from __future__ import annotations

from orchestune.domain.clusters.builtin import LOCAL
from orchestune.domain.resources.more_memory import sized
from orchestune.domain.resources.peaks import set_aside
from orchestune.domain.resources.resources import Resources
from orchestune.domain.specification.experiment import TEST_LABEL, Specification
from orchestune.ports.backend import Backend
from orchestune.services.core import Core
from orchestune.store.experiments import ExperimentRow


def allocated(backend: Backend, row: ExperimentRow, memory: int = 0) -> Resources:
    """Return the requested resources, or the measured memory if the backend does not enforce the request.

    `memory`: bytes for a trial retried with more memory; 0: the default.
    """
    requested = backend.needs(row.specification.resources, row.launch)
    if backend.limits_memory or row.peaks.expected is None:
        return backend.total_request(sized(requested, memory), row.specification.placement)
    largest = max((machine.memory for machine in backend.capacity().machines), default=0)
    return sized(set_aside(requested, row.peaks, largest), memory)


def runs_unscheduled(core: Core, cluster: str, specification: Specification) -> bool:
    """Return True if the trial is an ephemeral run on its user's own machine.

    It starts at once, whatever it requests and whatever else runs.

    There a request reserves resources but enforces no limit, and its user waits in front of the screen, perhaps for a
    trial beside the experiment that holds the whole machine. A server of several users schedules everything.
    """
    return core.single_user and cluster == LOCAL and TEST_LABEL in specification.labels
