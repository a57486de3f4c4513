"""The schema moves forward only: Alembic brings a store to the revision that this version knows."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from orchestune.errors import UsageError

MIGRATIONS = Path(__file__).parent / "migrations"
_UNRELEASED = "00"
"""what the revisions begin with that no release had; that of the first release is 1001"""
_ADVISORY_LOCK = 7_021_501  # any fixed number: one replica migrates, the others wait for it


def head() -> str:
    """The newest revision that this version knows."""
    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def current(engine: Engine) -> str | None:
    """The revision of the store, None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Bring the store to `head`. A store of a newer version is refused; an SQLite file is copied first."""
    known, present = head(), current(engine)
    if present == known:
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
            run(connection, known)


def _place(engine: Engine) -> str:
    return "state folder (ORCHESTUNE_HOME)" if engine.dialect.name == "sqlite" else "database"


def run(connection: Connection, revision: str) -> None:
    """Run the migrations up to `revision` inside the transaction of `connection`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revisions() -> set[str]:
    """Every revision that this version knows."""
    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _copy(engine: Engine, path: Path, revision: str) -> None:
    """By SQLite itself: whoever opens and closes its file otherwise takes the locks of this whole process away (POSIX
    has it so), and then the next program that looks into the store removes the log in which this one writes.
    """
    copy = path.with_name(f"{path.name}.before-{revision}")
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    with engine.connect() as connection, closing(sqlite3.connect(part)) as target:
        source: Any = connection.connection.driver_connection
        source.backup(target)
    os.replace(part, copy)
