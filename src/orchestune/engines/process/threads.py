"""Limits BLAS to one thread: for an engine's small matrices several threads are slower than one."""

from __future__ import annotations

import threading
from typing import Any

import scipy.linalg  # noqa: F401 (it has its own BLAS, which must be loaded to be limited)
from threadpoolctl import ThreadpoolController


class OneThread:
    """A context in which the BLAS of this process uses one thread; the previous limits are restored afterwards.

    The limit applies to the whole process. So of several threads in the context the first one sets it, and the last one
    restores it.
    """

    def __init__(self) -> None:
        self._libraries = ThreadpoolController()
        self._lock = threading.Lock()
        self._inside = 0
        self._told: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._told = self._libraries.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._told.restore_original_limits()


ONE_THREAD = OneThread()
