"""Commands of trials: results, reasons, environment, usage."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.conftest import RunningWorker, bundle, until
from tests.integration.worker.fake_server import FakeServer

Serve = Callable[..., FakeServer]
Employ = Callable[..., RunningWorker]


def test_five_hundred_trivial_trials_end_once_each_with_their_metric(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=$ORCHESTUNE_PARAM_X", parameters=["x"])
    attempts = [server.queue({"x": index * 0.5}) for index in range(500)]
    employ(server)
    for index, attempt in enumerate(attempts):
        reports = server.finished(attempt, 120)
        assert reports.finished is not None
        assert reports.finished["state"] == "succeeded"
        assert reports.values("loss") == [index * 0.5]
        assert bytes(reports.log) == f"loss={index * 0.5}\n".encode()
        assert reports.deliveries == 1


@pytest.mark.parametrize(
    ("run", "state", "code", "message"),
    [
        ("true", "succeeded", None, ""),
        ("sh -c 'exit 3'", "failed", "exit_code", "exited with code 3"),
        ("sh -c 'exit 137'", "failed", "exit_code", "a shell reports a command killed by SIGKILL this way"),
        ("kill -SEGV $$", "failed", "signal", "killed by SIGSEGV"),
        ("no-such-program --x", "failed", "command_not_found", "no-such-program"),
        (["./missing.sh"], "failed", "command_not_found", "in the project"),
        (["/etc/passwd"], "failed", "command_not_found", "executable"),
        (["x" * 300], "failed", "command_not_found", "too long"),
        (["{args}"], "failed", "command_not_found", "the command is empty for this configuration"),
        ("true; no-such-program", "failed", "command_not_found", "127"),
        ("exec sleep 30", "failed", "timeout", "ran longer than 1.5s"),
    ],
)
def test_an_end_has_a_reason_that_people_understand(
    serve: Serve, employ: Employ, run: str, state: str, code: str | None, message: str
) -> None:
    server = serve(run, timeout=1.5 if "sleep" in run else None)
    attempt = server.queue()
    employ(server)
    finished = server.finished(attempt).finished
    assert finished is not None
    assert finished["state"] == state
    assert (finished["reason"] or {}).get("code") == code
    assert message in (finished["reason"] or {"message": ""})["message"]


def test_a_script_whose_interpreter_is_missing_is_not_told_as_missing(serve: Serve, employ: Employ) -> None:
    server = serve(["./train.sh"])
    digest = server.give(bundle({"train.sh": "#!/no/such/interpreter\n"}))
    attempt = server.queue(bundle=digest)
    employ(server)
    finished = server.finished(attempt).finished
    assert finished is not None and finished["reason"]["code"] == "command_not_found"
    assert "the interpreter in its first line" in finished["reason"]["message"]


def test_long_files_of_metrics_that_a_command_leaves_keep_nobody_waiting(serve: Serve, employ: Employ) -> None:
    write = "import os; text = '{\"loss\": 1}\\n' * 400_000 + '{\"loss\": 2}\\n'; "
    write += "open(os.environ['ORCHESTUNE_METRICS'], 'w').write(text); print('written')"
    server = serve(["python3", "-c", write])
    heard: list[float] = []

    def fault(route: str, body: dict[str, Any]) -> str:
        heard.append(time.monotonic())
        return ""

    server.fault = fault
    attempt = server.queue()
    employ(server)
    reports = server.finished(attempt, 120)
    assert reports.values("loss")[-1] == 2
    silences = [later - earlier for earlier, later in pairwise(heard)]
    assert max(silences) < 0.8 * sum(silences), "it was silent until everything was read"


def test_what_a_command_uses_is_told_while_it_runs_and_of_a_brief_one_nothing(serve: Serve, employ: Employ) -> None:
    busy = "import time; held = bytearray(80_000_000); end = time.time() + 600\nwhile time.time() < end: pass"
    server = serve([sys.executable, "-c", "{code}"], parameters=["code"])
    brief, lasting = server.queue({"code": "pass"}), server.queue({"code": busy})
    employ(server)
    server.wait(lambda: server.attempts[lasting].usage, what="what it uses")
    number, age, cores, memory, share, gpu_memory = server.attempts[lasting].usage[0]
    assert (number, share, gpu_memory) == (0, None, None)
    assert age > 1 and 0 < cores < 1.2 and memory > 80_000_000
    server.stop_attempt(lasting)
    assert (server.finished(lasting).finished or {})["state"] == "cancelled"
    numbers = [sample[0] for sample in server.attempts[lasting].usage]
    assert numbers == sorted(set(numbers))
    server.finished(brief)
    assert server.attempts[brief].usage == []


def test_the_command_finds_its_variables_and_files(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    code = (
        "import os, json, sys; own = {k: v for k, v in os.environ.items() if k.startswith(('ORCH', 'CUDA', 'PYTHON'))};"
        "print(json.dumps([own, json.load(open(own['ORCHESTUNE_PARAMS'])), os.listdir('.'), sys.stdin.read()]))"
    )
    job = {"parameters": ["optim.lr", "amp"], "env": {"PYTHONMINE": "1"}, "secrets": {"PYTHONKEY": "k1k1k1"}}
    server = serve([sys.executable, "-c", code], **job)
    attempt = server.queue({"optim.lr": 3e-4, "amp": True}, gpus=["2", "3"], fold=1, folds=3, number=2)
    worker = employ(server)
    variables, parameters, files, stdin = json.loads(server.finished(attempt).log)
    assert variables["ORCHESTUNE_PARAM_OPTIM_LR"] == "0.0003"
    assert variables["ORCHESTUNE_PARAM_AMP"] == "true"
    assert parameters == {"optim.lr": 3e-4, "amp": True}
    assert (files, stdin) == ([], "")
    assert variables["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert variables["PYTHONMINE"] == "1" and variables["PYTHONKEY"] == "***"
    assert (variables["ORCHESTUNE_FOLD"], variables["ORCHESTUNE_FOLDS"]) == ("1", "3")
    assert (variables["ORCHESTUNE_TRIAL"], variables["ORCHESTUNE_ATTEMPT"]) == ("1", "2")
    assert (variables["ORCHESTUNE_EXPERIMENT"], variables["ORCHESTUNE_HANDLE"]) == ("exp-id", "sgd-7f3a")
    assert variables["ORCHESTUNE_SEED"] == "7" and variables["ORCHESTUNE_REPORT_URL"].endswith("/report/x/y")
    assert not any(name.startswith("ORCHESTUNE_WORKER") for name in variables)
    assert variables["ORCHESTUNE_OF_WORKER"] == worker.name
    assert "secret-token" not in json.dumps(variables)


def test_usage_covers_the_whole_tree(serve: Serve, employ: Employ) -> None:
    child = "import time; b = bytearray(120_000_000); t = time.process_time()\nwhile time.process_time() - t < 3: pass"
    code = f"import subprocess, sys; ps = [subprocess.Popen([sys.executable, '-c', {child!r}]) for _ in (1, 2)]\n"
    server = serve([sys.executable, "-c", code + "for p in ps: p.wait()"])
    attempt = server.queue()
    employ(server)
    finished = server.finished(attempt).finished
    assert finished is not None
    assert finished["cpu"] > 5.5
    assert 220_000_000 < finished["memory"] < 500_000_000
    assert finished["wall"] >= 3


def test_metrics_come_from_every_source_in_order(serve: Serve, employ: Employ) -> None:
    lines = [r"printf 'step=1 Loss=0.5\nstep=2 loss: 0.4 +/- 0.02\nother=7\n'"]
    lines += [r"""echo '{"loss": NaN, "step": 3}' >> $ORCHESTUNE_METRICS"""]
    lines += [r"""printf '{"name": "acc", "value": 0.9, "stddev": 0.1}' >> $ORCHESTUNE_METRICS"""]
    server = serve("; ".join(lines), metrics=["loss", "acc"])
    attempt = server.queue()
    employ(server)
    reports = server.finished(attempt)
    assert reports.points[("loss", 0)] == [0, "loss", 0.5, 1.0, None]
    assert reports.points[("loss", 1)] == [1, "loss", 0.4, 2.0, 0.02]
    assert reports.points[("loss", 2)] == [2, "loss", "nan", 3.0, None]
    assert reports.points[("acc", 0)] == [0, "acc", 0.9, None, 0.1]
    assert reports.values("other") == [7.0]


STEP = r"""echo '{"loss": 0.5, "step": 3}' >> $ORCHESTUNE_METRICS"""
REPORT_LOSS = r"""echo '{"loss": 0.5}' >> $ORCHESTUNE_METRICS"""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([STEP, "echo loss=0.25"], [0.5, 0.25]),
        (["echo loss=99", "echo loss: 0.25", REPORT_LOSS], [99, 0.25, 0.5]),
        (["echo loss=99", "until [ -e {go} ]; do sleep 0.05; done", "echo loss: 0.25", REPORT_LOSS], [99, 0.25, 0.5]),
        ([STEP, "until [ -e {go} ]; do sleep 0.05; done", "echo loss=0.25"], [0.5, 0.25]),
        (["echo loss=0.25", "until [ -e {go} ]; do sleep 0.05; done", STEP], [0.25, 0.5]),
    ],
)
def test_what_two_sources_report_of_one_metric_stands_in_the_order_of_time(
    serve: Serve, employ: Employ, tmp_path: Path, lines: list[str], expected: list[float]
) -> None:
    go = tmp_path / "go"
    server = serve("; ".join(line.replace("{go}", str(go)) for line in lines), metrics=["loss"])
    attempt = server.queue()
    employ(server)
    if "{go}" in "".join(lines):
        server.wait(lambda: server.attempts[attempt].values("loss") == expected[:1])
        go.touch()
    assert server.finished(attempt).values("loss") == expected


def test_a_running_attempt_is_heard_of_before_it_ends(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    go = tmp_path / "go"
    server = serve(f"echo loss=1; until [ -e {go} ]; do sleep 0.05; done")
    attempt = server.queue()
    employ(server)
    reports = server.attempts[attempt]
    server.wait(lambda: reports.started and reports.values("loss") == [1.0] and bytes(reports.log) == b"loss=1\n")
    assert reports.finished is None
    go.touch()
    assert server.finished(attempt).values("loss") == [1.0]


def test_a_newer_revision_is_asked_for(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1")
    employ(server)
    server.finished(server.queue())
    server.job["run"] = "echo loss=2"
    attempt = server.queue(revision=2)
    assert server.finished(attempt).values("loss") == [2.0]


def test_an_idle_worker_starts_what_comes_at_once_and_drains_when_told(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1", beat=2)
    worker = employ(server)
    server.wait(lambda: server.beats)
    for _ in range(5):
        server.finished(server.queue())
    server.drain = True
    assert worker.wait() == 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("preload", [[], ["json"]])
def test_pinned_trials_side_by_side_share_no_core(
    serve: Serve, employ: Employ, tmp_path: Path, preload: list[str]
) -> None:
    text = f"""
