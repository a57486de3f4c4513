"""What destroys the cluster that asks for it."""

from __future__ import annotations

from typing import Protocol


class Undertaker(Protocol):
    """Stands outside of the cluster, with rights that nobody inside has."""

    def begin(self) -> None:
        """Have the destruction begin, and return at once. May be repeated: what goes on is not begun twice.

        TemporaryError leaves open whether it has begun; other errors say why it has not.
        """
