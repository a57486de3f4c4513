"""Exports to the real libraries of W&B (offline), TensorBoard and trackio, read back by the same libraries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.testbeds.home import Home
from tests.testbeds.trackers import BIN, read
from tests.testbeds.waiting import until

pytestmark = [pytest.mark.trackers, pytest.mark.timeout(600)]
EXPERIMENT = """
name: lines
run: python train.py {args}
parameters: {x: 0.0..1.0, kind: [a, b]}
metrics: {loss: minimize}
try_first: [{x: 0.25, kind: a}, {x: 0.5, kind: b}, {x: 0.75, kind: a}]
budget: 3
"""
SCRIPT = """
import sys, time
from pathlib import Path
x = float(sys.argv[1].partition("=")[2])
print(f"step=1 loss={x + 1}", flush=True)
while x == 0.5 and not Path("FOLDER/GO").exists():
    time.sleep(0.02)
if x > 0.7:
    sys.exit("it diverged")
print(f"step=2 loss={x}", flush=True)
"""
EXPECTED = {
    "1": {"parameters": {"x": 0.25, "kind": "a"}, "curve": [[1, 1.25], [2, 0.25]], "state": "completed"},
    "2": {"parameters": {"x": 0.5, "kind": "b"}, "curve": [[1, 1.5], [2, 0.5]], "state": "completed"},
    "3": {"parameters": {"x": 0.75, "kind": "a"}, "curve": [[1, 1.75]], "state": "failed"},
}
TENSORBOARD = """
import json, sys
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
runs = {}
for folder in Path(sys.argv[1]).iterdir():
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    has_values = "loss" in events.scalars.Keys()
    run = {"curve": [(each.step, each.value) for each in events.Scalars("loss")] if has_values else []}
    if "_hparams_/session_start_info" in events.summary_metadata:
        contents = events.PluginTagToContent("hparams")
        start = HParamsPluginData.FromString(contents["_hparams_/session_start_info"])
        end = HParamsPluginData.FromString(contents["_hparams_/session_end_info"])
        hparams = start.session_start_info.hparams.items()
        run["parameters"] = {name: value.number_value or value.string_value for name, value in hparams}
        run["status"] = end.session_end_info.status
        [state] = events.Tensors("state/text_summary")[0].tensor_proto.string_val
        run["state"] = state.decode().split()[0]
    runs[folder.name] = run
print(json.dumps(runs))
"""
WANDB = """
import json, sys
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record
runs = {}
def records(data):
    # LevelDB's log format behind 7 bytes: blocks of 32 KiB; chunks of checksum, length, type (1 full, 4 last)
    at, whole = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(whole)
            whole = b""
def values(items):
    return {each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in items}
for file in Path(sys.argv[1]).glob("wandb/offline-run-*/run-*.wandb"):
    run = {"parameters": {}, "curve": [], "summary": {}}
    for record in records(file.read_bytes()):
        if record.HasField("run"):
            run |= {"name": record.run.display_name, "group": record.run.run_group, "project": record.run.project}
            config = values(record.run.config.update)
            run["parameters"] = {name: value for name, value in config.items() if not name.startswith("_")}
        if record.HasField("history"):
            row = values(record.history.item)
            run["curve"] += [[row["step"], row["loss"]]] if "loss" in row else []
        if record.HasField("summary"):
            run["summary"] |= values(record.summary.update)
        if record.HasField("exit"):
            run["exit"] = record.exit.exit_code
    runs[run["name"].rpartition("/")[2]] = run
print(json.dumps(runs))
"""
TRACKIO = """
import json, sys
import trackio
from trackio.sqlite_storage import SQLiteStorage
runs = {}
for each in trackio.Api().runs("lines"):
    number = each.name.rpartition("/")[2]
    assert number not in runs
    rows = SQLiteStorage.get_logs("lines", each.name)
    config = SQLiteStorage.get_run_config("lines", each.name)
    runs[number] = {
        "parameters": {name: value for name, value in config.items() if not name.startswith("_")},
        "curve": [[row["step"], row["loss"]] for row in rows if "loss" in row and "state" not in row],
        "state": [row["state"] for row in rows if "state" in row][-1],
        "group": config["_Group"],
    }
