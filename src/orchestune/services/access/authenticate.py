"""Authentication: the caller behind a token."""

from __future__ import annotations

from orchestune.services.core import UNNAMED, Caller, Core
from orchestune.services.execution.register_worker import needed_worker
from orchestune.services.signatures import digest, same, signed_worker
from orchestune.store import credentials
from orchestune.store.credentials import Credential
from orchestune.store.session import Session

TOKEN_PREFIX = "t."
"""prefix of tokens that the server issued"""
LOGIN_PREFIX = "l."
"""prefix of tokens of command lines that signed in by single sign-on"""
VOUCHED_SECONDS = 3600.0
"""longest browser session based on a cluster's token: the cluster may revoke the token"""


def authenticate(core: Core, token: str) -> Caller | None:
    """Return the caller, or None if the token is invalid. Raises WorkerNotNeeded if its worker has ended."""
    if worker := signed_worker(core, token):
        with core.store.reading() as session:
            needed_worker(session, worker.name)  # worker tokens are in no row and do not expire
        return worker
    for owner_token, name in core.owners.items():
        if same(token, owner_token):
            return Caller(name=name, role="owner", source=digest(owner_token), shared=name == UNNAMED)
    if token.startswith(TOKEN_PREFIX):
        with core.store.reading() as session:
            row = credentials.find(session, digest(token), "token")
        if row is not None:
            return Caller(name=row.name, role=row.role, source=row.digest)
    if token.startswith(LOGIN_PREFIX):
        with core.store.reading() as session:
            return _person(core, session, credentials.find(session, digest(token), "login"))
    return None


def _person(core: Core, session: Session, row: Credential | None, *, browser: bool = False) -> Caller | None:
    """Return the person who signed in by single sign-on; None without a row, or if that has been turned off."""
    if row is None or core.single_sign_on is None:
        return None
    return Caller(
        name=row.name,
        role=row.role,
        source=row.digest,
        subject=row.subject or "",
        check_due=row.check_at is not None and row.check_at <= session.now,
        browser=browser,
    )


def session_prefix(core: Core) -> str:
    """Return the prefix of session tokens. It changes at each start if the host name of the pages does."""
    start = core.pages_host.partition(".")[0]
    return f"s.{start}." if start else "s."


def session_of(core: Core, token: str) -> Caller | None:
    """Return the caller of a browser session; None if it has expired or its token was revoked."""
    if not token.startswith(session_prefix(core)):
        return None  # created before the last start of the embedded server
    with core.store.reading() as session:
        row = credentials.find(session, digest(token), "session")
        if row is None:
            return None
        if row.subject is not None:
            return _person(core, session, row, browser=True)
        login = credentials.find(session, row.source, "login")
        if login is not None:  # by a link of a command line; its role may have changed since then
            return _person(core, session, login, browser=True)
        is_vouched = credentials.find(session, row.source, "vouched") is not None
        if not is_vouched and not _is_source_valid(core, session, row):
            return None
        share = credentials.find(session, row.source, "share") if row.experiment else None
    # users who signed in with a shared token chose their name themselves: it is not verified
    shared = is_vouched or any(
        digest(owner_token) == row.source and name == UNNAMED for owner_token, name in core.owners.items()
    )
    return Caller(
        name=row.name,
        role=row.role,
        experiment=row.experiment or "",
        handle=row.handle or "",
        shared_by=(share.source or share.created_by) if share else "",
        shared=shared,
        source=row.source,
        browser=True,
    )


def _is_source_valid(core: Core, session: Session, row: Credential) -> bool:
    """Return True if the token or link that created the session is still valid."""
    if row.source in map(digest, core.owners):
        return True
    return credentials.find(session, row.source, "share" if row.experiment else "token") is not None


def identify(core: Core, token: str) -> Caller | None:
    """Return the caller if an identity provider accepts the token; None otherwise. Blocks on a network call."""
    for identity in core.identities:
        person = identity.who(token)
        if person is not None:
            latest = core.clock.now() + VOUCHED_SECONDS
            end = latest if person.expires_at is None else min(person.expires_at, latest)
            return Caller(name=person.name, role=person.role, shared=True, source=digest(token), expires_at=end)
    return None
