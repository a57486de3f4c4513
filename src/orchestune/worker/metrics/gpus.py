"""Reads the utilization of NVIDIA GPUs from the driver's library (NVML), without starting a process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

_LIBRARY = "libnvidia-ml.so.1"
_FOLDERS = ("", "/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/", "/usr/lib64/", "/usr/local/nvidia/lib64/")
"""folders to search, since the loader's search path may lack the library"""
_NO_GPU_VALUES = ("", "all", "none", "void", "NoDevFiles")
"""values of `NVIDIA_VISIBLE_DEVICES` that name no GPU"""


class GpuUtilization(NamedTuple):
    """Utilization of several GPUs: mean fraction of time in which they were busy, and total bytes allocated."""

    share: float
    memory: int


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def own(gpus: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs of an attempt: those of its lease or, if it has none, those visible in the container."""
    if gpus:
        return tuple(gpus)
    visible = environ.get("NVIDIA_VISIBLE_DEVICES", "").strip()
    return () if visible in _NO_GPU_VALUES else tuple(word.strip() for word in visible.split(",") if word.strip())


class Nvml:
    """Client of the NVML library, which is loaded on first use."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self._load = load
        self._library: Any = None
        self._is_loaded = False
        self._handles: dict[str, ctypes.c_void_p] = {}

    def busy(self, gpus: Sequence[str]) -> GpuUtilization | None:
        """Return the current utilization of GPUs given by index or UUID; None if any is unknown or NVML is missing."""
        if not gpus or not self._ready():
            return None
        shares, memory = 0.0, 0
        for gpu in gpus:
            handle, rates, memory_info = self._handle(gpu), _Utilization(), _Memory()
            if (
                handle is None
                or self._library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates))
                or self._library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory_info))
            ):
                return None
            shares += rates.gpu / 100
            memory += memory_info.used
        return GpuUtilization(shares / len(gpus), memory)

    def _ready(self) -> bool:
        if not self._is_loaded:
            self._is_loaded = True
            for folder in _FOLDERS:
                if folder and not os.path.exists(folder + _LIBRARY):
                    continue
                try:
                    library = self._load(folder + _LIBRARY)
                    self._library = None if library.nvmlInit_v2() else library
                except (OSError, AttributeError):  # missing, or for another architecture
                    continue
                break
        return self._library is not None

    def _handle(self, gpu: str) -> ctypes.c_void_p | None:
        if gpu not in self._handles:
            handle = ctypes.c_void_p()
            if gpu.isdigit():
                failed = self._library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(gpu)), ctypes.byref(handle))
            else:
                failed = self._library.nvmlDeviceGetHandleByUUID(gpu.encode(), ctypes.byref(handle))
            if failed:
                return None
            self._handles[gpu] = handle
        return self._handles[gpu]
