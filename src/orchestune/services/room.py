"""What is set aside for each trial of an experiment at the place where it runs."""

from __future__ import annotations

from orchestune.domain.more_memory import sized
from orchestune.domain.peaks import set_aside
from orchestune.domain.resources import Resources
from orchestune.ports.backend import Backend
from orchestune.store.experiments import ExperimentRow


def room(backend: Backend, row: ExperimentRow, memory: int = 0) -> Resources:
    """What its file asks for, or what its trials were seen to take where nothing limits them to that.

    `memory`: bytes for a trial that gets more; 0: what the file says.
    """
    asked = backend.needs(row.specification.resources, row.launch)
    if backend.limits_memory or row.peaks.expected is None:
        return backend.takes(sized(asked, memory), row.specification.placement)
    most = max((machine.memory for machine in backend.capacity().machines), default=0)
    return sized(set_aside(asked, row.peaks, most), memory)
