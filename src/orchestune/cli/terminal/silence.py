"""Messages while a server does not answer."""

from __future__ import annotations

from orchestune.cli.terminal.render import first_and_last_line
from orchestune.errors import TemporaryError, Unreachable


def retry_message(error: TemporaryError) -> str:
    """Return the message for a request that is retried."""
    what = "does not answer" if isinstance(error, Unreachable) else "cannot serve the request now"
    return f"the server {what}, retrying ({first_and_last_line(error.message)})"


def silence_message(seconds: float) -> str:
    """Return the message for a server without news for `seconds`."""
    return f"the server does not answer, retrying (no news for {seconds:g} s)"
