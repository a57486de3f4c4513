"""Questions to whoever sits at the terminal."""

from __future__ import annotations

import sys

from orchestune.errors import UsageError


class Declined(UsageError):
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
        raise Declined(refused)


def attended() -> bool:
    """Whether somebody sits there who could answer."""
    return sys.stdin.isatty()


def agreed(question: str) -> bool:
    """A yes, or nothing said. Asked again until it is a yes or a no."""
    while (said := answer(f"{question} [Y/n]").lower()) not in ("", "y", "yes", "n", "no"):
        pass
    return said not in ("n", "no")


def answer(question: str, default: str = "") -> str:
    """What is typed, or the default where nothing is. NotDone at the end of the input."""
    sys.stderr.write(f"{question} [{default}] " if default else f"{question} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")  # the error does not stand behind the question
        raise Declined("nothing was written")
    return line.strip() or default
