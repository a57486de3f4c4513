"""Named locks for work that must not run twice at once, also across several servers on one database."""

from __future__ import annotations

import hashlib
import threading
from contextlib import ExitStack

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from orchestune.store.advisory_locks import HoldingConnection


class NamedLocks:
    """Non-blocking named locks, each with one holder at a time. Thread-safe; all calls are short.

    On PostgreSQL, which several servers may share, they are advisory locks of one connection. If the connection breaks
    or the server dies, all its locks are released, even if a caller still believes to hold one.
    """

    def __init__(self, engine: Engine) -> None:
        self._connection = HoldingConnection(engine) if engine.dialect.name == "postgresql" else None
        self._asking = threading.Lock()
        self._held: set[str] = set()

    def take(self, name: str) -> bool:
        """Acquire the lock; return False if it is held. Raises the driver's error if the database is unreachable."""
        with self._asking:
            if name in self._held:
                return False
            with ExitStack() as on_error:
                on_error.callback(self._give_up)
                is_acquired = bool(self._ask("pg_try_advisory_lock", name))
                on_error.pop_all()
            if is_acquired:
                self._held.add(name)
            self._rest()
            return is_acquired

    def leave(self, name: str) -> None:
        """Release the lock. Raises nothing."""
        with self._asking:
            if name not in self._held:
                return
            self._held.remove(name)
            try:
                self._ask("pg_advisory_unlock", name)
            except SQLAlchemyError:
                self._give_up()
            else:
                self._rest()

    def close(self) -> None:
        """Release every lock."""
        with self._asking:
            self._give_up()

    def _ask(self, function: str, name: str) -> object:
        if self._connection is None:
            return True
        connection, _ = self._connection.get()
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        return connection.execute(text(f"SELECT {function}(:number)"), {"number": number}).scalar()

    def _rest(self) -> None:
        if self._connection is not None and not self._held:
            self._connection.rest()

    def _give_up(self) -> None:
        self._held.clear()
        if self._connection is not None:
            self._connection.give_up()
