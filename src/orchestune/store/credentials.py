"""Rows of credentials: sessions, sign-in links, tokens and shares. Only digests are stored."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Select, delete, null, select, update

from orchestune.domain.lifecycle.states import Visibility
from orchestune.store.session import Session, batches
from orchestune.store.tables import credentials, experiments

IDENTITY = 16
"""characters of a digest that identify a credential in lists"""


class Credential(Struct, frozen=True, gc=False):
    """A row of `credentials`, with the `handle` of the experiment to which it is bound."""

    digest: str
    kind: str
    name: str
    role: Literal["guest", "viewer", "editor", "owner"]
    source: str
    created_at: float
    expires_at: float
    created_by: str
    experiment: str | None
    subject: str | None
    """of single sign-on: the person"""
    renewal: str | None
    """of single sign-on: the encrypted refresh token"""
    check_at: float | None
    """of single sign-on: when the identity provider is asked again"""
    handle: str | None


def put(
    session: Session,
    digest: str,
    kind: str,
    *,
    name: str,
    role: str,
    seconds: float,
    source: str = "",
    made_by: str = "",
    experiment: str | None = None,
    subject: str | None = None,
    renewal: str | None = None,
    check_in: float | None = None,
) -> float:
    """Store a credential for `seconds`, delete expired ones, and return the time at which it expires.

    `check_in`: seconds until `check_at`.

    Leaves an existing credential with this digest unchanged, also if another server stores it concurrently.
    """
    session.change(delete(credentials).where(credentials.c.expires_at <= session.now))
    expires = session.now + seconds
    row = session.insert(credentials).values(
        digest=digest,
        kind=kind,
        name=name,
        role=role,
        source=source,
        created_at=session.now,
        expires_at=expires,
        created_by=made_by,
        experiment=experiment,
        subject=subject,
        renewal=renewal,
        check_at=None if check_in is None else session.now + check_in,
    )
    session.change(row.on_conflict_do_nothing())
    return expires


def find(session: Session, digest: str, kind: str) -> Credential | None:
    """Return the credential; None if absent, expired or bound to an experiment that is not listed."""
    query = _valid(session, kind).where(credentials.c.digest == digest)
    return session.first(query, Credential)


def every(session: Session, kind: str) -> list[Credential]:
    """Return the valid credentials of a kind, newest first (see `find`)."""
    query = _valid(session, kind).order_by(credentials.c.created_at.desc(), credentials.c.digest)
    return session.select(query, Credential)


def _valid(session: Session, kind: str) -> Select[tuple[object, ...]]:
    joined = credentials.outerjoin(experiments, experiments.c.id == credentials.c.experiment)
    return (
        select(*credentials.c, experiments.c.handle)
        .select_from(joined)
        .where(
            credentials.c.kind == kind,
            credentials.c.expires_at > session.now,
            credentials.c.experiment.is_(None) | (experiments.c.visibility == Visibility.LISTED),
        )
    )


def drop(session: Session, digest: str) -> bool:
    """Delete a credential. Of several concurrent calls exactly one returns True."""
    return session.change(delete(credentials).where(credentials.c.digest == digest)) == 1


def claim_check(session: Session, digest: str, seconds: float) -> Credential | None:
    """Return a credential whose check is due, and defer the check by `seconds`; None if another caller did so."""
    columns = select(*credentials.c, null().label("handle"))
    row = session.first(columns.where(credentials.c.digest == digest), Credential)
    if row is None or row.check_at is None or row.check_at > session.now:
        return None
    deferred = session.now + seconds
    own = (credentials.c.digest == digest) & (credentials.c.check_at == row.check_at)
    is_ours = session.change(update(credentials).where(own).values(check_at=deferred)) == 1
    return replace(row, check_at=deferred) if is_ours else None


def renew(session: Session, row: Credential, *, name: str, role: str, renewal: str, check_in: float) -> bool:
    """Store the result of a check that `claim_check` claimed as `row`; return False if that was dropped meanwhile."""
    own = (credentials.c.digest == row.digest) & (credentials.c.check_at == row.check_at)
    changes = {"name": name, "role": role, "renewal": renewal, "check_at": session.now + check_in}
    return session.change(update(credentials).where(own).values(**changes)) == 1


def drop_with_sessions(session: Session, digest: str) -> None:
    """Delete a credential and the sessions that were started with it."""
    session.change(delete(credentials).where((credentials.c.digest == digest) | (credentials.c.source == digest)))


def drop_sessions_beyond(session: Session, most: int, source: str, name: str, kind: str = "session") -> None:
    """Delete all but the newest `most` sessions that `name` started with the credential `source`."""
    own = (credentials.c.kind == kind) & (credentials.c.source == source) & (credentials.c.name == name)
    newest_first = (credentials.c.created_at.desc(), credentials.c.digest)
    excess = session.select(select(credentials.c.digest).where(own).order_by(*newest_first).offset(most), str)
    for batch in batches(excess):
        session.change(delete(credentials).where(credentials.c.digest.in_(batch)))


def revoke(session: Session, kind: str, identity: str) -> bool:
    """Delete the credential that lists show as `identity`, and its sessions. Return False if there is none."""
    digests = [row.digest for row in every(session, kind) if row.digest[:IDENTITY] == identity]
    for each in digests:
        drop_with_sessions(session, each)
    return bool(digests)
