"""Questions to whoever sits at the terminal."""

from __future__ import annotations

import sys

from orchestune.errors import UsageError


class NotDone(UsageError):
    """The user said no."""

    code = "not_done"
    exit_code = 1


def confirm(question: str, refused: str) -> None:
    """Go on after a yes. NotDone, with `refused` as its message, after anything else; UsageError without a terminal."""
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask on this input", "say --yes to go on without a question")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotDone(refused)
