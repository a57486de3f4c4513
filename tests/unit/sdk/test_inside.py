from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import orchestune
from orchestune.sdk.call import FunctionCall
from orchestune.sdk.parameters import Params
from orchestune.worker.files import artifacts
from orchestune.worker.metrics.scanner import Declared, Scanner

LIGHT = ("Params", "checkpoint_dir", "log_artifact", "params", "report", "should_stop")
"""what a training script uses"""


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ORCHESTUNE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def set_parameters(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    Path("parameters.json").write_text(json.dumps(values))
    monkeypatch.setenv("ORCHESTUNE_PARAMS", str(Path("parameters.json").absolute()))


def test_by_hand_the_defaults_are_the_parameters() -> None:
    params = orchestune.params({"optim.lr": 0.1}, layers=2)
    assert params == {"optim.lr": 0.1, "layers": 2}
    assert params.layers == 2 and "layers" in dir(params)


def test_a_trial_s_values_stand_over_the_defaults_and_take_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    set_parameters(monkeypatch, lr=1, layers=3.0, name=7, flag=False, more="x")
    params = orchestune.params(lr=0.1, layers=2, name="", flag=True, absent=None)
    assert list(map(repr, (params.lr, params.layers, params.name, params.flag, params.more, params.absent))) == [
        "1.0", "3", "'7'", "False", "'x'", "None",
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "default"), [("adam", 0.1), (0.5, 1), (True, 1), (1, False)])
def test_a_value_that_does_not_fit_its_default_is_an_error_that_names_both(
    monkeypatch: pytest.MonkeyPatch, value: object, default: object
) -> None:
    set_parameters(monkeypatch, x=value)
    with pytest.raises(TypeError, match=r"parameter x is .* its default .*: change one of them"):
        orchestune.params(x=default)


def test_a_parameter_that_is_not_there_is_an_attribute_error_that_tells_which_are() -> None:
    with pytest.raises(AttributeError, match=r"no parameter 'lr' \(parameters: rate"):
        _ = orchestune.params(rate=1).lr


def test_the_file_that_announces_the_end_is_what_should_stop_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not orchestune.should_stop()
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("orchestune.sdk.trial_end._installed", [True])
    monkeypatch.setenv("ORCHESTUNE_STOP", str(Path("stop.json").absolute()))
    assert not orchestune.should_stop()
    Path("stop.json").write_text("{}")
    assert orchestune.should_stop()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_script_that_asks_whether_to_stop_outlives_the_signal_and_is_told() -> None:
    code = (
        "import orchestune, os, signal\n"
        "assert not orchestune.should_stop()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(orchestune.should_stop())"
    )
    environ = {**os.environ, "ORCHESTUNE_STOP": str(Path("none").absolute())}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_handler_of_the_script_s_own_keeps_the_signal() -> None:
    code = (
        "import orchestune, os, signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('mine'))\n"
        "orchestune.should_stop()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(orchestune.should_stop())"
    )
    environ = {**os.environ, "ORCHESTUNE_STOP": str(Path("none").absolute())}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "mine\nFalse\n"


def test_the_checkpoint_folder_is_there_by_hand_and_in_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    assert orchestune.checkpoint_dir() == Path("checkpoint").absolute()
    monkeypatch.setenv("ORCHESTUNE_CHECKPOINT_DIR", str(Path("kept").absolute()))
    assert orchestune.checkpoint_dir() == Path("kept").absolute()
    assert Path("kept").is_dir() and Path("checkpoint").is_dir()


def test_what_a_script_names_as_artifact_is_what_the_worker_keeps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listing = tmp_path / "artifacts.jsonl"
    monkeypatch.setenv("ORCHESTUNE_ARTIFACTS", str(listing))
    view, elsewhere = tmp_path / "view", tmp_path / "elsewhere"
    (view / "plots").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (view / "best.pt", view / "plots/a.png", elsewhere / "big.bin"):
        path.write_text(path.name)
    monkeypatch.chdir(view)
    orchestune.log_artifact("best.pt")
    orchestune.log_artifact("plots")
    orchestune.log_artifact("best.pt", name="models/last.pt")
    orchestune.log_artifact(elsewhere / "big.bin")
    chosen = artifacts.choose(view, ["*.pt"], 1000, lambda note: pytest.fail(note), artifacts.listed(str(listing)))
    assert chosen == [
        ("best.pt", view / "best.pt"),
        ("big.bin", elsewhere / "big.bin"),
        ("models/last.pt", view / "best.pt"),
        ("plots/a.png", view / "plots/a.png"),
    ]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "", "a/../../x"])
