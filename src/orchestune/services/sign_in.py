"""How a browser gets a session: by a link that works once, or by a token that is typed in."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from orchestune import documents
from orchestune.errors import Denied
from orchestune.ports.clock import rfc3339
from orchestune.services.authenticate import authenticate, identify, session_prefix
from orchestune.services.core import Caller, Core
from orchestune.services.signatures import digest
from orchestune.store import credentials
from orchestune.store.session import Session

LINK_SECONDS = 300.0
SESSION_SECONDS = 7 * 24 * 3600.0
VOUCHED_SECONDS = 24 * 3600.0
"""of a session that rests on the word of another place, which may take it back"""


@dataclass(frozen=True)
class Entered:
    """A session that has begun."""

    token: str
    seconds: float
    caller: Caller
    handle: str = ""
    """of the one experiment that a guest may see"""


def invite(core: Core, caller: Caller) -> documents.Invitation:
    """Create a link that signs one browser in as the caller, once and within `LINK_SECONDS`.

    Denied if the caller is such a browser itself: it could renew its session for ever, whatever was revoked meanwhile.
    """
    if caller.browser:
        raise Denied("a browser that is signed in lets no other one in", "`orchestune ui` makes a link")
    code = secret(core)
    with core.store.transaction() as session:
        expires = credentials.put(
            session,
            digest(code),
            "link",
            name=caller.name,
            role=caller.role,
            source=caller.source,
            seconds=LINK_SECONDS,
        )
    return {"path": f"/sign-in?code={code}", "host": core.pages_host, "expires_at": rfc3339(expires)}


def enter(core: Core, code: str) -> Entered:
    """The session that a link begins. Denied for a link that was used or is too old."""
    with core.store.reading() as session:  # anybody may guess, and is not to take turns with those who write
        link = credentials.find(session, digest(code), "link")
    if link is None or not _used_up(core, code):
        raise Denied("this link was used already, or is older than five minutes", "`orchestune ui` makes a new one")
    return _begin(core, Caller(link.name, link.role, source=link.source))


def _used_up(core: Core, code: str) -> bool:
    with core.store.transaction() as session:
        return credentials.drop(session, digest(code))


def enter_with_token(core: Core, token: str) -> Entered:
    """The same by the token of an owner, or of a place that vouches for people. Denied for any other."""
    caller = authenticate(core, token) or identify(core, token)
    if caller is None or caller.role == "worker":
        raise Denied("this token is unknown", "it is what ORCHESTUNE_TOKEN holds on your machine")
    return _begin(core, caller)


def leave(core: Core, session_token: str) -> None:
    """End a session. Idempotent."""
    with core.store.transaction() as session:
        credentials.drop(session, digest(session_token))


def _begin(core: Core, caller: Caller) -> Entered:
    seconds = SESSION_SECONDS if caller.source else VOUCHED_SECONDS
    with core.store.transaction() as session:
        token = _put(core, session, caller, seconds)
    return Entered(token, seconds, caller)


def _put(core: Core, session: Session, caller: Caller, seconds: float) -> str:
    """The token of a session that is made here."""
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
    return token


def enter_share(core: Core, code: str) -> Entered:
    """The session of a guest that a link to one experiment begins."""
    handle = shared(core, code)
    with core.store.transaction() as session:
        share = credentials.find(session, digest(code), "share")
        if share is None:
            raise _over()
        seconds = min(SESSION_SECONDS, share.expires_at - session.now)
        guest = Caller(share.name, share.role, source=share.digest, experiment=share.experiment or "")
        token = _put(core, session, guest, seconds)
    return Entered(token, seconds, guest, handle)


def shared(core: Core, code: str) -> str:
    """The handle of the experiment to which a link leads. Denied where it leads nowhere any more."""
    with core.store.reading() as session:
        share = credentials.find(session, digest(code), "share")
    if share is None:
        raise _over()
    return str(share.handle)


def _over() -> Denied:
    return Denied("this link is not valid any more", "ask whoever gave it to you for a new one")


def secret(core: Core) -> str:
    """Something that nobody guesses."""
    return base64.urlsafe_b64encode(core.clock.entropy(33)).decode()
