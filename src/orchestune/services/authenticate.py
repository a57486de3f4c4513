"""Who a token stands for."""

from __future__ import annotations

from orchestune.services.core import UNNAMED, Caller, Core
from orchestune.services.register_worker import wanted
from orchestune.services.signatures import digest, read_worker_token, same
from orchestune.store import credentials
from orchestune.store.credentials import Credential
from orchestune.store.session import Session

TOKEN_PREFIX = "t."
"""of a token that the server issued"""
VOUCHED_SECONDS = 3600.0
"""how long the word of a cluster counts for a browser, at most: it may take it back"""


def authenticate(core: Core, token: str) -> Caller | None:
    """The caller, or None for a token that is not genuine. GroupOver for that of a worker that has ended."""
    found = read_worker_token(core, token)
    if found:
        with core.store.reading() as session:
            wanted(session, found[0])  # no row has the token, and it has no end of its own
        return Caller(name=found[0], role="worker", experiment=found[1], worker=found[0])
    for known, name in core.owners.items():
        if same(token, known):
            return Caller(name=name, role="owner", source=digest(known), shared=name == UNNAMED)
    if token.startswith(TOKEN_PREFIX):
        with core.store.reading() as session:
            row = credentials.find(session, digest(token), "token")
        if row is not None:
            return Caller(name=row.name, role=row.role, source=row.digest)
    return None


def session_prefix(core: Core) -> str:
    """Return what the tokens of sessions begin with. It differs at each start if the name of the pages does."""
    start = core.pages_host.partition(".")[0]
    return f"s.{start}." if start else "s."


def session_of(core: Core, token: str) -> Caller | None:
    """The caller whose browser shows this; None where the session is over, or the token it came from was taken away."""
    if not token.startswith(session_prefix(core)):
        return None  # it began before the embedded server's last start
    with core.store.reading() as session:
        row = credentials.find(session, digest(token), "session")
        if row is None:
            return None
        is_vouched = credentials.find(session, row.source, "vouched") is not None
        if not is_vouched and not _stands(core, session, row):
            return None
    # who signed in by a shared token is in the session under a name that nothing proves
    shared = is_vouched or any(digest(known) == row.source and name == UNNAMED for known, name in core.owners.items())
    return Caller(
        name=row.name,
        role=row.role,
        experiment=row.experiment or "",
        handle=row.handle or "",
        shared=shared,
        source=row.source,
        browser=True,
    )


def _stands(core: Core, session: Session, row: Credential) -> bool:
    """Whether the token or link that a session came from is still there."""
    if row.source in map(digest, core.owners):
        return True
    return credentials.find(session, row.source, "share" if row.experiment else "token") is not None


def identify(core: Core, token: str) -> Caller | None:
    """The caller, if the token is one of a place that vouches for people. Asks that place: blocking, a network call."""
    for identity in core.identities:
        person = identity.who(token)
        if person is not None:
            latest = core.clock.now() + VOUCHED_SECONDS
            end = latest if person.expires_at is None else min(person.expires_at, latest)
            return Caller(name=person.name, role=person.role, shared=True, source=digest(token), expires_at=end)
    return None
