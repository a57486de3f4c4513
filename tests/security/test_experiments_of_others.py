"""The author of an experiment does not choose what is read on the machine of another user who works with it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestune.cli.develop.changed_folder import OriginalExperiment, changed_experiment
from orchestune.cli.main import main
from orchestune.cli.terminal.console import Console
from orchestune.client.address import ServerPlace
from orchestune.client.clusters import BUILT_IN, Clusters, ConnectedCluster
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment, inputs_digest
from orchestune.client.local.launch_context import folder_key
from orchestune.config.experiment_file import load
from orchestune.config.sections.template import relocated
from orchestune.domain.specification.command_channels import ConstantTemplate
from orchestune.sdk.experiments import Experiment
from orchestune.services.core import UNNAMED
from tests.contract.world import CoreWorld
from tests.security.target import OWNER, SPECIFICATION, Target, attacked
from tests.unit.client.fake_server import TOKEN, FakeServer, status, trial
from tests.unit.server.harness import live

FILE = "run: python train.py {x}\nparameters: {x: 0..1}\nmetrics: {loss: minimize}\nbudget: 4\n"
KEY = "value-of-the-key"
SHARED = "a-token-that-a-team-shares"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user, with a project that is the current folder, and a key."""
    for name in ("ORCHESTUNE_SERVER", "ORCHESTUNE_CLUSTER", "ORCHESTUNE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MY_KEY", KEY)
    (tmp_path / "state").mkdir(mode=0o700)
    project = tmp_path / "ada" / "project"
    project.mkdir(parents=True)
    (project / "train.py").write_text("print('loss=1')")
    (project / ".env").write_text("KEY=1")
    (project / "experiment.yml").write_text(FILE)
    (project.parent / "diary").write_text("private")
    monkeypatch.chdir(project)
    return project.parent


@pytest.fixture
def team(home: Path) -> Iterator[FakeServer]:
    """The server of a team, with an experiment of another user."""
    with FakeServer() as fake:
        fake.put(status("eve-7f3a", owner="eve", cluster="team"))
        fake.world.trials["eve-7f3a"] = [trial(2, parameters={"x": 0.5})]
        state = home.parent / "state"
        Clusters(state).add(ConnectedCluster("team", "hosted", url=fake.url, token=TOKEN))
        Clusters(state).use("team")
        specification = load(home / "project" / "experiment.yml").specification.to_json()
        specification["secrets"] = [{"name": "A", "source": "env:MY_KEY"}, {"name": "B", "source": "file:diary"}]
        launch = {"root": str(home), "links": [], "code": {"ignore": ["!.env"], "limit": 2**30}}
        fake.world.specification = {"specification": specification, "launch": launch, "owned_by_caller": False}
        yield fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        code = main(list(words))
        return code, capsys.readouterr().err

    return run


def sent(server: FakeServer) -> list[Any]:
    return [request for request in server.world.requests if request.method != "GET"]


@pytest.mark.parametrize(
    "words", [["rerun", "eve/2", "--detach"], ["shell", "eve/2", "--", "true"], ["try", "eve/2", "--into", "eve"]]
)
def test_secrets_that_another_user_names_are_not_sent_unasked(
    team: FakeServer, home: Path, run: Run, words: list[str]
) -> None:
    code, output = run(*words)
    assert code == 2
    assert f"eve-7f3a/2, of eve, reads A (env:MY_KEY), B (file:{home}/project/diary) on this machine" in output
    assert sent(team) == []


def _start(team: FakeServer, home: Path, cluster: str = "team") -> None:
    """Store that the team's experiment was started here, in the home folder."""
    inputs = inputs_digest(team.world.specification["specification"], team.world.specification["launch"])
    started = StartedExperiment("eve-7f3a", "id-of-eve-7f3a", cluster, folder_key(home), inputs)
    ExperimentIndex(home.parent / "state").add(started)


def test_secrets_of_an_own_experiment_are_sent(team: FakeServer, home: Path, run: Run) -> None:
    _start(team, home)
    assert run("rerun", "eve/2", "--detach")[0] == 0
    [request] = team.requests_to("POST", "/rerun")
    assert request.json()["secrets"] == {"A": KEY, "B": "private"}
    team.update("eve-7f3a", owner="ada (imported)")
    assert run("rerun", "eve/2", "--detach")[0] == 2