import os, pathlib, time
here = pathlib.Path({str(tmp_path)!r})
(here / f"{{os.getpid()}}.here").touch()
while len(list(here.glob("*.here"))) < 2: time.sleep(0.01)
print(sorted(os.sched_getaffinity(0)), flush=True)
"""
    server = serve([sys.executable, "train.py"], pin=1, preload=preload, slots=2)
    digest = server.give(bundle({"train.py": text}))
    attempts = [server.queue(bundle=digest) for _ in range(2)]
    worker = employ(server)
    cores = [json.loads(server.finished(attempt).log) for attempt in attempts]
    assert [len(each) for each in cores] == [1, 1]
    assert cores[0] != cores[1]
    assert os.sched_getaffinity(worker.pid) == os.sched_getaffinity(0)


def test_a_trial_for_which_there_are_too_few_cores_runs_all_the_same(serve: Serve, employ: Employ) -> None:
    server = serve("echo loss=1", pin=4096)
    attempt = server.queue()
    employ(server)
    assert bytes(server.finished(attempt).log) == (
        b"orchestune: not pinned: too few cores are free of other pinned trials (requested: 4096)\nloss=1\n"
    )


@pytest.mark.parametrize(("run", "is_noted"), [("true", True), ("touch a.csv", False), ("exit 3", False)])
def test_a_file_of_collect_that_a_successful_command_did_not_create_is_noted(
    serve: Serve, employ: Employ, run: str, is_noted: bool
) -> None:
    server = serve(["sh", "-c", run], collect=[{"kind": "csv", "where": "a.csv"}])
    attempt = server.queue()
    employ(server)
    note = b"orchestune: `collect` names a.csv, but the command did not create it\n"
    assert bytes(server.finished(attempt).log) == (note if is_noted else b"")


WRITES_METRICS = "printf 'epoch,loss\\n1,0.5\\n2,0.25\\n' > log.csv; echo '{\"acc\": 0.9}' > out.json"


@pytest.mark.parametrize(
    ("end", "state", "code"),
    [("", "succeeded", None), ("; exit 3", "failed", "exit_code"), ("; kill -9 $$", "failed", "signal")],
)
def test_metrics_in_files_are_discovered_however_the_command_ends(
    serve: Serve, employ: Employ, tmp_path: Path, end: str, state: str, code: str | None
) -> None:
    target = tmp_path / "metrics.json"
    server = serve(["sh", "-c", WRITES_METRICS + end], env={"ORCHESTUNE_DISCOVER": str(target)})
    attempt = server.queue(bundle=server.give(bundle({"old.csv": "loss\n9\n"})))
    employ(server)
    finished = server.finished(attempt).finished
    assert finished is not None
    assert (finished["state"], (finished["reason"] or {}).get("code")) == (state, code)
    assert json.loads(target.read_text()) == {
        "loss": {"kind": "csv", "where": "log.csv", "values": [0.5, 0.25]},
        "acc": {"kind": "json", "where": "out.json", "values": [0.9]},
    }


def test_metrics_are_discovered_after_the_trial_was_stopped(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    target, started = tmp_path / "metrics.json", tmp_path / "started"
    run = f"{WRITES_METRICS}; touch {started}; sleep 600"
    server = serve(["sh", "-c", run], env={"ORCHESTUNE_DISCOVER": str(target)}, grace=60.0)
    attempt = server.queue()
    employ(server)
    until(started.exists, "the command")
    server.stop_attempt(attempt)
    assert server.finished(attempt).finished is not None
    assert set(json.loads(target.read_text())) == {"loss", "acc"}
