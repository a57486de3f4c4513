"""The server itself, and who may come in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict


class ErrorBody(TypedDict):
    """What went wrong, for programs and for people."""

    code: str
    message: str
    hint: str


class Error(TypedDict):
    """The answer to everything that failed."""

    error: ErrorBody


class Server(TypedDict):
    """Which server this is."""

    version: str
    protocol: Literal[1]
    home: Literal["embedded", "hosted"]
    started_at: str
    pid: int


class Shutdown(TypedDict):
    """The server ends once its requests are answered."""

    draining: bool


class Imported(TypedDict):
    """What became of a record that was sent."""

    experiment: str
    handle: str
    imported: Annotated[bool, Field(description="false where it was here already")]
    counts: Annotated[dict[str, int], Field(description="items of the record by type")]


class Verified(TypedDict):
    """The origin of a record."""

    verified: Annotated[bool, Field(description="true if this server wrote it")]


class Invitation(TypedDict):
    """A link that lets one browser in, once."""

    path: str
    host: str
    """where the pages of an embedded server are until its end; empty: at the server's address"""
    expires_at: str


class Grant(TypedDict):
    """A token, a link to one experiment, or the session of a browser."""

    id: str
    name: str
    role: Literal["guest", "viewer", "editor", "owner"]
    experiment: Annotated[str | None, Field(description="handle of the one experiment that it shows; null: every one")]
    made_by: Annotated[str, Field(description="empty for a session")]
    created_at: str
    expires_at: str


class Share(Grant):
    """A new link."""

    path: Annotated[str, Field(description="what stands behind the server's address; told this once")]


class IssuedToken(Grant):
    """A new token."""

    token: Annotated[str, Field(description="told this once")]


class Proof(TypedDict):
    """The server's HMAC over the nonce and the address, with a key that only it and the worker know."""

    proof: str


class AuditEvent(TypedDict):
    """A security event."""

    seq: int
    at: str
    kind: str
    actor: Annotated[str, Field(description="name of the caller; empty: unknown")]
    role: str
    address: Annotated[str, Field(description="network address of the caller; local: a Unix socket")]
    subject: Annotated[str, Field(description="the experiment, grant, path or node that it is about")]
    details: dict[str, str]


class AuditPage(TypedDict):
    """Security events, the oldest first."""

    items: list[AuditEvent]
    next: Annotated[int, Field(description="cursor behind the last one")]
