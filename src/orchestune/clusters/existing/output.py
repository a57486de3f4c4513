"""Incremental reading of a pod's log by polling the API server."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable

_KEPT = 25
"""log tail kept for error messages, in lines"""
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ?")
_BUILT = "Successfully tagged"


class Output:
    """Emits each log line once. `sinceTime` has a resolution of one second, so timestamps identify repeated lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known = Counter[str]()
        """lines of the last response, with their counts"""
        self.since: str | None = None
        """`sinceTime` of the next request; None: the whole log"""
        self.end = deque[str](maxlen=_KEPT)
        self.built = False
        """True once the image is built and only the push is left"""

    def take(self, text: str, *, complete: bool) -> None:
        """Process the log since `since`, with timestamps. Unless `complete`, an unfinished last line is dropped."""
        lines = text.split("\n")
        if not complete or not lines[-1]:
            lines.pop()
        if not lines:
            return
        known, self._known = self._known, Counter(lines)
        for line in lines:
            if known[line]:
                known[line] -= 1
                continue
            time = _TIME.match(line)
            if time:
                self.since = time[1] + time[2]
            for part in line[time.end() if time else 0 :].splitlines() or [""]:
                self._tell(part)

    def _tell(self, line: str) -> None:
        self.built = self.built or line.startswith(_BUILT)
        self.end.append(line)
        self._say(line)
