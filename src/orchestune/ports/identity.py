"""Who else than the holders of our own tokens may call: what the place says of a bearer token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Person:
    """Who a token stands for, in the words of the place that issued it."""

    name: str
    role: str
    """`viewer`, `editor` or `owner`"""
    expires_at: float | None = None
    """end of the token, as seconds since 1970; None if unknown"""


class Identity(Protocol):
    """A place that issues tokens. Blocking; `TemporaryError` where it cannot be asked now."""

    def who(self, token: str) -> Person | None:
        """None for a token that is not genuine, has expired, or stands for somebody without a role here."""
