"""`run`: checks first, says what it does, sends what the server needs, and nothing more."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from orchestune.cli.try_one import configuration
from orchestune.client.launch import folder_key
from orchestune.domain.experiment import Secret, Specification
from orchestune.domain.metrics import Metric
from orchestune.domain.resources import Resources
from orchestune.domain.space import Parameter, Space
from orchestune.errors import BadInput
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer

Cli = Callable[..., Result]
SPECIFICATION = Specification(
    name="SGD classifier",
    run="python model.py {args}",
    space=Space(
        (
            Parameter("alpha", "float", 1e-6, 0.1, log=True),
            Parameter("penalty", "categorical", choices=("l1", "l2", "elasticnet")),
            Parameter("l1_ratio", "float", 0.0, 1.0, when=(("penalty", ("elasticnet",)),)),
        )
    ),
    metrics=(Metric("accuracy", "maximize"),),
    budget=40,
    parallelism=2,
    resources=Resources(cpu=1, memory=2 * 2**30),
    secrets=(Secret("KEY", "env:MY_KEY"),),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment, whose file a stand-in for the loader reads."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "experiment.yml").write_text("name: SGD classifier\n")
    (folder / "model.py").write_text("print('accuracy=0.5')\n")
    (folder / "data").mkdir()
    (folder / "data" / "big.bin").write_bytes(b"x" * 1000)
    (folder / ".gitignore").write_text("data/\n")

    def load(path: Path, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> SimpleNamespace:
        code = SimpleNamespace(ignore=(), limit=10_000_000)
        if not path.exists():
            raise BadInput.one(f"there is no file {path.name}")
        return SimpleNamespace(specification=SPECIFICATION, code=code, notes=("a note",), path=path)

    module = ModuleType("orchestune.config.experiment_file")
    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "orchestune.config", ModuleType("orchestune.config"))
    monkeypatch.setitem(sys.modules, "orchestune.config.experiment_file", module)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MY_KEY", "value-of-the-key")
    return folder


def test_run_sends_the_code_once_and_what_trials_need(server: FakeServer, cli: Cli, project: Path) -> None:
    result = cli("run", "--detach")
    assert (result.code, result.out, result.err) == (0, "sgd-7f3a\n", "")
    cli("run", "--detach")
    assert len(server.asked("PUT", "/bundles/")) == 1
    body = server.world.created[0]
    assert body["specification"]["name"] == "SGD classifier"
    assert body["folder"] == folder_key(project)
    assert body["cluster"] == "local"
    assert body["secrets"] == {"KEY": "value-of-the-key"}
    assert body["launch"]["root"] == str(project)
    assert body["launch"]["links"] == ["data"]
    assert "PATH" in body["launch"]["env"]
    assert "value-of-the-key" not in json.dumps(body["launch"])
    with tarfile.open(fileobj=io.BytesIO(server.world.bundles[body["bundle"]])) as archive:
        assert {"model.py", "experiment.yml", ".gitignore"} <= set(archive.getnames())
        assert not any(name.startswith("data") for name in archive.getnames())


def test_run_says_what_it_does_in_a_few_lines(server: FakeServer, cli: Cli, project: Path) -> None:
    server.update("sgd-7f3a", state="completed")
    result = cli("run")
    assert result.code == 0
    plan = result.out.split("\n\n")[0].splitlines()
    gets = "arguments such as --alpha=VALUE; also ORCHESTUNE_PARAM_ALPHA and $ORCHESTUNE_PARAMS (a JSON file)"
    assert plan == [
        "sgd-7f3a  SGD classifier",
        "  budget     40 trials, 2 at a time with 1 cpu, 2.0 GiB each, engine auto",
        "  parameters alpha     1e-06..0.1 log",
        "             penalty   l1, l2, elasticnet",
        "             l1_ratio  0..1, when penalty is elasticnet",
        "  command    python model.py {args}",
        f"  gets       {gets}",
        "  looks for  accuracy (maximize); for example a line `accuracy=0.5` on its output",
        "  code       3 files, 49 B",
        "  note       a note",
        "  note       linked from this folder, not packed: data; a cluster would not have them",
    ]


def test_a_dry_run_touches_nothing(server: FakeServer, cli: Cli, project: Path) -> None:
    before = sorted(project.rglob("*"))
    result = cli("run", "--dry-run")
    assert result.code == 0
    assert "nothing was started" in result.out
    assert json.loads(cli("run", "--dry-run", "--json").out)["code"]["links"] == ["data"]
    assert server.world.requests == []
    assert sorted(project.rglob("*")) == before


def test_a_missing_secret_is_an_error_before_anything_is_sent(
    server: FakeServer, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY")
    result = cli("run", "--detach")
    assert result.code == 2
    assert "secrets.KEY: the environment variable MY_KEY is not set" in result.err
    assert server.world.requests == []


def test_a_missing_file_is_wrong_use(server: FakeServer, cli: Cli, project: Path) -> None:
    result = cli("run", "-f", "nothing.yml", "--json")
    assert result.code == 2
    assert json.loads(result.err)["error"]["code"] == "bad_input"


def test_the_configuration_of_a_test_is_the_middle_with_what_was_chosen() -> None:
    assert configuration(SPECIFICATION, []) == {"alpha": pytest.approx((1e-6 * 0.1) ** 0.5), "penalty": "l2"}
    chosen = configuration(SPECIFICATION, ["penalty=elasticnet", "l1_ratio=0.25"])
    assert (chosen["penalty"], chosen["l1_ratio"]) == ("elasticnet", 0.25)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("alhpa=1", "did you mean alpha"),
        ("alpha=x", "'x' is no number"),
        ("alpha=7", "outside"),
        ("penalty=l3", "none of l1, l2, elasticnet"),
        ("l1_ratio=0.5", "not active"),
    ],
)
def test_a_value_that_cannot_be_is_refused(chosen: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        configuration(SPECIFICATION, [chosen])
