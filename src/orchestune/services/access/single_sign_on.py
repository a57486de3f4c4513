"""Single sign-on: people whom an identity provider has identified, in browsers and on command lines.

A sign-in is a row of `credentials`: of kind `session` for a browser, `login` for a command line. While it is used, the
provider is asked every `CHECK_SECONDS` whether it still holds: the person may have other groups by now, or none. If the
provider does not answer, the sign-in holds on until its end.
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from dataclasses import dataclass

from orchestune import documents
from orchestune.domain.access.audit import AuditEvent, AuditKind
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError
from orchestune.ports.single_sign_on import BrowserSecrets, SingleSignOn, VerifiedPerson
from orchestune.services import audit
from orchestune.services.access.authenticate import LOGIN_PREFIX, session_prefix
from orchestune.services.core import Caller, Core
from orchestune.services.signatures import digest, same, secret, sign_in_signature
from orchestune.store import credentials
from orchestune.store.credentials import IDENTITY, Credential

CALLBACK = "/sign-in/callback"
CHECK_SECONDS = 300.0
RETRY_SECONDS = 60.0
"""interval of checks while the provider does not answer; longer than one takes, so that replicas do not repeat it"""
MAX_UNRENEWED_SECONDS = 3600.0
"""longest sign-in if the provider gave no refresh token: it cannot be asked again"""
BROWSER_SECONDS = 600.0
"""time in which a person can sign in at the provider"""
MAX_SIGN_INS = 50  # per person, of browsers and of command lines each: the oldest ones end


@dataclass(frozen=True)
class BegunSignIn:
    """A sign-in of a browser that has begun."""

    address: str
    """the provider's page"""
    state: str
    cookie: str
    """signed; to be sent back by this browser"""


@dataclass(frozen=True)
class PersonSignedIn:
    """A sign-in that has succeeded."""

    token: str
    seconds: float
    caller: Caller
    expires_at: float


def provider(core: Core) -> SingleSignOn:
    """Return the identity provider. Raises NotFound if the server has none."""
    if core.single_sign_on is None:
        hint = "set ORCHESTUNE_TOKEN to a token from the server's operator"
        raise NotFound("this server has no single sign-on", hint)
    return core.single_sign_on


def begin(core: Core, next_page: str) -> BegunSignIn:
    """Begin the sign-in of a browser, which then opens `next_page`. Blocks on the provider."""
    secrets = BrowserSecrets(*(secret(core) for _ in range(3)))
    address = provider(core).address(secrets, core.url + CALLBACK)
    until = core.clock.now() + BROWSER_SECONDS
    content = json.dumps([secrets.state, secrets.nonce, secrets.verifier, until, next_page])
    text = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")  # cookies are quoted around it
    return BegunSignIn(address, secrets.state, f"{text}.{sign_in_signature(core, text)}")


def finish(core: Core, cookie: str, state: str, code: str, error: str = "") -> tuple[PersonSignedIn, str]:
    """Start the session of a browser that returns from the provider; return it and the page to open.

    `cookie`: that of `begin`; `error`: the provider's error code, if it sends one instead of a code. Blocks on the
    provider. Raises Denied if this browser has not begun the sign-in, or as `SingleSignOn.person_of_code`.
    """
    secrets, next_page = _begun(core, cookie, state)
    if error or not code:
        reason = error if re.fullmatch("[a-z_]{1,60}", error) else "no code"  # it comes from the browser's address
        raise Denied(f"{provider(core).name} refused the sign-in: {reason}", "sign in again")
    person = provider(core).person_of_code(code, secrets, core.url + CALLBACK)
    return _sign_in(core, person, "session", session_prefix(core), core.session_seconds), next_page


def _begun(core: Core, cookie: str, state: str) -> tuple[BrowserSecrets, str]:
    text, _, signature = cookie.rpartition(".")
    if not text or not same(signature, sign_in_signature(core, text)):
        hint = f"start at {core.url}/sign-in, and allow cookies" if core.url else "start again, and allow cookies"
        raise Denied("this browser has not begun this sign-in, or too long ago", hint)
    own_state, nonce, verifier, until, next_page = json.loads(base64.urlsafe_b64decode(text + "=="))
    if not same(state, own_state) or core.clock.now() > until:
        raise Denied("this sign-in belongs to another one of this browser, or began too long ago", "sign in again")
    return BrowserSecrets(own_state, nonce, verifier), next_page


