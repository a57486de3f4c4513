"""Incremental reading of a pod's log by polling the API server."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable

_TAIL_LINES = 25
"""log tail kept for error messages, in lines"""
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ?")
_BUILT_PREFIX = "Successfully tagged"


class Output:
    """Emits each log line once. `sinceTime` has a resolution of one second, so timestamps identify repeated lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._previous = Counter[str]()
        """lines of the last response, with their counts"""
        self.since: str | None = None
        """`sinceTime` of the next request; None: the whole log"""
        self.end = deque[str](maxlen=_TAIL_LINES)
        self.built = False
        """True once the image is built and only the push is left"""

    def take(self, text: str, *, complete: bool) -> None:
        """Process the log since `since`, with timestamps. Unless `complete`, an unfinished last line is dropped."""
        lines = text.split("\n")
        if not complete or not lines[-1]:
            lines.pop()
        if not lines:
            return
        previous, self._previous = self._previous, Counter(lines)
        for line in lines:
            if previous[line]:
                previous[line] -= 1
                continue
            timestamp = _TIMESTAMP.match(line)
            if timestamp:
                self.since = timestamp[1] + timestamp[2]
            for part in line[timestamp.end() if timestamp else 0 :].splitlines() or [""]:
                self._emit(part)

    def _emit(self, line: str) -> None:
        self.built = self.built or line.startswith(_BUILT_PREFIX)
        self.end.append(line)
        self._say(line)
