"""Arithmetic on one thread: an engine's matrices are small, and several threads are slower at them than one."""

from __future__ import annotations

import threading
from typing import Any

import scipy.linalg  # noqa: F401 (it brings a BLAS of its own, which has to be there to be told)
from threadpoolctl import ThreadpoolController


class OneThread:
    """A context in which the BLAS of this process uses one thread; afterwards what it used before.

    How many it uses holds for the whole process. So of the threads that are in here at once the first one tells it, and
    the last one takes it back.
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