def test_another_server_cannot_say_that_an_experiment_is_the_callers_own(
    team: FakeServer, home: Path, run: Run
) -> None:
    """Its operator would choose the files that are sent there."""
    team.world.specification |= {"owned_by_caller": True}
    assert run("rerun", "eve/2", "--detach")[0] == 2
    _start(team, home, cluster="another team")
    assert run("rerun", "eve/2", "--detach")[0] == 2, "an id says nothing: each server chooses its own"
    assert sent(team) == []


@pytest.mark.parametrize("changed", ["secrets", "code", "root"])
def test_another_server_cannot_change_what_an_own_experiment_reads(
    team: FakeServer, home: Path, run: Run, changed: str
) -> None:
    _start(team, home)
    if changed == "secrets":
        team.world.specification["specification"]["secrets"][1]["source"] = "file:project/.env"
        assert run("rerun", "eve/2", "--detach")[0] == 2
        assert sent(team) == []
    elif changed == "code":
        team.world.specification["launch"]["code"] = {"ignore": ["!.env", "!*.pem"], "limit": 2**30}
        with closing(Console(out=io.StringIO(), err=io.StringIO())) as console:
            client = console.client
            original = OriginalExperiment(client.experiment("eve"), client.specification("eve"), None, "")
            prepared, _ = changed_experiment(console, original, None)
        assert not prepared.project.code.ignore
    else:
        team.world.specification["launch"]["root"] = "/nowhere"
        assert run("rerun", "eve/2", "--detach")[0] == 0
        [request] = team.requests_to("POST", "/rerun")
        assert request.json()["secrets"]["B"] == "private", "from the folder in which it was started"


def test_files_that_a_record_links_into_a_container_are_shown(team: FakeServer, home: Path, run: Run) -> None:
    """Docker mounts them. The record of another server names any folder as that of its project."""
    specification = team.world.specification["specification"] | {"secrets": []}
    launch = {"root": str(home), "links": ["diary"]}
    team.world.specification = {"specification": specification, "launch": launch}
    assert run("rerun", "eve/2", "--detach")[0] == 0, "the server of a team mounts nothing of this machine"
    team.update("eve-7f3a", owner="ada (imported)")
    team.world.requests.clear()
    Clusters(home.parent / "state").remove("team")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Console, "place", property(lambda self: _embedded(team)))
        outcomes = [run("rerun", "eve/2", "--detach"), run("shell", "eve/2", "--", "true")]
    for code, output in outcomes:
        assert code == 2 and f"reads {home}/diary on this machine" in output
    assert sent(team) == []


def _embedded(server: FakeServer) -> Any:
    return ServerPlace(BUILT_IN[0], server.resolve)


@pytest.mark.parametrize("is_own", [False, True])
def test_the_author_chooses_no_folder_and_no_files_to_pack(home: Path, is_own: bool) -> None:
    specification = load(home / "project" / "experiment.yml").specification.to_json()
    launch = {"root": str(home), "links": [], "code": {"ignore": ["!.env"], "limit": 2**30}}
    document = {"specification": specification, "launch": launch, "owned_by_caller": is_own}
    original = OriginalExperiment(cast(Any, status("eve-7f3a", owner="eve")), cast(Any, document), None, "")
    console = Console(out=io.StringIO(), err=io.StringIO(), environ={"ORCHESTUNE_HOME": str(home.parent / "state")})
    assert console.place.embedded
    prepared, _ = changed_experiment(console, original, None)
    if is_own:
        assert (prepared.folder, prepared.project.code.limit) == (home, 2**30)
    else:
        assert (prepared.folder, prepared.project.secrets) == (home / "project", (".env",))
        assert prepared.project.code.limit < 2**30 and not prepared.project.code.ignore


