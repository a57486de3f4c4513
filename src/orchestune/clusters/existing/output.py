"""What a pod writes, of which the API server is asked again and again for what is new."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable

_KEPT = 25
"""lines that an error shows"""
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ?")
_BUILT = "Successfully tagged"


class Output:
    """Tells each line once, though a log is had from a whole second on: the times in it tell its lines apart."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known = Counter[str]()
        """the lines of the log as it was had last"""
        self.since: str | None = None
        """the second from which on the log is wanted; None: all of it"""
        self.end = deque[str](maxlen=_KEPT)
        self.built = False
        """an image was made, and is about to be pushed"""

    def take(self, text: str, *, complete: bool) -> None:
        """The log from `since` on, with times. Unless it is `complete`, its last line may be half of one."""
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
