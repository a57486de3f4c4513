"""Names of actors, who are the callers that changed something, in reasons that users read."""

from __future__ import annotations

from orchestune.domain.clusters.cluster import SERVER_ROLES


def by(actor: str) -> str:
    """Return for example `by ada`. Tokens without a name, cluster tokens included, are described by their role."""
    role = actor.removeprefix("orchestune-")
    return f"by a user with the role {role}" if role in SERVER_ROLES else f"by {actor}"
