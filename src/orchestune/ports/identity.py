"""The interface of an identity provider, which resolves bearer tokens to users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Person:
    """The owner of a token, as the identity provider names it."""

    name: str
    role: str
    """`viewer`, `editor` or `owner`"""
    expires_at: float | None = None
    """end of the token, as seconds since 1970; None if unknown"""


class IdentityProvider(Protocol):
    """An identity provider. Blocking; raises TemporaryError if it cannot be reached."""

    def who(self, token: str) -> Person | None:
        """Return the owner of a token; None if it is invalid, has expired, or its owner has no role here."""