def test_an_experiment_of_another_user_is_not_the_newest_of_a_folder(tmp_path: Path, home: Path) -> None:
    folder = folder_key(Path.cwd())
    with attacked(tmp_path) as target:
        grace, eve = target.token("grace", "editor"), target.token("eve", "editor")
        own = target.create(grace, folder=folder).json()["handle"]
        planted = target.create(eve, folder=folder).json()["handle"]
        assert planted != own

        def newest(token: str) -> list[str]:
            reply = target.server.ask("GET", f"/api/v1/experiments?mine=true&folder={folder}", token=token)
            return [item["handle"] for item in reply.json()["items"]]

        assert (newest(grace), newest(eve)) == ([own], [planted])
        assert _specification(target, own, grace)["owned_by_caller"]
        assert not _specification(target, own, eve)["owned_by_caller"]
        assert not _specification(target, planted, grace)["owned_by_caller"]
        assert not _specification(target, own, OWNER)["owned_by_caller"]


def _specification(target: Target, handle: str, token: str) -> dict[str, Any]:
    reply = target.server.ask("GET", f"/api/v1/experiments/{handle}/specification", token=token)
    return cast("dict[str, Any]", reply.json())


def test_a_claimed_name_is_no_proof(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path)
    core = replace(world.core, owners={SHARED: UNNAMED, OWNER: "ada"})
    with live(core) as server:
        claimed, proven = (
            server.ask(
                "POST", "/api/v1/experiments", {"specification": SPECIFICATION}, token=token,
                headers={"Orchestune-User": "ada"},
            ).json()["handle"]
            for token in (SHARED, OWNER)
        )  # fmt: skip
        for token, own in ((SHARED, claimed), (OWNER, proven)):
            headers = {"Orchestune-User": "ada"}
            mine = server.ask("GET", "/api/v1/experiments?mine=true", token=token, headers=headers).json()["items"]
            assert [item["handle"] for item in mine] == [own]
            document = server.ask(
                "GET", f"/api/v1/experiments/{own}/specification", token=token, headers=headers
            ).json()
            assert document["owned_by_caller"] is (token == OWNER)
    world.close()


def test_an_own_experiment_goes_before_newer_ones_that_claim_the_name(team: FakeServer, home: Path, run: Run) -> None:
    team.put(status("ada-0001", owner="ada", owner_authenticated=False))
    team.put(status("ada-0002", owner="ada", owner_authenticated=False))
    team.world.folders[folder_key(Path.cwd())] = ["ada-0001", "ada-0002"]
    ExperimentIndex(home.parent / "state").add(StartedExperiment("ada-0001", "id-of-ada-0001", "team", ""))
    assert run("stop")[0] == 0
    [request] = team.requests_to("POST", "/stop")
    assert "ada-0001" in request.path and "mine=true" in json.dumps([each.path for each in team.world.requests])


def test_the_python_api_sends_no_variables_to_another_server(team: FakeServer, home: Path) -> None:
    """Its experiment has the id of one that was started on this machine: each server chooses its own."""
    identity = "id-of-eve-7f3a"
    ExperimentIndex(home.parent / "state").add(StartedExperiment("ada-0001", identity, "local", folder_key(home)))
    team.update("eve-7f3a", state="completed", owner="ada")
    team.world.specification["specification"]["inherit_env"] = True
    experiment = Experiment.load("eve-7f3a", cluster="team")
    assert experiment.id == identity
    experiment.resume()
    experiment.extend(budget=9)
    requests = sent(team)
    assert len(requests) == 2 and not any(KEY in request.body.decode() for request in requests)


def test_try_reads_constants_of_the_code_alone(home: Path) -> None:
    """The author of an experiment names the script, whose lines are sent with the specification."""
    (home / "settings.py").write_text("SECRET_KEY = 'abc'\n")
    project = home / "project"
    (project / "link.py").symlink_to(home / "settings.py")
    lines = ((1, ("SECRET_KEY = ", ("SECRET_KEY", "1"), "")),)
    for path in ("../settings.py", f"{home}/settings.py", "link.py"):
        template = ConstantTemplate(path, lines)
        assert relocated(template, project) == template
    for path in ("../settings.py", f"{home}/settings.py", "notes.txt"):
        with pytest.raises(ValueError, match="expected a Python or R script in the folder"):
            ConstantTemplate.from_json(ConstantTemplate(path, lines).to_json())
