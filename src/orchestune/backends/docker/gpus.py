"""The machine's GPUs by UUID: a container counts those that it sees anew, and a UUID means the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orchestune.backends.nvidia import listed, visible
from orchestune.domain.cards import Card


def ask(environ: Mapping[str, str] = os.environ) -> tuple[Card, ...]:
    """The cards for `DeviceRequests` and `CUDA_VISIBLE_DEVICES`; none where there is no `nvidia-smi`. Takes seconds."""
    return visible(listed(environ), environ.get("CUDA_VISIBLE_DEVICES"), by_uuid=True)