print(json.dumps(runs))
"""


@dataclass(frozen=True)
class Finished:
    """An experiment that has ended."""

    home: Home
    folder: Path
    handle: str


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home([str(BIN / "orchestune")], WANDB_MODE="offline") as user_home:
        yield user_home


def project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "experiment.yml").write_text(EXPERIMENT)
    (folder / "train.py").write_text(SCRIPT.replace("FOLDER", str(folder)))
    return folder


@pytest.fixture(scope="module")
def finished(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = project(tmp_path_factory.mktemp("finished") / "lines")
    (folder / "GO").touch()
    home.run("run", cwd=folder, expect=None)
    return Finished(home, folder, home.json("status", cwd=folder)[0]["handle"])


def without(runs: dict[str, dict[str, Any]], *names: str) -> dict[str, dict[str, Any]]:
    return {number: {name: run[name] for name in run if name not in names} for number, run in runs.items()}


def test_tensorboard_shows_a_run_per_trial_with_its_curve_parameters_and_status(
    finished: Finished, tmp_path: Path
) -> None:
    for _ in range(2):  # the second export replaces the first one
        finished.home.run("export", finished.handle, "--to", "tensorboard", "-o", str(tmp_path), cwd=finished.folder)
    runs = read(TENSORBOARD, str(tmp_path / finished.handle))
    assert without(runs, "status") == EXPECTED
    assert [runs[number]["status"] for number in "123"] == [1, 1, 2]  # success, success, failure


def test_an_offline_project_of_wandb_has_a_group_of_runs_with_final_values_and_exit_codes(
    finished: Finished, tmp_path: Path
) -> None:
    for _ in range(2):
        finished.home.run("export", finished.handle, "--to", "wandb", "-o", str(tmp_path), cwd=finished.folder)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 3
    runs = read(WANDB, str(tmp_path))
    for number, expected in EXPECTED.items():
        run = runs[number]
        assert (run["name"], run["group"], run["project"]) == (f"{finished.handle}/{number}", finished.handle, "lines")
        assert (run["parameters"], run["curve"]) == (expected["parameters"], expected["curve"])
        assert run["summary"]["orchestune.state"] == expected["state"]
        assert run["exit"] == (1 if expected["state"] == "failed" else 0)
    assert runs["2"]["summary"]["loss"] == 0.5
    assert "exit" in runs["3"]["summary"]["orchestune.reason"]


def test_a_run_that_was_synchronized_is_not_exported_again(finished: Finished, tmp_path: Path) -> None:
    command = ["export", finished.handle, "--to", "wandb", "-o", str(tmp_path)]
    finished.home.run(*command, cwd=finished.folder)
    before = sorted(tmp_path.glob("wandb/offline-run-*"))
    for folder in before:
        next(folder.glob("run-*.wandb")).with_suffix(".wandb.synced").touch()  # as `wandb sync` marks it
    done = finished.home.run(*command, cwd=finished.folder)
    assert "0 runs completed" in done.stderr
    assert sorted(tmp_path.glob("wandb/offline-run-*")) == before


def test_trackio_has_a_group_of_runs_and_a_second_export_replaces_them(finished: Finished, tmp_path: Path) -> None:
    for _ in range(2):
        finished.home.run("export", finished.handle, "--to", "trackio", "-o", str(tmp_path), cwd=finished.folder)
    runs = read(TRACKIO, TRACKIO_DIR=str(tmp_path))
    assert without(runs, "group") == EXPECTED
    assert {run["group"] for run in runs.values()} == {finished.handle}


def test_a_followed_trial_is_seen_while_it_runs(home: Home, tmp_path: Path) -> None:
    folder = project(tmp_path / "lines")
    home.run("run", "--detach", cwd=folder)
    handle = home.json("status", cwd=folder)[0]["handle"]
    runs = tmp_path / "runs" / handle
    words = ["export", handle, "--to", "tensorboard", "--follow", "-o", str(runs.parent)]
    with home.start(*words, cwd=folder) as export:
        until("the first value of the running trial", lambda: curve(runs) == [[1, 1.5]])
        (folder / "GO").touch()
        _, errors = export.communicate(timeout=200)
        assert export.returncode == 0, errors
    assert without(read(TENSORBOARD, str(runs)), "status") == EXPECTED
    assert "3 runs completed" in errors


def curve(folder: Path) -> Any:
    """Return the curve of trial 2 so far."""
    return read(TENSORBOARD, str(folder))["2"]["curve"] if (folder / "2").exists() else None
