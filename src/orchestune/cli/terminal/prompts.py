"""Questions to the user at the terminal."""

from __future__ import annotations

import sys

from orchestune.errors import UsageError


class Declined(UsageError):
    """The user declined, or gave no answer."""

    code = "not_done"
    exit_code = 1


def confirm(question: str, message: str) -> None:
    """Ask for a yes. Raises Declined with `message` after any other answer, UsageError without a terminal."""
    if not sys.stdin.isatty():
        raise UsageError("cannot ask for confirmation: no terminal", "add --yes to skip the question")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Declined(message)


def is_interactive() -> bool:
    """Return True if standard input is a terminal."""
    return sys.stdin.isatty()


def confirm_default_yes(question: str) -> bool:
    """Ask until the answer is a yes, empty (yes) or a no."""
    while (reply := answer(f"{question} [Y/n]").lower()) not in ("", "y", "yes", "n", "no"):
        pass
    return reply not in ("n", "no")


def answer(question: str, default: str = "") -> str:
    """Return the typed answer, or the default if it is empty. Raises Declined at the end of the input."""
    sys.stderr.write(f"{question} [{default}] " if default else f"{question} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")  # print the error on its own line
        raise Declined("no answer")
    return line.strip() or default