def begin_login(core: Core) -> documents.LoginCode:
    """Begin the sign-in of a command line, which a person approves in any browser. Blocks on the provider."""
    begun = provider(core).begin_device()
    return {
        "login": begun.handle,
        "user_code": begun.user_code,
        "address": begun.address,
        "complete_address": begun.complete_address,
        "provider": provider(core).name,
        "seconds": begun.seconds,
        "interval": begun.interval,
    }


def finish_login(core: Core, handle: str) -> PersonSignedIn | None:
    """Start the sign-in of a command line once the person has approved it; None before. Blocks on the provider."""
    person = provider(core).person_of_device(handle)
    return None if person is None else _sign_in(core, person, "login", LOGIN_PREFIX, core.login_seconds)


def _sign_in(core: Core, person: VerifiedPerson, kind: str, prefix: str, most_seconds: float) -> PersonSignedIn:
    token = prefix + secret(core)
    seconds = most_seconds if person.renewal else min(most_seconds, MAX_UNRENEWED_SECONDS)
    with core.store.transaction() as session:
        expires_at = credentials.put(
            session,
            digest(token),
            kind,
            name=person.name,
            role=person.role,
            source=person.subject,
            subject=person.subject,
            renewal=person.renewal or None,
            check_in=CHECK_SECONDS if person.renewal else None,
            seconds=seconds,
        )
        credentials.drop_sessions_beyond(session, MAX_SIGN_INS, person.subject, person.name, kind)
    caller = Caller(person.name, person.role, source=digest(token), subject=person.subject)
    return PersonSignedIn(token, seconds, caller, expires_at)


def check_again(core: Core, sign_in: str) -> None:
    """Ask the provider whether a sign-in still holds, and for its role now; end it if the provider refuses.

    `sign_in`: digest of its token. Blocks on the provider. Idempotent: of concurrent calls, also of other replicas, one
    asks, since a refresh token may be valid once; the others return at once.
    """
    with core.store.transaction() as session:
        row = credentials.claim_check(session, sign_in, RETRY_SECONDS)
    if row is None or row.renewal is None or row.subject is None:
        return
    try:
        person = provider(core).renew(row.renewal, row.subject)
    except TemporaryError:  # the provider has logged it
        return
    except Denied as exc:
        with core.store.transaction() as session:
            credentials.drop_with_sessions(session, sign_in)
        _audit(core, AuditKind.GRANT_REVOKED, row, grant=row.kind, reason=exc.message)
        return
    with core.store.transaction() as session:
        is_stored = credentials.renew(
            session, row, name=person.name, role=person.role, renewal=person.renewal, check_in=CHECK_SECONDS
        )
    if not is_stored:  # the person signed out meanwhile
        revoke(core, person.renewal)
    elif person.role != row.role:
        _audit(core, AuditKind.ROLE_CHANGED, row, new_role=person.role)


def _audit(core: Core, kind: AuditKind, row: Credential, **details: str) -> None:
    """Record what the provider has changed about a sign-in: no request of the person caused it."""
    event = AuditEvent(kind, core.clock.now(), row.name, row.role, subject=row.digest[:IDENTITY], details=details)
    audit.log(event)
    audit.record(core, [event])


def end_login(core: Core, caller: Caller) -> Credential | None:
    """End the sign-in of a command line, and the browser sessions that were started with it; None if it has ended."""
    with core.store.transaction() as session:
        row = credentials.find(session, caller.source, "login")
        if row is not None:
            credentials.drop_with_sessions(session, row.digest)
    return row


def revoke(core: Core, renewal: str) -> None:
    """Revoke the refresh token of a sign-in that has ended. Best-effort. Blocks on the provider."""
    if core.single_sign_on is not None:
        with suppress(OrchestuneError):  # it is deleted here, and the provider ends it by itself
            core.single_sign_on.revoke(renewal)
