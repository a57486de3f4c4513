"""Leader election among the servers on one database."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from contextlib import ExitStack

from sqlalchemy import Connection, text

from orchestune.store.advisory_locks import HoldingConnection
from orchestune.store.database import Store, translated

_LEADER = 7_021_502
"""arbitrary fixed key of the advisory lock that the leader holds"""
_SHARED_LOCK_KEY = 7_021_503
"""first key of the shared advisory locks by which replicas compare their `common` values"""

_OTHERS = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = :number AND objid::bigint <> (CAST(:digest AS bigint) & 4294967295)"
)
log = logging.getLogger(__name__)


class Leadership:
    """Callable that returns True if this replica leads, that is, runs the controllers.

    On SQLite it always leads; on PostgreSQL the holder of the advisory lock does. The lock lives as long as its
    connection. Thread-safe. Raises StoreUnavailable if the database is unreachable; the lock is then released with its
    connection, and acquired again once the database is back.

    `common`: values that must be equal on all replicas, by the warning to log if an earlier replica has another one.
    Replicas see only 32-bit digests of each other's values, as keys of shared advisory locks.
    """

    def __init__(self, store: Store, common: Mapping[str, bytes] | None = None) -> None:
        self._store = store
        self._common = common or {}
        self._asking = threading.Lock()
        self._connection = HoldingConnection(store.engine)
        self._held = False

    def __call__(self) -> bool:
        """Return True if this replica leads now; tries to acquire the lock."""
        if self._store.in_process:
            return True
        with self._asking, ExitStack() as on_error:
            on_error.callback(self._give_up)
            with translated():
                self._held = self._holds(self._connected())
            on_error.pop_all()
            return self._held

    def resign(self) -> None:
        """Release the lock so that another replica can lead; the next call tries to acquire it again."""
        with self._asking:
            self._give_up()

    def _connected(self) -> Connection:
        connection, fresh = self._connection.get()
        if fresh:
            self._compare(connection)
        return connection

    def _compare(self, connection: Connection) -> None:
        for number, (warning, value) in enumerate(self._common.items(), start=_SHARED_LOCK_KEY):
            own = {"number": number, "digest": int.from_bytes(hashlib.sha256(value).digest()[:4], signed=True)}
            connection.execute(text("SELECT pg_advisory_lock_shared(:number, :digest)"), own)
            if connection.execute(_OTHERS, own).scalar():
                log.warning("%s", warning)

    def _holds(self, connection: Connection) -> bool:
        if self._held:
            connection.execute(text("SELECT 1"))
            return True
        return bool(connection.execute(text(f"SELECT pg_try_advisory_lock({_LEADER})")).scalar())

    def _give_up(self) -> None:
        self._held = False
        self._connection.give_up()