def test_the_name_of_an_artifact_stays_below(name: str) -> None:
    Path("x").write_text("")
    with pytest.raises(ValueError, match="invalid name"):
        orchestune.log_artifact("x", name=name)


def test_an_artifact_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file: model\.pt"):
        orchestune.log_artifact("model.pt")


def test_a_listing_with_other_lines_spoils_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    lines = ["{", "[]", "1", '{"path": "/", "name": "../up"}', '{"path": "relative", "name": "a"}', '{"name": "b"}']
    (tmp_path / "list").write_text("\n".join([*lines, json.dumps({"path": str(tmp_path / "x"), "name": "c"})]))
    assert artifacts.listed(str(tmp_path / "list")) == [("c", tmp_path / "x")]
    assert artifacts.listed(str(tmp_path / "none")) == []


def test_a_training_script_loads_the_standard_library_and_nothing_else() -> None:
    uses = "".join(f"orchestune.{name};" for name in LIGHT)
    code = f"import sys, orchestune; {uses} print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    stands = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    fresh = loaded - set(stands.stdout.split())
    assert {name.partition(".")[0] for name in fresh} - set(sys.stdlib_module_names) == {"orchestune"}
    assert not fresh & {
        "asyncio",
        "http.client",
        "logging",
        "socket",
        "subprocess",
        "urllib.request",
        "typing_extensions",
    }


def test_the_stub_tells_type_checkers_what_the_package_offers() -> None:
    stub = Path(str(orchestune.__file__)).with_suffix(".pyi").read_text()
    homes = importlib.import_module("orchestune")._HOMES
    stub_modules = {
        line.rpartition(" as ")[2]: line.split()[1] for line in stub.splitlines() if line.startswith("from orchestune")
    }
    assert stub_modules == homes
    assert set(orchestune.__all__) == {"__version__", *homes} and set(homes) <= set(dir(orchestune))


@pytest.mark.parametrize("name", ["loss", "name", "value", "stddev", "step_time"])
def test_a_metric_may_have_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("ORCHESTUNE_METRICS", str(path))
    orchestune.report({name: 0.5}, step=3, stddev=0.1)
    [metric] = Scanner(Declared([name])).document(path.read_bytes())
    assert metric == (name, 0.5, 3.0, 0.1)


def test_a_name_that_is_no_text_is_written_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("ORCHESTUNE_METRICS", str(path))
    by_class: Any = {0: 0.5, 1: 0.25}
    orchestune.report(by_class, stddev={1: 0.1})  # type: ignore[dict-item]
    scanner = Scanner(Declared(["loss"]))
    metrics = [one for line in path.read_bytes().splitlines() for one in scanner.document(line)]
    assert metrics == [("0", 0.5, None, None), ("1", 0.25, None, 0.1)]


@pytest.mark.parametrize(
    ("metrics", "result", "expected"),
    [
        (("loss",), {"loss": 0.5, "stddev": 0.1}, [("loss", 0.5, 0.1)]),
        (("loss", "stddev"), {"loss": 0.5, "stddev": 0.1}, [("loss", 0.5, None), ("stddev", 0.1, None)]),
        (
            ("loss",),
            {"loss": 0.5, "f1": 1, "stddev": 0.1},
            [("loss", 0.5, None), ("f1", 1, None), ("stddev", 0.1, None)],
        ),
    ],
)
def test_a_function_may_return_a_spread_beside_its_one_metric(
    metrics: tuple[str, ...], result: Any, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("ORCHESTUNE_METRICS", str(path))
    FunctionCall(lambda x: result, metrics, by_name=False)(Params({"x": 1}))
    scanner = Scanner(Declared(metrics))
    values = [one for line in path.read_bytes().splitlines() for one in scanner.document(line)]
    assert [(one.name, one.value, one.stddev) for one in values] == expected


def test_what_is_no_name_with_a_value_is_told() -> None:
    with pytest.raises(TypeError, match=r"params\(\) expects defaults by name, such as params\(lr=0\.1\), got 3"):
        orchestune.params(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected metrics by name, such as report\(loss=…\), got 0\.5"):
        orchestune.report(0.5)  # type: ignore[arg-type]
