"""Schema upgrades with Alembic, to the revision of this version. There are no downgrades.

Alembic takes 0.1 s to import, so only an upgrade imports it: most starts of a server open a store that needs none.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect

from orchestune.errors import UsageError

MIGRATIONS = Path(__file__).parent / "migrations"
_UNRELEASED = "00"
"""prefix of revisions from before the first release, whose revision is 1001"""
_VERSION_TABLE = "alembic_version"
_ADVISORY_LOCK = 7_021_501  # arbitrary fixed key: one replica migrates while the others wait


def head() -> str:
    """Return the newest revision of this version: the files of revisions start with their number."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def current(engine: Engine) -> str | None:
    """Return the revision of the store, None if it is empty."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(_VERSION_TABLE):
            return None
        revision = connection.exec_driver_sql(f"SELECT version_num FROM {_VERSION_TABLE}").scalar()
        return None if revision is None else str(revision)


def upgrade(engine: Engine) -> None:
    """Upgrade the store to `head`; an SQLite file is backed up first. Raises UsageError if a newer version wrote it."""
    newest, present = head(), current(engine)
    if present == newest:
        return
    if present is not None and present.startswith(_UNRELEASED):
        raise UsageError(
            f"cannot upgrade a database from before the first release of Orchestune (schema {present})",
            "export its experiments with the version that wrote it (`orchestune export --all -o FOLDER`), then start "
            f"with an empty {_place(engine)} and `orchestune import FOLDER`",
        )
    if present is not None and present not in revisions():
        raise UsageError(
            f"the store was written by a newer version of Orchestune (schema {present})",
            f"upgrade Orchestune here, or use another {_place(engine)}",
        )
    if present is not None and engine.dialect.name == "sqlite" and engine.url.database:
        _copy(engine, Path(engine.url.database), present)
    with engine.connect() as connection:
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            run(connection, newest)


def _place(engine: Engine) -> str:
    return "state folder (ORCHESTUNE_HOME)" if engine.dialect.name == "sqlite" else "database"


def run(connection: Connection, revision: str) -> None:
    """Run the migrations up to `revision` inside the transaction of `connection`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revisions() -> set[str]:
    """Return every revision known to this version."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _copy(engine: Engine, path: Path, revision: str) -> None:
    """Back up the database with SQLite's backup API.

    Opening and closing the file in another way would release the POSIX locks of the whole process, and the next
    program that opens the store would then delete the write-ahead log that this process writes.
    """
    copy = path.with_name(f"{path.name}.before-{revision}")
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    with engine.connect() as connection, closing(sqlite3.connect(part)) as target:
        source: Any = connection.connection.driver_connection
        source.backup(target)
    os.replace(part, copy)
