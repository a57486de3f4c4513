"""An experiment of another user does not choose which folder of the machine is searched for offers, and deleted."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from orchestune.client.local.home import state_folder
from orchestune.errors import UsageError
from orchestune.sdk.creating import BRIDGE
from orchestune.sdk.experiments import Experiment


class Server:
    """A server with one experiment, which is over. Its author chose the command."""

    def __init__(self, *words: str) -> None:
        self.run = [sys.executable, "-m", BRIDGE, *words]

    def experiment(self, _: str) -> dict[str, Any]:
        state = {"state": "completed", "desired": "running", "reason": None, "counts": {"running": 0}}
        return {"id": "7f3a", "handle": "eve-7f3a", "name": "eve", "parallelism": 1, **state}

    def specification(self, _: str) -> dict[str, Any]:
        return {"specification": {"run": self.run}}

    def close(self) -> None:
        """Nothing is open."""


def loaded(*words: str) -> Experiment:
    server: Any = Server(*words)
    return Experiment(server, server.experiment(""))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the user who loads the experiment, beside a folder that the user does not want to lose."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "1.offer").write_text("thesis")
    state = tmp_path / "state"
    (state / "offers").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(state))
    return state


@pytest.mark.parametrize(
    "path",
    [
        "{tmp}/precious",
        "{state}",
        "{state}/offers",
        "{state}/offers/{name}/..",
        "{state}/offers/{name}/../../../precious",
        "{state}/offers/../workers/{name}",
        "{tmp}/offers/{name}",
        "precious",
        "",
    ],
)
def test_a_folder_that_the_author_of_an_experiment_names_is_not_touched(
    home: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    tmp, name = home.parent, uuid.uuid4().hex
    for folder in (home / "offers" / name, home / "workers" / name, tmp / "offers" / name):
        folder.mkdir(parents=True)
    state_folder()  # marks it
    monkeypatch.chdir(tmp)
    experiment = loaded(path.format(tmp=tmp, state=home, name=name))
    before = sorted(tmp.rglob("*"))
    for take in (experiment.ask, lambda: asyncio.run(experiment.ask_async()), lambda: list(experiment.loop())):
        with pytest.raises(UsageError, match="is not a folder for offers of this user"):
            take()
    assert sorted(tmp.rglob("*")) == before


def test_a_command_without_a_folder_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="run a command"):
        loaded().ask()


def test_the_offers_of_an_experiment_that_is_over_are_removed(home: Path) -> None:
    offers = home / "offers" / uuid.uuid4().hex
    offers.mkdir()
    assert loaded(str(offers)).ask() is None
    assert not offers.exists()
