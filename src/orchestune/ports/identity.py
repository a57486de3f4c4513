"""The interface of an identity provider, which resolves bearer tokens to users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Person:
    """The user to whom a token belongs, as the identity provider names them."""

    name: str
    role: str
    """`viewer`, `editor` or `owner`"""
    expires_at: float | None = None
    """end of the token, as seconds since 1970; None if unknown"""


class IdentityProvider(Protocol):
    """An identity provider. Blocking; raises TemporaryError if it cannot be reached."""

    def who(self, token: str) -> Person | None:
        """Return the user to whom a token belongs; None if it is invalid, has expired, or they have no role here."""
