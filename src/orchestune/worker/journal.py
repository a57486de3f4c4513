"""The worker's own log: one plain line on standard output for each notable thing, and never a secret."""

from __future__ import annotations

import sys
import time

DONE = "ending: nothing is left to do"
"""the last words of a worker that ended in good order: whoever cannot know its exit code reads them"""


def say(text: str) -> None:
    """Write a line; a log that cannot be written stops nobody."""
    try:
        sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass


def traceback_of(error: BaseException) -> str:
    """Where an error came from that nobody thought of."""
    import traceback  # only where it is needed: the worker starts faster

    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
