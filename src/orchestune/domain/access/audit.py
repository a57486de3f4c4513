"""Security events: sign-ins, grants, deletions and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MAX_TEXT_CHARS = 200  # characters per value: callers choose names, paths and references
_MAX_REASON_CHARS = 500  # characters of a refusal's message


class AuditKind(StrEnum):
    """The kind of a security event."""

    SIGN_IN = "sign_in"
    SIGN_IN_LINK_CREATED = "sign_in_link_created"
    SIGN_IN_FAILED = "sign_in_failed"
    TOKEN_FAILED = "token_failed"
    ACCESS_DENIED = "access_denied"
    POLICY_REFUSED = "policy_refused"
    GRANT_CREATED = "grant_created"
    GRANT_REVOKED = "grant_revoked"
    ROLE_CHANGED = "role_changed"
    EXPERIMENT_DELETED = "experiment_deleted"
    EXPERIMENT_EXPORTED = "experiment_exported"
    EXPERIMENT_IMPORTED = "experiment_imported"
    NODE_RELEASED = "node_released"
    SERVER_SHUTDOWN = "server_shutdown"


FAILURES = frozenset(
    {AuditKind.SIGN_IN_FAILED, AuditKind.TOKEN_FAILED, AuditKind.ACCESS_DENIED, AuditKind.POLICY_REFUSED}
)
"""kinds that a caller can cause at will: these are rate-limited, so that no caller can fill the table"""
LASTING = frozenset(
    {
        AuditKind.POLICY_REFUSED,
        AuditKind.GRANT_CREATED,
        AuditKind.GRANT_REVOKED,
        AuditKind.ROLE_CHANGED,
        AuditKind.EXPERIMENT_DELETED,
        AuditKind.EXPERIMENT_IMPORTED,
        AuditKind.NODE_RELEASED,
        AuditKind.SERVER_SHUTDOWN,
    }
)
"""kinds whose rows the other kinds never evict: sign-ins, denied access and exports share a row limit"""


@dataclass(frozen=True)
class AuditEvent:
    """One security event. All texts are printable and single-line; none of them is a token."""

    kind: AuditKind
    at: float
    """seconds since 1970, UTC"""
    actor: str = ""
    """name of the caller; empty if unknown"""
    role: str = ""
    address: str = ""
    subject: str = ""
    """the experiment, grant, path or node that the event is about"""
    details: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("actor", "role", "address", "subject"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        details = {key: printable(text, _MAX_REASON_CHARS) for key, text in self.details.items()}
        object.__setattr__(self, "details", details)


def printable(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Return `text` with control characters and line breaks replaced by U+FFFD, truncated to `max_chars` characters."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in text[:max_chars])
    return line if len(text) <= max_chars else f"{line[: max_chars - 1]}…"
