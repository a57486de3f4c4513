"""The server itself, and access to it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict


class ErrorBody(TypedDict):
    """An error, for programs and for people."""

    code: str
    message: str
    hint: str


class Error(TypedDict):
    """The response to a failed request."""

    error: ErrorBody


class Server(TypedDict):
    """The identity of the server."""

    version: str
    protocol: Literal[1]
    home: Literal["embedded", "hosted"]
    started_at: str
    pid: int


class Shutdown(TypedDict):
    """The server shuts down once its requests are answered."""

    draining: bool


class Imported(TypedDict):
    """The outcome of an import."""

    experiment: str
    handle: str
    imported: Annotated[bool, Field(description="false if it existed already")]
    counts: Annotated[dict[str, int], Field(description="number of items of the record, by type")]


class Verified(TypedDict):
    """The origin of a record."""

    verified: Annotated[bool, Field(description="true if this server wrote it")]


class Invitation(TypedDict):
    """A link that logs in one browser, once."""

    path: str
    host: str
    """address of the pages of an embedded server while it runs; empty: the server's address"""
    expires_at: str


class LoginCode(TypedDict):
    """A sign-in of a command line that a person approves at the identity provider."""

    login: Annotated[str, Field(description="for the next requests")]
    user_code: Annotated[str, Field(description="the person enters it at `address`")]
    address: str
    complete_address: Annotated[str, Field(description="the address with the code; empty if the provider has none")]
    provider: Annotated[str, Field(description="the provider's name")]
    seconds: Annotated[float, Field(description="time until the code expires")]
    interval: Annotated[float, Field(description="seconds between two requests for the token")]


class Login(TypedDict):
    """A sign-in of a command line: without a token until the person has approved it."""

    token: Annotated[str, Field(description="shown only once; empty: not approved yet")]
    name: str
    role: str
    expires_at: str


class Grant(TypedDict):
    """A token, a link to one experiment, or a session of a browser or a command line."""

    id: str
    name: str
    role: Literal["guest", "viewer", "editor", "owner"]
    experiment: Annotated[
        str | None, Field(description="handle of the only experiment that it gives access to; null: all")
    ]
    made_by: Annotated[str, Field(description="empty for a session")]
    created_at: str
    expires_at: str


class Share(Grant):
    """A new link."""

    path: Annotated[str, Field(description="path below the server's address; shown only once")]


class IssuedToken(Grant):
    """A new token."""

    token: Annotated[str, Field(description="shown only once")]


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
    subject: Annotated[str, Field(description="the experiment, grant, path or node concerned")]
    details: dict[str, str]


class AuditPage(TypedDict):
    """Security events, oldest first."""

    items: list[AuditEvent]
    next: Annotated[int, Field(description="cursor after the last one")]
