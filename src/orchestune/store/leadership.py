"""Which of the servers on one database acts."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping

from sqlalchemy import Connection, text

from orchestune.store.database import Store, translated
from orchestune.store.holding import HoldingConnection

_LEADER = 7_021_502
"""any fixed number: the advisory lock of the replica whose controllers act"""
_SHARED = 7_021_503
"""and of the locks that show what each replica has: so many of them from this number on"""

_OTHERS = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = :number AND objid::bigint <> (CAST(:digest AS bigint) & 4294967295)"
)
log = logging.getLogger(__name__)


class Leadership:
    """Whether this replica's controllers act: on SQLite always, on PostgreSQL whoever holds the advisory lock.

    The lock lives as long as the connection that took it. Any thread may ask; StoreUnavailable where the database is
    away, and then the lock is given up with its connection, to be taken anew once the database is back.

    `common`: values that every replica has to have alike, by the warning that the log gets where one that came before
    has another. Others see only digests of 32 bits, as locks beside the other one.
    """

    def __init__(self, store: Store, common: Mapping[str, bytes] | None = None) -> None:
        self._store = store
        self._common = common or {}
        self._asking = threading.Lock()
        self._connection = HoldingConnection(store.engine)
        self._held = False

    def __call__(self) -> bool:
        """Whether it is so now."""
        if self._store.inline:
            return True
        with self._asking:
            try:
                with translated():
                    self._held = self._holds(self._connected())
            except BaseException:
                self._give_up()
                raise
            return self._held

    def resign(self) -> None:
        """Let another replica lead; to ask again is to try again."""
        with self._asking:
            self._give_up()

    def _connected(self) -> Connection:
        connection, fresh = self._connection.get()
        if fresh:
            self._compare(connection)
        return connection

    def _compare(self, connection: Connection) -> None:
        for number, (warning, value) in enumerate(self._common.items(), start=_SHARED):
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
