"""Databases of earlier versions: those of releases are upgraded with their running trials, older ones are refused."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestune.errors import UsageError
from orchestune.store import database, migrate
from orchestune.store.database import open_store
from tests.contract.world import CoreWorld

FIRST_RELEASE = Path(__file__).with_name("first_release.sql")
"""a store of the first release: one experiment with four trials, of which one is over and two run"""

NEXT = '''
"""A later release: one column more."""
import sqlalchemy as sa
from alembic import op

revision = "1002"
down_revision = "1001"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("energy", sa.Float(), nullable=True))
'''


def written_by_the_first_release(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_RELEASE.read_text())


@pytest.fixture
def later_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder)
    (folder / "versions" / "1002_next.py").write_text(NEXT)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)


@pytest.fixture
def world(tmp_path: Path) -> CoreWorld:
    written_by_the_first_release(tmp_path / "orchestune.db")
    return CoreWorld(tmp_path)


def test_running_trials_of_the_first_release_are_finished_by_this_one(world: CoreWorld) -> None:
    """Their workers are gone with the machine: the trials are requeued, and none is lost or counted twice."""
    assert world.status("first")["counts"]["running"] == 2
    status = world.run(world.status("first")["id"])
    assert (status["state"], status["counts"]["completed"], status["counts"]["failed"]) == ("completed", 4, 0)
    trials = world.trials(status["id"])
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4]
    assert {attempt["state"] for trial in trials for attempt in trial["attempts"]} == {"succeeded", "lost"}
    world.close()


@pytest.mark.usefixtures("later_release")
def test_a_later_release_upgrades_the_first_one_and_keeps_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    written_by_the_first_release(path)
    store = open_store(f"sqlite:///{path}")
    with store.engine.connect() as connection:
        running = text("SELECT state, energy FROM attempts WHERE state = 'leased'")
        assert connection.execute(running).all() == [("leased", None)] * 2
    store.close()
    with closing(sqlite3.connect(tmp_path / "old.db.before-1001")) as copy:
        assert copy.execute("SELECT COUNT(*) FROM attempts WHERE state = 'leased'").fetchone() == (2,)


@pytest.mark.usefixtures("later_release")
def test_a_later_release_upgrades_the_first_one_on_postgresql(postgres_database: str) -> None:
    store = database.connect(postgres_database)
    with store.engine.begin() as connection:
        migrate.run(connection, "1001")
    migrate.upgrade(store.engine)
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT energy FROM attempts")).all() == []
    assert migrate.current(store.engine) == "1002"
    store.close()


@pytest.mark.parametrize(
    ("revision", "message", "hint"),
    [
        ("0026", "before the first release of Orchestune", "orchestune export --all"),
        ("9999", "written by a newer version of Orchestune", "upgrade Orchestune here"),
    ],
)
def test_a_database_that_cannot_be_upgraded_is_refused_and_left_as_it_is(
    tmp_path: Path, revision: str, message: str, hint: str
) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('{revision}');"
        )
    before = path.read_bytes()
    with pytest.raises(UsageError, match=message) as caught:
        open_store(f"sqlite:///{path}")
    assert hint in caught.value.hint
    assert path.read_bytes()[100:] == before[100:], "all but the header, which names the mode of the log"
