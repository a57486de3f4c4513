"""How whoever did something is called in the reasons that people read."""

from __future__ import annotations

from orchestune.domain.cluster import SERVER_ROLES


def by(actor: str) -> str:
    """`by ada`. A token without a name of its own, also one of a cluster, goes by its role, which is nobody's name."""
    role = actor.removeprefix("orchestune-")
    return f"by somebody who has the role {role}" if role in SERVER_ROLES else f"by {actor}"
