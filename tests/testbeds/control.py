"""A reference for promises of seconds: a process that started at the same moment and suffers the same load.

A machine that is busy with other things makes everything late, the control too; so "before the control has ended"
says what "within two seconds" means, and holds on every machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType

_STARTS_PER_SECOND = 50
"""interpreters that a machine with nothing else to do starts one after the other in about a second"""


class Control:
    """`with Control(2.0, after=1.0) as control:` takes that long, and `after` before it; longer where all is slow."""

    def __init__(self, seconds: float, *, after: float = 0.0) -> None:
        starts = round(seconds * _STARTS_PER_SECOND)
        script = 'sleep "$1"; i=0; while [ $i -lt "$2" ]; do "$3" -S -E -c pass; i=$((i+1)); done'
        self._process = subprocess.Popen(["sh", "-c", script, "control", f"{after}", f"{starts}", sys.executable])

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def outlives(self, is_there: Callable[[], bool]) -> bool:
        """Return True if `is_there()` turns false before the control has ended. Blocks until one of both happens."""
        while True:
            ended = self._process.poll() is not None  # before the look: who is seen after it was late for sure
            if not is_there():
                return True
            if ended:
                return False
            time.sleep(0.02)
