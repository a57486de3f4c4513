"""What is said while no answer comes from a server."""

from __future__ import annotations

from orchestune.cli.terminal.render import one_line
from orchestune.errors import TemporaryError, Unreachable


def waits(error: TemporaryError) -> str:
    """Of a request that is tried again."""
    what = "does not answer" if isinstance(error, Unreachable) else "cannot do that now"
    return f"the server {what}, trying again ({one_line(error.message)})"


def silent(seconds: float) -> str:
    """Of one that has not been heard of for so long."""
    return f"the server does not answer, trying again (it said nothing for {seconds:g} s)"
