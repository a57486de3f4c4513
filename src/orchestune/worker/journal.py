"""The worker's own log: one line on standard output per notable event, never with secrets."""

from __future__ import annotations

import sys
import time

DONE = "ending: nothing is left to do"
"""last log line of a worker that exited cleanly, for launchers that cannot read its exit code"""


def say(text: str) -> None:
    """Write a line to the log. Errors of writing are ignored."""
    try:
        sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an unexpected error."""
    import traceback  # imported only here, for a faster start

    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
