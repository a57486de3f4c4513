"""An identity provider, like a cluster for its accounts."""

from __future__ import annotations

from orchestune.ports.identity import Person


class Vouching:
    """A place whose tokens are `ROLE-token`."""

    def who(self, token: str) -> Person | None:
        role, _, rest = token.partition("-")
        return Person(f"account-{role}", role) if rest == "token" else None
