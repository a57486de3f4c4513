"""Preflight check of the connection to PostgreSQL."""

from __future__ import annotations

from sqlalchemy import text

from orchestune.errors import StoreUnavailable, UsageError
from orchestune.store.database import connect, translated

_REQUIREMENT = "authentication method requirement"
_REFUSALS = (
    _REQUIREMENT,
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",  # the database, the role or the file of a certificate
    "is not permitted to log in",
    "permission denied for database",
    "server does not support SSL",
    "certificate verify failed",
)
"""parts of libpq's messages about permanent errors, for which a retry is useless"""


def attempt(url: str) -> None:
    """Connect and run one statement. Blocks up to the connect timeout.

    Raises StoreUnavailable if a retry may succeed, UsageError if the database rejects this server.
    """
    store = connect(url)
    try:
        with translated("is its address right, and does it run?"), store.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except StoreUnavailable as exc:
        if any(words in str(exc.__cause__) for words in _REFUSALS):
            reason = exc.message.partition(": ")[2] or exc.message
            hint = "check database_url, the password (PGPASSFILE), and what its user may do there"
            if _REQUIREMENT in str(exc.__cause__):
                hint = (
                    "use SCRAM (password_encryption = 'scram-sha-256', then set the password again) or"
                    " sslmode=verify-full, or allow another method by require_auth=METHOD in database_url"
                )
            raise UsageError(f"the database refuses this server: {reason}", hint) from exc
        raise
    finally:
        store.close()
