"""Browser sessions: started by a one-time link, by a token that is typed in, or by a share link."""

from __future__ import annotations

from dataclasses import dataclass

from orchestune import documents
from orchestune.errors import Denied
from orchestune.ports.clock import rfc3339
from orchestune.services.access.authenticate import session_prefix
from orchestune.services.core import Caller, Core
from orchestune.services.signatures import digest, secret
from orchestune.store import credentials
from orchestune.store.credentials import Credential
from orchestune.store.session import Session

LINK_SECONDS = 300.0
SESSION_SECONDS = 7 * 24 * 3600.0
MAX_SESSIONS = 200  # per token or share link: a link may be for a whole course, with one session per browser


@dataclass(frozen=True)
class SignedIn:
    """New session."""

    token: str
    seconds: float
    caller: Caller


def invite(core: Core, caller: Caller) -> documents.Invitation:
    """Create a link that signs one browser in as the caller, once and within `LINK_SECONDS`.

    Raises Denied if the caller is a browser session itself: it could renew itself forever, despite a revoked token.
    """
    if caller.browser:
        raise Denied("a browser session cannot create a sign-in link", "create one with `orchestune ui`")
    code = secret(core)
    with core.store.transaction() as session:
        _keep_end(session, caller)
        expires = credentials.put(
            session,
            digest(code),
            "link",
            name=caller.name,
            role=caller.role,
            source=caller.source,
            seconds=LINK_SECONDS if caller.expires_at is None else min(LINK_SECONDS, caller.expires_at - session.now),
        )
    return {"path": f"/sign-in?code={code}", "host": core.pages_host, "expires_at": rfc3339(expires)}


def enter(core: Core, code: str) -> SignedIn:
    """Start the session of a link. Raises Denied if the link was used or has expired."""
    with core.store.reading() as session:  # no write lock for guessed codes: this route needs no authentication
        link = credentials.find(session, digest(code), "link")
    if link is None or not _used_up(core, code):
        raise Denied(
            "this link was used already, or is older than five minutes", "create a new one with `orchestune ui`"
        )
    return begin(core, Caller(link.name, link.role, source=link.source))


def _used_up(core: Core, code: str) -> bool:
    with core.store.transaction() as session:
        return credentials.drop(session, digest(code))


def user(caller: Caller | None) -> Caller:
    """Return the user whose token was typed in. Raises Denied if it is unknown (None) or a worker's token."""
    if caller is None or caller.role == "worker":
        raise Denied("this token is unknown", "enter the value of ORCHESTUNE_TOKEN on your machine")
    return caller


def leave(core: Core, session_token: str) -> Credential | None:
    """End a session and return it; None if there is none."""
    with core.store.reading() as session:  # no write lock for guessed tokens: this route needs no authentication
        row = credentials.find(session, digest(session_token), "session")
    if row is None:
        return None
    with core.store.transaction() as session:
        return row if credentials.drop(session, row.digest) else None


def begin(core: Core, caller: Caller) -> SignedIn:
    """Start a session of a user. Beyond `MAX_SESSIONS` of the same token the oldest one is deleted."""
    with core.store.transaction() as session:
        _keep_end(session, caller)
        vouched = credentials.find(session, caller.source, "vouched")
        seconds = min(SESSION_SECONDS, vouched.expires_at - session.now) if vouched else SESSION_SECONDS
        token = _put(core, session, caller, seconds)
    return SignedIn(token, seconds, caller)


def _keep_end(session: Session, caller: Caller) -> None:
    """Store the expiry of a cluster's token, which bounds the links and sessions created with it."""
    if caller.expires_at is not None:
        credentials.drop(session, caller.source)
        seconds = caller.expires_at - session.now
        credentials.put(session, caller.source, "vouched", name=caller.name, role=caller.role, seconds=seconds)


def _put(core: Core, session: Session, caller: Caller, seconds: float) -> str:
    """Create a session and return its token; delete the oldest ones of its source beyond `MAX_SESSIONS`."""
    token = session_prefix(core) + secret(core)
    credentials.put(
        session,
        digest(token),
        "session",
        name=caller.name,
        role=caller.role,
        source=caller.source,
        experiment=caller.experiment or None,
        seconds=seconds,
    )
    credentials.drop_sessions_beyond(session, MAX_SESSIONS, caller.source, caller.name)
    return token


def enter_share(core: Core, code: str) -> SignedIn:
    """Start a guest session by a share link to one experiment. Beyond `MAX_SESSIONS` of it the oldest one is deleted.

    Raises Denied if the link has expired or was revoked.
    """
    guest = guest_of(core, code)
    with core.store.transaction() as session:
        share = credentials.find(session, digest(code), "share")
        if share is None:
            raise _over()
        seconds = min(SESSION_SECONDS, share.expires_at - session.now)
        token = _put(core, session, guest, seconds)
    return SignedIn(token, seconds, guest)


def guest_of(core: Core, code: str) -> Caller:
    """Return the guest of a share link to one experiment. Raises Denied if the link has expired or was revoked."""
    with core.store.reading() as session:
        share = credentials.find(session, digest(code), "share")
    if share is None:
        raise _over()
    return Caller(
        share.name,
        share.role,
        experiment=share.experiment or "",
        handle=share.handle or "",
        source=share.digest,
        shared_by=share.source or share.created_by,
    )


def _over() -> Denied:
    return Denied("this link is no longer valid", "ask its sender for a new one")
