"""The host's GPUs by UUID: indices are renumbered inside a container, UUIDs are the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orchestune.backends.nvidia import listed, visible
from orchestune.domain.resources.gpus import Gpu


def ask(environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """Return the GPUs for `DeviceRequests` and `CUDA_VISIBLE_DEVICES`; empty without `nvidia-smi`. Takes seconds."""
    return visible(listed(environ), environ.get("CUDA_VISIBLE_DEVICES"), by_uuid=True)
