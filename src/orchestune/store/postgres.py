"""Connections to PostgreSQL that detect a dead peer within seconds, on either side."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from orchestune.errors import UsageError

if TYPE_CHECKING:
    from psycopg import Connection as DriverConnection
    from psycopg.abc import AdaptContext, Buffer, Dumper
    from psycopg.adapt import AdaptersMap

_IDLE, _BETWEEN, _TIMES = 5, 3, 3
"""TCP keepalive: idle seconds, seconds between probes, unanswered probes until the connection is closed"""
_KEEPALIVE = {
    "tcp_keepalives_idle": _IDLE,
    "tcp_keepalives_interval": _BETWEEN,
    "tcp_keepalives_count": _TIMES,
    "tcp_user_timeout": (_IDLE + _BETWEEN * _TIMES) * 1000,
}
"""settings of the database's side; with its defaults a host that lost power keeps its locks for two hours"""
_CONNECTION_SETTINGS = {
    "connect_timeout": 10,
    "keepalives_idle": _IDLE,
    "keepalives_interval": _BETWEEN,
    "keepalives_count": _TIMES,
    "tcp_user_timeout": (_IDLE + _BETWEEN * _TIMES) * 1000,
}
"""settings of this side, and the connect timeout in seconds (default of the system: two minutes)"""
_REQUIRED_AUTH = {"require_auth": "scram-sha-256"}
"""libpq's default sends the password in the clear to whatever listens at the address and asks for it"""
_FIRST_WITH_REQUIRE_AUTH = 160000
"""version of libpq"""
_VERIFIED_TLS = ("verify-ca", "verify-full")
_WRITING = "READ COMMITTED"
"""rows are locked before they are read; under a stricter default isolation of a database, transactions would fail"""
_ENCODINGS = ("UTF8", "SQL_ASCII")
"""encodings that store every text: SQL_ASCII stores the bytes unchanged"""

READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""options of a read-only connection: all statements see the snapshot of the first one"""


def error(name: str = "Error") -> type[Exception]:
    """Return an exception type of psycopg, which hot statements raise directly; `_Never` if psycopg is not loaded."""
    return getattr(sys.modules.get("psycopg"), name, _Never)


class _Never(Exception):
    """Placeholder that is never raised."""


def create(url: URL) -> Engine:
    """Return an engine. Raises ModuleNotFoundError if psycopg is missing."""
    options = {**_CONNECTION_SETTINGS, **(_REQUIRED_AUTH if _needs_proof(url, os.environ) else {})}
    defaults = {name: value for name, value in options.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=10,
        pool_pre_ping=True,
        isolation_level=_WRITING,
        connect_args={**defaults, "client_encoding": "UTF8"},
    )
    event.listen(engine, "connect", _tell)
    return engine


def _needs_proof(url: URL, environ: Mapping[str, str]) -> bool:
    """Return True if the database has to prove, with SCRAM, that it knows the password.

    False for Unix sockets, verified TLS, a service file (it has settings of its own), if the user has chosen the method
    with PGREQUIREAUTH, and if libpq is too old for it. `require_auth` in the URL takes precedence in any case.
    """
    from psycopg import pq  # psycopg is an optional dependency

    def option(name: str, variable: str) -> str:
        value = url.query.get(name, environ.get(variable, ""))
        return value if isinstance(value, str) else ",".join(value)

    if pq.version() < _FIRST_WITH_REQUIRE_AUTH or "PGREQUIREAUTH" in environ or option("service", "PGSERVICE"):
        return False
    if option("sslmode", "PGSSLMODE") in _VERIFIED_TLS or option("sslrootcert", "PGSSLROOTCERT") == "system":
        return False
    hosts = (url.host or option("hostaddr", "PGHOSTADDR") or option("host", "PGHOST")).split(",")
    return not all(host.startswith(("/", "@")) or not host for host in hosts)


def refuse_encoding(engine: Engine) -> None:
    """Raise UsageError if the database's encoding lacks characters: programs may print any."""
    with engine.connect() as connection:
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding not in _ENCODINGS:
        raise UsageError(
            f"unsupported encoding of the database: {encoding} (expected UTF8)",
            "create a database with it: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0",
        )


def refuse_pooler(engine: Engine) -> None:
    """Raise UsageError if a pooler in transaction mode assigns each transaction another database session.

    Connections then share sessions, so that session-level advisory locks exclude no one: no server would lead, or
    several would.
    """
    with engine.connect() as one, engine.connect() as other:
        one, other = (each.execution_options(isolation_level="AUTOCOMMIT") for each in (one, other))
        sessions = [(_session(one), _session(other)) for _ in range(3)]
    if len(set(sessions)) > 1 or any(mine == theirs for mine, theirs in sessions):
        raise UsageError(
            "unsupported connection pooler: it assigns each transaction another database session",
            "connect to the database directly, or configure session pooling (pgbouncer: pool_mode = session)",
        )


def _session(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _tell(connection: DriverConnection[object], _: object) -> None:
    """Configure a new connection: keepalive settings, set outside of any transaction, and the dumper of texts."""
    connection.adapters.register_dumper(str, _without_nul(connection.adapters))
    before, connection.autocommit = connection.autocommit, True
    connection.execute("; ".join(f"SET {name} = {value}" for name, value in _KEEPALIVE.items()))
    connection.autocommit = before


def _without_nul(adapters: AdaptersMap) -> type[Dumper]:
    """Return a text dumper that replaces U+0000 by U+FFFD: programs may print it, and PostgreSQL rejects it."""
    from psycopg import adapt  # psycopg is an optional dependency

    usual = adapters.get_dumper(str, adapt.PyFormat.TEXT)

    class WithoutNul(adapt.Dumper):
        """Wraps the default dumper, which is compiled and would not call the methods of a subclass."""

        oid = usual.oid

        def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
            super().__init__(cls, context)
            self._usual = usual(cls, context)

        def dump(self, obj: str) -> Buffer | None:
            return self._usual.dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)

    return WithoutNul
