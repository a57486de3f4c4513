"""Connections to PostgreSQL that notice within seconds when either end has gone without a word."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from orchestune.errors import UsageError

if TYPE_CHECKING:
    from psycopg import Connection as DriverConnection
    from psycopg.abc import AdaptContext, Buffer, Dumper
    from psycopg.adapt import AdaptersMap

_IDLE, _BETWEEN, _TIMES = 5, 3, 3
"""seconds of silence, seconds from one question to the next, and how many stay unanswered"""
_KEEPALIVE = {
    "tcp_keepalives_idle": _IDLE,
    "tcp_keepalives_interval": _BETWEEN,
    "tcp_keepalives_count": _TIMES,
    "tcp_user_timeout": (_IDLE + _BETWEEN * _TIMES) * 1000,
}
"""what the database does; by its own settings a machine that lost its power holds its locks for two hours"""
_OURS = {
    "connect_timeout": 10,
    "keepalives_idle": _IDLE,
    "keepalives_interval": _BETWEEN,
    "keepalives_count": _TIMES,
    "tcp_user_timeout": (_IDLE + _BETWEEN * _TIMES) * 1000,
}
"""the same on this side, and how many seconds it takes to connect at most; without, two minutes"""
_WRITING = "READ COMMITTED"
"""rows are locked before they are read; in a stricter isolation, which a database may have, transactions fail"""
_ENCODINGS = ("UTF8", "SQL_ASCII")
"""of databases that keep every text: the second one leaves it as it comes"""

READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""options of a connection that reads: every statement sees what the first one saw"""


def error(name: str = "Error") -> type[Exception]:
    """What the driver raises where nothing stands between, as for hot statements; _Never where it is not in use."""
    return getattr(sys.modules.get("psycopg"), name, _Never)


class _Never(Exception):
    """Raised by nobody."""


def create(url: URL) -> Engine:
    """The engine. ModuleNotFoundError where psycopg is missing."""
    given = {name: value for name, value in _OURS.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=10,
        pool_pre_ping=True,
        isolation_level=_WRITING,
        connect_args={**given, "client_encoding": "UTF8"},
    )
    event.listen(engine, "connect", _tell)
    return engine


def refuse_encoding(engine: Engine) -> None:
    """UsageError where the database keeps only some characters: programs print any."""
    with engine.connect() as connection:
        found = connection.execute(text("SHOW server_encoding")).scalar_one()
    if found not in _ENCODINGS:
        raise UsageError(
            f"the database keeps texts as {found}, which lacks most characters",
            "make one that has all: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0",
        )


def refuse_pooler(engine: Engine) -> None:
    """UsageError where transactions of a connection go to one session of the database after the other, which other
    connections use too: locks of a session hold for nobody there, so that no server would act, or several would.
    """
    with engine.connect() as one, engine.connect() as other:
        one, other = (each.execution_options(isolation_level="AUTOCOMMIT") for each in (one, other))
        sessions = [(_session(one), _session(other)) for _ in range(3)]
    if len(set(sessions)) > 1 or any(mine == theirs for mine, theirs in sessions):
        raise UsageError(
            "the database is reached through a pooler that gives each transaction another session",
            "name the database itself, or have the pooler keep sessions (pgbouncer: pool_mode = session)",
        )


def _session(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _tell(connection: DriverConnection[object], _: object) -> None:
    """For the whole session: what it is asked, outside of any transaction, and how it writes texts."""
    connection.adapters.register_dumper(str, _without_nul(connection.adapters))
    before, connection.autocommit = connection.autocommit, True
    connection.execute("; ".join(f"SET {name} = {value}" for name, value in _KEEPALIVE.items()))
    connection.autocommit = before


def _without_nul(adapters: AdaptersMap) -> type[Dumper]:
    """What writes a text as before, and U+FFFD for U+0000, which PostgreSQL refuses: programs print it."""
    from psycopg import adapt  # an extra, like the driver

    usual = adapters.get_dumper(str, adapt.PyFormat.TEXT)

    class WithoutNul(adapt.Dumper):
        """Asks the usual one, which is compiled and calls nothing that a subclass of it has."""

        oid = usual.oid

        def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
            super().__init__(cls, context)
            self._usual = usual(cls, context)

        def dump(self, obj: str) -> Buffer | None:
            return self._usual.dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)

    return WithoutNul
