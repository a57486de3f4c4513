"""`export --to`, where it cannot begin."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer

Cli = Callable[..., Result]


@pytest.mark.parametrize(
    ("tracker", "library"), [("wandb", "wandb"), ("trackio", "trackio"), ("tensorboard", "tensorboardX")]
)
def test_a_tracker_whose_library_is_missing_is_refused_with_what_to_install(
    server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch, tracker: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    result = cli("export", next(iter(server.world.experiments)), "--to", tracker)
    assert (result.code, result.err) == (
        1,
        f"error: {library} is not installed\nhint:  pip install 'orchestune[{tracker}]'\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--follow"], "--follow and --project need --to"),
        (["--project", "vision"], "--follow and --project need --to"),
        (["--to", "wandb", "--format", "csv"], "--to cannot be combined with --format"),
        (["--to", "wandb", "--all"], "--all cannot be combined with EXP, --format or --to"),
        (["--to", "tensorboard", "--project", "vision"], "TensorBoard has no projects"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    server: FakeServer, cli: Cli, words: list[str], message: str
) -> None:
    result = cli("export", next(iter(server.world.experiments)), *words)
    assert (result.code, result.err.splitlines()[0]) == (2, f"error: {message}")
