"""A server that a command is pointed at chooses no place of its user's files, and no code of a notebook."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from orchestune import documents
from orchestune.cli.main import main
from orchestune.sdk.display import as_html
from tests.unit.client.fake_server import FakeServer, status, trial

CONTENT = b"ssh-ed25519 AAAA eve\n"
ARTIFACT = {"path": "authorized_keys", "digest": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT)}
BEST = {"trial": 1, "metrics": {"accuracy": {"value": 0.9, "stddev": None}}, "parameters": {"x": 1}}
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user, with keys and a project that is the current folder."""
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "state"))
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "ada" / ".ssh").mkdir(parents=True)
    (tmp_path / "ada" / "project" / "eve-7f3a-1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "ada" / "project")
    return tmp_path / "ada"


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        fake.put(status("eve-7f3a", state="completed", best=[BEST]))
        fake.world.trials["eve-7f3a"] = [trial(1, state="completed", artifacts=[ARTIFACT])]
        fake.world.files["authorized_keys"] = CONTENT
        yield fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        code = main(list(words))
        return code, capsys.readouterr().err

    return run


def test_the_number_of_the_best_trial_leads_out_of_no_folder(server: FakeServer, home: Path, run: Run) -> None:
    assert run("get", "eve", "--best")[0] == 0
    server.update("eve-7f3a", best=[{**BEST, "trial": "1/../../.ssh"}])
    code, error = run("get", "eve", "--best")
    assert code != 0 and "trial number '1/../../.ssh'" in error
    assert list((home / ".ssh").iterdir()) == []


def test_the_id_of_an_experiment_is_no_path(server: FakeServer, home: Path, run: Run) -> None:
    precious = home / "data.jsonl.gz"
    precious.write_bytes(b"precious")
    server.update("eve-7f3a", id=str(home / "data"))
    code, error = run("export", "--all", "-o", str(home / "archive"))
    assert code != 0 and "experiment id" in error
    assert precious.read_bytes() == b"precious"


def test_the_digest_of_code_is_no_path(server: FakeServer, home: Path, run: Run) -> None:
    server.world.trials["eve-7f3a"] = [trial(1, bundle=str(home / "code")), trial(2, bundle=None)]
    server.world.specification = {"specification": {}, "launch": {}}
    code, error = run("diff", "eve/1", "eve/2")
    assert code != 0 and "invalid digest" in error
    assert not list(home.glob("*code*"))


@pytest.mark.parametrize("changed", [{"budget": "<script>"}, {"counts": "<script>"}, {"best": "<script>"}])
def test_numbers_run_no_script_in_a_notebook(changed: dict[str, Any]) -> None:
    document = status("eve-7f3a", best=[BEST])
    if "counts" in changed:
        changed = {"counts": dict.fromkeys(document["counts"], changed["counts"])}
    if "best" in changed:
        changed = {"best": [{**BEST, "trial": changed["best"]}]}
    text = as_html(cast("documents.Status", {**document, **changed}))
    assert "<script>" not in text and "&lt;script&gt;" in text
