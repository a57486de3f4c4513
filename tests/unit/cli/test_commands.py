"""Requests, output and exit code of each command."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import formatdate
from importlib import metadata
from pathlib import Path

import pytest

from orchestune.bundles.listing import plan
from orchestune.client.connection import clock
from orchestune.client.local.launch_context import folder_key
from orchestune.config.sources.results_file import read
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.warm_start import mapped
from orchestune.domain.specification.metrics import Metric
from tests.unit.cli.conftest import Result, Terminal, plain
from tests.unit.client.fake_server import AT, FakeServer, attempt, status, trial, until

Cli = Callable[..., Result]
BEST = [{"trial": 2, "metrics": {"accuracy": {"value": 0.97214, "stddev": 0.01}}, "parameters": {"alpha": 0.00123456}}]


def test_status_lists_every_experiment_as_a_table(server: FakeServer, cli: Cli) -> None:
    server.put(status("net-1a2b", name="Net", state="completed", best=BEST))
    result = cli("status")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].split() == ["EXPERIMENT", "STATE", "OBSERVATIONS", "RUNNING", "FAILED", "BEST", "STARTED", "NAME"]
    assert lines[1].startswith("net-1a2b    completed         0 / 4        0       0  accuracy 0.9721 ± 0.01")
    assert lines[2].startswith("sgd-7f3a    running")


def test_status_leaves_out_columns_of_zeros_where_a_narrow_terminal_would_cut_off_the_best_value(
    server: FakeServer, terminal: Callable[..., Terminal]
) -> None:
    server.put(status("net-1a2b", name="Net", state="completed", best=BEST))
    server.update("sgd-7f3a", best=BEST, counts={**status()["counts"], "failed": 2})
    for columns, header in ((100, r"RUNNING +FAILED +BEST"), (68, r"OBSERVATIONS +FAILED +BEST")):
        session = terminal("status", columns=columns)
        assert session.end() == 0
        lines = plain(session.screen).splitlines()
        assert re.search(header, lines[0]), lines
        assert all("accuracy 0.9" in line for line in lines[1:] if line), lines


def test_status_lists_no_single_best_where_several_metrics_count(server: FakeServer, cli: Cli) -> None:
    metrics = [{"name": name, "goal": "maximize", "take": "last", "threshold": None} for name in ("accuracy", "speed")]
    server.update("sgd-7f3a", metrics=metrics, best=[*BEST, {**BEST[0], "trial": 3}])
    assert "  2 on the front  " in cli("status").out


def test_status_lists_the_best_value_where_the_other_metric_has_a_limit_alone(server: FakeServer, cli: Cli) -> None:
    base = {"goal": "maximize", "take": "last", "threshold": None}
    speed = {**base, "name": "speed", "constraint": ">= 1", "optimized": False}
    server.update("sgd-7f3a", metrics=[{**base, "name": "accuracy"}, speed], best=BEST)
    assert "  accuracy 0.9721 ± 0.01  " in cli("status").out


def test_status_says_once_below_the_list_what_a_server_waits_for(server: FakeServer, cli: Cli) -> None:
    assert len(cli("status").out.splitlines()) == 2
    full = "the disk of the store is full"
    server.update("sgd-7f3a", notes=[full])
    server.put(status("net-1a2b", notes=[full]))
    assert cli("status").out.splitlines()[3:] == ["", full]
    server.put(status("box-dddd", cluster="docker", notes=[full]))
    assert cli("status").out.splitlines()[4:] == ["", f"docker: {full}", f"local: {full}"]


def test_status_lists_the_newest_and_says_that_there_are_older_ones_and_a_document_has_them_all(
    server: FakeServer, cli: Cli
) -> None:
    for number in range(86):
        server.put(status(f"net-{number:04}"))
    assert len(json.loads(cli("status", "--json").out)) == 87
    assert len(json.loads(cli("status", "--json", "--limit", "60").out)) == 60
    for words, row_count in (((), 50), (("--limit", "86"), 86)):
        lines = cli("status", *words).out.splitlines()
        assert [line[:4] for line in lines[1:-1]] == ["net-"] * row_count
        assert lines[-1] == f"older ones not listed (--limit N lists more than {row_count})"
    assert cli("status", "--limit", "87").out.splitlines()[-1].startswith("sgd-7f3a")


def test_status_of_one_shows_workers_and_why_nothing_moves(server: FakeServer, cli: Cli) -> None:
    worker = {
        "id": "x", "name": "w1", "node": "laptop", "state": "alive", "slots": 2, "running": 0, "succeeded": 3,
        "failed": 1, "reason": None,
    }  # fmt: skip
    reason = {"code": "waiting_for_resources", "message": "waits for 2 gpu, which net-1a2b holds"}
    server.update("sgd-7f3a", workers=[worker], reason=reason, counts={"completed": 3, "failed": 1})
    lines = cli("status", "sgd").out.splitlines()
    assert "why           waits for 2 gpu, which net-1a2b holds" in lines
    assert "observations  4 / 4, 2 at a time" in lines
    assert lines[-1].split() == ["w1", "laptop", "alive", "0", "/", "2", "3", "1"]
    server.update("sgd-7f3a", workers_left_out=2950)
    assert cli("status", "sgd").out.splitlines()[-1] == "and 2950 more that have ended"


@pytest.mark.parametrize(
    ("objects", "kind"),
    [
        ({"namespace": "ml", "job": "orchestune-sgd-x", "pod": "orchestune-sgd-x-9k2"}, "pod"),
        ({"container": "orchestune-sgd-x"}, "container"),
        ({"job": "4711"}, "job"),
    ],
)
def test_status_and_logs_name_the_pod_container_or_job_of_each_worker(
    server: FakeServer, cli: Cli, objects: dict[str, str], kind: str
) -> None:
    worker = {
        "id": "x", "name": "w1", "node": "gpu-7", "state": "busy", "slots": 1, "running": 1, "succeeded": 0,
        "failed": 0, "reason": None, "objects": objects,
    }  # fmt: skip
    server.update("sgd-7f3a", workers=[worker, {**worker, "name": "w2", "objects": {}}])
    *_, header, first, second = cli("status", "sgd").out.splitlines()
    assert header.split()[:4] == ["WORKER", "NODE", kind.upper(), "STATE"]
    assert first.split()[:4] == ["w1", "gpu-7", objects[kind], "busy"]
    assert second.split()[:3] == ["w2", "gpu-7", "busy"]
    server.log("epoch 1\n")
    assert cli("logs", "sgd", "--prefix", f"node,{kind}").out == f"w1  gpu-7 {objects[kind]}    1 │ epoch 1\n"
    line = json.loads(cli("logs", "sgd", "--prefix", f"{kind}, node", "--json").out)
    assert (line[kind], line["node"]) == (objects[kind], "gpu-7")
    assert "node" not in json.loads(cli("logs", "sgd", "--json").out)
    assert "'rack' (expected node, pod, container, job)" in cli("logs", "sgd", "--prefix", "rack").err


def test_json_documents_are_those_of_the_server(server: FakeServer, cli: Cli) -> None:
    document = json.loads(cli("status", "sgd", "--json").out)
    assert document == server.world.experiments["sgd-7f3a"]
    assert [item["handle"] for item in json.loads(cli("status", "--json").out)] == ["sgd-7f3a"]
    assert [item["handle"] for item in json.loads(cli("status", "--jso").out)] == ["sgd-7f3a"]
    server.update("sgd-7f3a", best=BEST)
    assert json.loads(cli("best", "sgd", "--json").out) == BEST
    server.world.trials["sgd-7f3a"] = [trial(1), trial(2)]
    assert json.loads(cli("trials", "sgd", "--json").out) == [trial(1), trial(2)]
    assert [json.loads(line) for line in cli("trials", "sgd", "--jsonl").out.splitlines()] == [trial(1), trial(2)]
    assert json.loads(cli("trials", "sgd/2", "--json").out) == trial(2)


def test_a_rerun_is_told_from_what_it_came_from(server: FakeServer, cli: Cli) -> None:
    server.put(status("sgd-9x2k", origin="sgd-7f3a/12"))
    assert [line.split("  ")[-1] for line in cli("status").out.splitlines()[1:]] == [
        "SGD classifier, from sgd-7f3a/12",
        "SGD classifier",
    ]
    assert cli("status", "sgd-9x2k").out.startswith("sgd-9x2k  SGD classifier, from sgd-7f3a/12  ada\n")


def test_errors_are_documents_on_standard_error_with_json(server: FakeServer, cli: Cli) -> None:
    result = cli("status", "nothing", "--json")
    assert (result.code, result.out) == (2, "")
    assert json.loads(result.err) == {
        "error": {
            "code": "not_found",
            "message": "there is no experiment 'nothing'",
            "hint": "did you mean sgd-7f3a?",
        }
    }
    assert json.loads(cli("status", "--nonsense", "--json").err)["error"]["code"] == "usage"


def test_errors_are_two_lines_for_people(server: FakeServer, cli: Cli) -> None:
    assert cli("status", "nothing").err == ("error: there is no experiment 'nothing'\nhint:  did you mean sgd-7f3a?\n")


def test_a_number_alone_is_told_as_that_of_a_trial(server: FakeServer, cli: Cli) -> None:
    message = "'3' is not a trial (expected EXP/N)\nhint:  /3 is trial 3 of the newest experiment of this folder\n"
    assert cli("get", "3").err == f"error: {message}"


def test_stop_says_what_the_end_waits_for(server: FakeServer, cli: Cli) -> None:
    server.update("sgd-7f3a", workers=[{"name": "w1", "sending": True}])
    assert cli("stop", "sgd").out == "sgd-7f3a: stopping; still uploading files of completed trials\n"


def test_without_a_name_the_newest_experiment_of_this_folder_is_meant(
    server: FakeServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(status("other-0000"))
    monkeypatch.chdir(tmp_path)
    result = cli("stop")
    assert (result.code, result.err.splitlines()[0]) == (2, "error: no experiment was started in this folder")
    server.world.folders[folder_key(tmp_path)] = ["sgd-7f3a"]
    assert cli("stop").out == "sgd-7f3a: stopped\n"
    server.world.trials["sgd-7f3a"] = [trial(2)]
    assert cli("trials", "/2").out.startswith("trial 2")
    below = tmp_path / "notebooks" / "old"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    hint = f"hint:  name it: the newest experiment of the parent folder {tmp_path} is sgd-7f3a\n"
    assert cli("stop") == Result(2, "", f"error: no experiment was started in this folder\n{hint}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stop", "sgd"], "sgd-7f3a: stopped\n"),
        (["pause", "sgd"], "sgd-7f3a: paused; resume with `orchestune resume sgd-7f3a`\n"),
        (["resume", "sgd"], "sgd-7f3a: running\n"),
        (["extend", "sgd", "--budget", "80"], "sgd-7f3a: running, 80 trials, 2 at a time\n"),
        (["delete", "sgd", "--yes"], "sgd-7f3a: deleted; its records stay until --purge\n"),
        (["delete", "sgd", "--yes", "--purge"], "sgd-7f3a: deleted permanently\n"),
    ],
)
def test_control_commands_say_what_became_of_it(server: FakeServer, cli: Cli, words: list[str], message: str) -> None:
    assert cli(*words) == Result(0, message, "")


@pytest.mark.parametrize(
    ("folds", "live", "now", "note"),
    [
        (1, 2, [], "; 2 running finish first"),
        (1, 1, ["--now"], "; 1 running terminates now"),
        (5, 3, [], "; 3 folds running finish first"),
        (5, 3, ["--now"], "; 3 folds running terminate now"),
        (5, 0, [], ""),
    ],
)
def test_a_pause_says_what_goes_on_to_its_end(
    server: FakeServer, cli: Cli, folds: int, live: int, now: list[str], note: str
) -> None:
    counts = {"queued": 0, "running": 2 if folds > 1 else live, "completed": 0, "failed": 0, "pruned": 0}
    server.update("sgd-7f3a", folds=folds, counts={**counts, "cancelled": 0}, running=[{"trial": 1}] * live)
    assert cli("pause", "sgd", *now).out == f"sgd-7f3a: paused{note}; resume with `orchestune resume sgd-7f3a`\n"


@pytest.mark.parametrize(
    ("folds", "ending", "note"),
    [
        (1, [True, True, True], "; 3 running terminate now"),
        (1, [False, True, False], "; 1 running terminates now; 2 running finish first"),
        (5, [True, True, False], "; 2 folds running terminate now; 1 fold running finishes first"),
    ],
)
def test_a_pause_says_what_was_ordered_to_end_before(
    server: FakeServer, cli: Cli, folds: int, ending: list[bool], note: str
) -> None:
    counts = {"queued": 0, "running": 3, "completed": 0, "failed": 0, "pruned": 0, "cancelled": 0}
    running = [{"trial": 1, "ending": each} for each in ending]
    server.update("sgd-7f3a", folds=folds, counts=counts, running=running)
    assert cli("pause", "sgd").out == f"sgd-7f3a: paused{note}; resume with `orchestune resume sgd-7f3a`\n"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, "another trial replaces it"),
        (
            {"state": "paused", "desired": "paused"},
            "another trial replaces it after `orchestune resume sgd-7f3a`",
        ),
        ({"state": "stopping", "desired": "stopped"}, "its experiment is stopping"),
        ({"state": "completed"}, "its experiment is completed"),
    ],
)
def test_what_becomes_of_the_place_of_a_stopped_trial_is_told(
    server: FakeServer, cli: Cli, changes: dict[str, str], note: str
) -> None:
    server.world.trials["sgd-7f3a"] = [trial(1, state="running")]
    server.update("sgd-7f3a", **changes)
    assert cli("stop", "sgd/1").out == f"sgd-7f3a/1: cancelled; {note}\n"
    assert cli("stop", "sgd/1").out == "sgd-7f3a/1: cancelled; nothing to stop\n"


def test_who_extends_beyond_the_budget_hears_how_many_run_at_a_time(server: FakeServer, cli: Cli) -> None:
    result = cli("extend", "sgd", "--parallelism", "50")
    assert result.out == "sgd-7f3a: running, 4 trials, 4 at a time\n"
    assert result.err == "parallelism: 50 is more than the budget; 4 is used\n"


def test_who_extends_or_resumes_what_a_rule_ended_hears_that_it_does_not_go_on(server: FakeServer, cli: Cli) -> None:
    server.put(status("done-0000", state="completed", reason={"code": "target", "message": "loss reached 0.1"}))
    message = (
        "it cannot be continued: loss reached 0.1; `orchestune run --warm-start done-0000` starts a new search from its"
    )
    assert message in cli("extend", "done-0000", "--budget", "80").out
    server.update("done-0000", state="completed")
    assert message in cli("resume", "done-0000").out
    for reason in (None, {"code": "budget", "message": "all 80 trials are finished"}):
        server.put(status("done-0000", state="completed", reason=reason))
        assert "does not go on" not in cli("extend", "done-0000", "--parallelism", "3").out


def test_what_is_not_gone_yet_is_not_called_gone(server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    server.world.purging = 3
    server.put(status("done-0000", state="completed"))
    assert cli("delete", "done-0000", "--purge", "--yes") == Result(0, "done-0000: deleted permanently\n", "")
    monkeypatch.setattr("orchestune.cli.experiments.control._PURGE_WAIT_SECONDS", 0.0)
    server.world.purging = 3
    done = cli("delete", "sgd-7f3a", "--purge", "--yes")
    message = "sgd-7f3a: stopped and hidden; its records, logs and files are removed once its trials have ended\n"
    assert done == Result(0, message, "")
    server.world.purging = 3
    server.put(status("done-0001", state="completed"))
    done = cli("delete", "done-0001", "--purge", "--yes")
    assert done.out.startswith("done-0001: hidden; its records, logs and files are not removed yet: the server keeps")
    server.world.purging = 3
    server.put(status("done-0002", state="completed"))
    done = cli("delete", "done-0002", "--purge", "--yes", "--json")
    assert json.loads(done.out) == {"schema": 1, "handle": "done-0002", "purged": False}


def test_what_was_purged_already_is_deleted_and_a_typo_is_not(server: FakeServer, cli: Cli) -> None:
    purge = ("--purge", "--yes")
    cli("delete", "sgd-7f3a", *purge)
    assert cli("delete", "sgd-7f3a", *purge) == Result(0, "sgd-7f3a: already deleted permanently\n", "")
    assert json.loads(cli("delete", "sgd-7f3a", "--json").out) == {"schema": 1, "handle": "sgd-7f3a", "purged": True}
    assert cli("delete", "sgd-7f3b", *purge).code == 2
    assert cli("status", "sgd-7f3a") == Result(2, "", "error: sgd-7f3a was removed for good\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stop", "other"], "other-0000: completed; nothing to stop\n"),
        (["pause", "other"], "other-0000: completed; nothing to pause\n"),
        (["pause", "other", "--now"], "other-0000: completed; nothing to pause\n"),
        (
            ["resume", "other"],
            "other-0000: completed; raise the budget with `orchestune extend other-0000 --budget N`\n",
        ),
    ],
)
def test_control_commands_say_that_an_experiment_is_over(
    server: FakeServer, cli: Cli, words: list[str], message: str
) -> None:
    server.put(status("other-0000", state="completed"))
    assert cli(*words) == Result(0, message, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["extend", "sgd"], "extend needs"),
        (["extend", "sgd", "--budget", "0"], "'0' (expected a positive integer)"),
        (["logs", "sgd", "--tail", "-1"], "'-1' (expected an integer, 0 or more)"),
        (["pause", "sgd/3"], "is a trial (expected an experiment)"),
        (["status", "--cluster", ""], "empty cluster name ''"),
        (["cluster", "status", "-n", " "], "empty cluster name ''"),
        (["trials", "sgd/x"], "invalid trial number"),
        (["trials", "sgd/1", "--state", "failed"], "--state cannot be combined with a trial"),
        (["rerun", "sgd"], "is not a trial"),
        (["get"], "get needs a trial"),
        (["logs", "sgd", "--grep", "["], "invalid regular expression"),
        (["logs", "sgd", "--since", "noon"], "invalid time"),
        (["logs", "sgd", "--since", "999999999d"], "invalid time"),
        (["logs", "sgd", "--since", "1000000d"], "invalid time"),
        (["logs", "sgd", "--since", "0001-01-01T00:00:00+14:00"], "invalid time"),
        (["delete", "sgd", "--purge"], "cannot ask for confirmation"),
        (["status", "--watch", "--json"], "--watch cannot be combined with --json"),
        (["run", "search.yml"], "name a file with -f: -f search.yml"),
        (["status", "--lmit", "3"], "see `orchestune status --help`"),
        (["logs", "sgd/99"], "no trial"),
        (["status", "sgd\udcff"], "there is no experiment"),
        (["importance", "sgd\udcff", "--metric", "\udcff"], "there is no experiment"),
        (["logs", "sgd", "--grep", "x{99999999999}"], "--grep 'x{99999999999}': the repetition number is too large"),
        (
            ["export", "sgd", "-o", "a" * 300],
            "aaa: File name too long\nhint:  check permissions, or use another path",
        ),
        (["ui", "sgd/99"], "there is no trial 99"),
        (["stauts"], "unknown command 'stauts'"),
        (["rnu"], "unknown command 'rnu'\nhint:  did you mean `orchestune run`?"),
        (["start"], "did you mean `orchestune run`?"),
        (["unpause", "sgd"], "did you mean `orchestune resume`?"),
        (["bogus"], "unknown command 'bogus'\nhint:  `orchestune --help` lists the commands"),
        (["help", "bogus"], "unknown command 'bogus'"),
        (["shell"], "EXP/N"),
        (["pauze", "sgd"], "did you mean `orchestune pause`?"),
        (["cluster", "creat"], "did you mean `orchestune cluster create`?"),
        (["cluster", "conect", "-n", "lab"], "did you mean `orchestune cluster connect`?"),
        (["cluster", "zzz"], "unknown command 'cluster zzz'\nhint:  `orchestune cluster --help` lists"),
        (
            ["cluster", "connect", "-n", "lab", "--namspace", "ml"],
            "did you mean --namespace? see `orchestune",
        ),
        (["status", "--waatch"], "did you mean --watch? see `orchestune status --help`"),
        (
            ["--watch", "status"],
            "option '--watch' before the command\nhint:  write options after the command: `orchestune status --watch`",
        ),
        (["--cluster", "local", "status"], "write options after the command: `orchestune status --cluster`"),
        (["--versoin"], "did you mean --version? see `orchestune --help`"),
        (["server", "--tls-kei", "x"], "did you mean --tls-key? see `orchestune server --help`"),
        (["server", "--host"], "--host: expected one argument\nhint:  see `orchestune server --help`"),
        (["export", "--format", "cvs"], "--format: 'cvs' (expected csv, json)\nhint:  did you mean csv?"),
        (["completion", "fsh"], "'fsh' (expected bash, zsh, fish)\nhint:  did you mean fish?"),
        (["cluster", "create", "-f", "x"], "x: no such file"),
        (["run", "--cluster", "moon"], "no such cluster: 'moon'"),
        (["status", "--cluster", "moon"], "no such cluster: 'moon'"),
        (["status", "--all", "--cluster", "local"], "--all cannot be combined with EXP or --cluster"),
    ],
)
def test_wrong_use_is_told_and_exits_with_2(server: FakeServer, cli: Cli, words: list[str], message: str) -> None:
    result = cli(*words)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_no_command_shows_the_help(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert result.out.startswith("usage: orchestune")


def test_an_unreachable_server_exits_with_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTUNE_SERVER", "http://server.invalid:1")
    result = cli("status")
    assert result.code == 3
    assert "cannot be found" in result.err


def test_no_value_and_no_error_moves_the_cursor(server: FakeServer, cli: Cli) -> None:
    server.world.trials["sgd-7f3a"] = [trial(1, parameters={"penalty": "a\x1b[2Jb"})]
    server.update("sgd-7f3a", owner="a\x1b[2Jb")
    for words in (
        ["trials", "sgd"],
        ["trials", "sgd/1"],
        ["trials", "no\x1b[2Jne"],
        ["compare", "sgd", "sgd"],
        ["status", "sgd"],
    ):
        result = cli(*words)
        assert "[2J" in result.out + result.err
        assert "\x1b" not in result.out + result.err


def test_trials_shows_configurations_values_and_reasons(server: FakeServer, cli: Cli) -> None:
    failed = trial(2, state="failed", metrics={}, reason={"code": "exit_code", "message": "exit code 1"})
    server.world.trials["sgd-7f3a"] = [trial(1), failed]
    lines = cli("trials", "sgd").out.splitlines()
    assert lines[0].split() == ["TRIAL", "STATE", "ACCURACY", "alpha", "penalty", "TIME"]
    assert lines[1].split() == ["1", "completed", "0.901", "0.001", "l1", "2.0s"]
    assert lines[2].split() == ["2", "failed", "-", "0.002", "l1", "2.0s", "exit", "code", "1"]
    (line,) = cli("trials", "sgd", "--state", "failed").out.splitlines()[1:]
    assert line.split() == lines[2].split()
    assert cli("trials", "sgd", "--state", "pruned").out == "no such trials\n"
    server.world.trials["sgd-7f3a"] = []
    assert cli("trials", "sgd").out == "no trials yet\n"


def test_the_time_of_a_trial_leaves_out_a_pause(server: FakeServer, cli: Cli) -> None:
    again = attempt(number=2, started_at="2026-01-31T12:00:40.000Z")
    server.world.trials["sgd-7f3a"] = [trial(1, finished_at="2026-01-31T12:00:42.000Z", attempts=[attempt(), again])]
    assert cli("trials", "sgd").out.splitlines()[1].split()[-1] == "4.0s"
    assert cli("trials", "sgd/1").out.startswith("trial 1  completed, 4.0s, ")
    server.world.specification = {"specification": {"parameters": []}}
    assert cli("export", "sgd").out.splitlines()[1].endswith(",4.0")


def test_one_trial_shows_each_attempt_with_the_end_of_its_log_and_the_files(server: FakeServer, cli: Cli) -> None:
    reason = {"code": "worker_lost", "message": "the worker was lost"}
    lost = attempt(state="lost", exit_code=None, reason=reason, tail="", number=1)
    files = [{"path": "best.pt", "digest": "0" * 64, "size": 2048}]
    server.world.trials["sgd-7f3a"] = [trial(1, attempts=[lost, attempt(number=2)], artifacts=files)]
    out = cli("trials", "sgd/1").out
    assert "attempt 1  lost by w1 on laptop\n  why       the worker was lost" in out
    assert "exit code 0, wall 2.0s, cpu 1.5s, peak memory 50.0 MiB\n  │ epoch 1\n  │ accuracy=0.9" in out
    assert "best.pt  2.0 KiB" in out


def test_what_a_lost_worker_printed_last_stands_in_lines_of_its_own(server: FakeServer, cli: Cli) -> None:
    message = "the worker's process is gone; its last lines:\n12:00 one\n12:01 the guard is gone"
    lost = attempt(state="lost", exit_code=None, reason={"code": "worker_lost", "message": message}, tail="")
    server.world.trials["sgd-7f3a"] = [trial(1, attempts=[lost])]
    pad = "\n            "
    assert (
        f"  why       {message.splitlines()[0]}{pad}12:00 one{pad}12:01 the guard is gone\n"
        in cli("trials", "sgd/1").out
    )
    worker = {"name": "w1", "node": "laptop", "state": "ended", "slots": 2, "running": 0, "succeeded": 3, "failed": 1}
    server.update("sgd-7f3a", workers=[worker | {"id": "x", "reason": message}])
    (row,) = [line for line in cli("status", "sgd").out.splitlines() if "process is gone" in line]
    assert row.endswith("the worker's process is gone; its last lines: … 12:01 the guard is gone")


def test_export_writes_every_trial_as_csv_or_json(
    server: FakeServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.world.trials["sgd-7f3a"] = [trial(number) for number in range(1, 4)]
    server.world.trials["sgd-7f3a"][0]["parameters"]["warm"] = True
    names = ("alpha", "penalty", "warm")
    server.world.specification = {"specification": {"parameters": [{"name": name} for name in names]}}
    rows = list(csv.DictReader(io.StringIO(cli("export", "sgd").out)))
    assert [row["trial"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["accuracy"] == "0.901"
    assert (rows[0]["penalty"], rows[0]["warm"], rows[1]["warm"]) == ("l1", "true", "")
    target = tmp_path / "trials.json"
    result = cli("export", "sgd", "-o", str(target))
    assert (result.code, result.out) == (0, "")
    assert json.loads(target.read_text()) == server.world.trials["sgd-7f3a"]
    assert list(tmp_path.iterdir()) == [target]
    assert cli("export", "sgd", "-o", str(tmp_path / "no" / "x.csv")).code == 2
    monkeypatch.chdir(tmp_path)
    assert cli("export", "sgd", "-o", "-") == cli("export", "sgd")
    assert cli("export", "sgd", "-o", f"{'é' * 125}a.csv").code == 0
    Path(f"{'é' * 125}a.csv").unlink()
    assert list(tmp_path.iterdir()) == [target]


def test_metrics_that_are_reported_and_not_declared_are_the_last_columns(server: FakeServer, cli: Cli) -> None:
    trials = [trial(number) for number in range(1, 4)]
    trials[1]["metrics"] |= {name: {"value": 0.5, "stddev": None} for name in ("val/loss", "alpha")}
    server.world.trials["sgd-7f3a"] = trials
    server.world.specification = {"specification": {"parameters": [{"name": "alpha"}]}}
    header, first, second, _ = (line.split(",") for line in cli("export", "sgd").out.splitlines())
    assert header[-3:] == ["seconds", "metrics.alpha", "val/loss"]
    assert header.count("alpha") == 1  # the parameter
    assert (first[-2:], second[-2:]) == (["", ""], ["0.5", "0.5"])
    trials[2]["metrics"] |= {f"layer{index}": {"value": 1.0, "stddev": None} for index in range(150)}
    exported = cli("export", "sgd")
    assert len(exported.out.splitlines()[0].split(",")) == len(header) - 2 + 100
    assert "52 undeclared metrics left out" in exported.err


def test_an_export_follows_no_link_that_waits_for_its_temporary_file(
    server: FakeServer, cli: Cli, tmp_path: Path
) -> None:
    server.world.specification = {"specification": {"parameters": [{"name": "alpha"}]}}
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    (tmp_path / f".out.csv.{os.getpid()}.part").symlink_to(precious)
    assert cli("export", "sgd", "-o", str(tmp_path / "out.csv")).code == 0
    assert precious.read_text() == "precious"
    assert (tmp_path / "out.csv").read_text().startswith("trial,")


def test_texts_come_back_from_an_exported_table_as_they_were(server: FakeServer, cli: Cli, tmp_path: Path) -> None:
    texts = ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "=1+1", " é🎉"]
    server.world.trials["sgd-7f3a"] = [trial(number) for number in range(1, len(texts) + 1)]
    for entry, text in zip(server.world.trials["sgd-7f3a"], texts, strict=True):
        entry["parameters"] = {"penalty": text}
    server.world.specification = {"specification": {"parameters": [{"name": "penalty"}]}}
    assert cli("export", "sgd", "-o", str(tmp_path / "a.csv")).code == 0
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert [row["penalty"] for row in csv.DictReader(file)] == texts


def test_an_export_that_cannot_be_written_is_an_error_in_one_sentence(
    server: FakeServer, cli: Cli, tmp_path: Path
) -> None:
    server.world.specification = {"specification": {"parameters": [{"name": "alpha"}]}}
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "x.csv"  # nothing can be removed there either, as on a disk that is read-only
    result = cli("export", "sgd", "-o", str(target))
    assert (result.code, result.err) == (2, f"error: cannot write '{target}': Not a directory\n")


@pytest.mark.parametrize("folder", [".", "..", "/"])
def test_an_export_into_a_folder_is_an_error_in_one_sentence(server: FakeServer, cli: Cli, folder: str) -> None:
    result = cli("export", "sgd", "-o", folder)
    assert (result.code, result.err.splitlines()[0]) == (2, f"error: '{folder}' is a folder (expected a file)")


@pytest.mark.parametrize("name", ["trials.parquet", "trials.jsonl", "trials.XLSX"])
def test_export_writes_no_table_under_the_name_of_something_else(
    server: FakeServer, cli: Cli, tmp_path: Path, name: str
) -> None:
    server.world.specification = {"specification": {"parameters": [{"name": "alpha"}]}}
    target = tmp_path / name
    result = cli("export", "sgd", "-o", str(target))
    assert result.code == 2
    assert f"{target.suffix.lower()} (expected .csv or .json)" in result.err
    assert not list(tmp_path.iterdir())
    assert cli("export", "sgd", "-o", str(target), "--format", "csv").code == 0


def test_a_parameter_that_is_called_like_a_column_has_one_of_its_own_which_a_warm_start_reads(
    server: FakeServer, cli: Cli, tmp_path: Path
) -> None:
    trial_document = trial(1, parameters={"seed": 2, "accuracy": 0.5})
    server.world.trials["sgd-7f3a"] = [trial_document]
    server.world.specification = {"specification": {"parameters": [{"name": "seed"}, {"name": "accuracy"}]}}
    target = tmp_path / "old.csv"
    assert cli("export", "sgd", "-o", str(target)).code == 0
    [row] = read(target)
    assert (row["params.seed"], row["seed"], row["params.accuracy"]) == ("2", str(trial_document["seed"]), "0.5")
    space = Space.of((Parameter("seed", "int", 1, 3), Parameter("accuracy", "float", 0.0, 1.0)))
    [observation] = mapped("old.csv", [row], space, [Metric("accuracy", "maximize")]).observations
    assert (observation.parameters, observation.metrics["accuracy"]) == (
        {"seed": 2, "accuracy": 0.5},
        float(row["accuracy"]),
    )


def test_a_metric_that_is_called_like_the_spread_of_another_has_a_column_of_its_own(
    server: FakeServer, cli: Cli, tmp_path: Path
) -> None:
    (first,) = server.world.experiments["sgd-7f3a"]["metrics"]
    server.update("sgd-7f3a", metrics=[first, {**first, "name": "accuracy.stddev"}])
    server.world.specification = {"specification": {"parameters": []}}
    target = tmp_path / "old.csv"
    assert cli("export", "sgd", "-o", str(target)).code == 0
    columns = target.read_text().splitlines()[0].split(",")
    assert [name for name in columns if "accuracy" in name] == [
        *("accuracy", "accuracy.stddev", "metrics.accuracy.stddev", "metrics.accuracy.stddev.stddev"),
    ]


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_warm_start_from_an_export_takes_means_of_folds_for_as_sure_as_they_are(
    server: FakeServer, cli: Cli, tmp_path: Path, ending: str
) -> None:
    attempts = [{**attempt(), "fold": fold} for fold in range(9)]
    measured = {"accuracy": {"value": 0.9, "stddev": 0.3}}
    server.world.trials["sgd-7f3a"] = [trial(1, parameters={"alpha": 0.5}, metrics=measured, attempts=attempts)]
    server.world.specification = {"specification": {"parameters": [{"name": "alpha"}]}}
    server.update("sgd-7f3a", folds=9)
    target = tmp_path / f"old.{ending}"
    assert cli("export", "sgd", "-o", str(target)).code == 0
    space = Space.of((Parameter("alpha", "float", 0.0, 1.0),))
    [observation] = mapped(str(target), read(target), space, [Metric("accuracy", "maximize")]).observations
    assert observation.stddev == {"accuracy": pytest.approx(0.1)}


def test_get_fetches_the_files_of_a_trial_or_of_the_best(server: FakeServer, cli: Cli, tmp_path: Path) -> None:
    server.world.files["plots/a.png"] = b"picture"
    digest = hashlib.sha256(b"picture").hexdigest()
    files = [{"path": "plots/a.png", "digest": digest, "size": 7}]
    server.world.trials["sgd-7f3a"] = [trial(2, artifacts=files)]
    assert cli("get", "sgd/2", "-o", str(tmp_path / "two")).code == 0
    assert (tmp_path / "two" / "plots" / "a.png").read_bytes() == b"picture"
    server.update("sgd-7f3a", best=BEST)
    result = cli("get", "sgd", "--best", "-o", str(tmp_path / "best"), "--json")
    assert json.loads(result.out)[0]["file"] == str(tmp_path / "best" / "plots" / "a.png")


@pytest.mark.parametrize(
    "words",
    ["sgd --best b/a.png -o DIR", "--best sgd -o DIR b/a.png", "-o DIR sgd b/a.png --best", "sgd/2 -o DIR b/a.png"],
)
def test_get_takes_its_arguments_in_any_order(server: FakeServer, cli: Cli, tmp_path: Path, words: str) -> None:
    names, digest = ("a.png", "b/a.png"), hashlib.sha256(b"picture").hexdigest()
    server.world.files |= dict.fromkeys(names, b"picture")
    files = [{"path": name, "digest": digest, "size": 7} for name in names]
    server.world.trials["sgd-7f3a"] = [trial(2, artifacts=files)]
    server.update("sgd-7f3a", best=[{**BEST[0], "trial": 2}])
    result = cli("get", *words.replace("DIR", str(tmp_path / "new")).split())
    assert (result.code, result.err) == (0, "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b"]


def test_get_goes_on_with_the_others_where_one_file_cannot_be_written(
    server: FakeServer, cli: Cli, tmp_path: Path
) -> None:
    files = []
    for path in ("a", "a/b", "z"):  # as older servers took them
        server.world.files[path] = path.encode()
        files.append({"path": path, "digest": hashlib.sha256(path.encode()).hexdigest(), "size": len(path)})
    server.world.trials["sgd-7f3a"] = [trial(2, artifacts=files)]
    target = tmp_path / "two"
    result = cli("get", "sgd/2", "-o", str(target))
    assert result.code == 2 and f"cannot write {target}/a/b: a file and a folder have the same name" in result.err
    assert (target / "a").read_bytes() == b"a" and (target / "z").read_bytes() == b"z"


def test_what_get_puts_into_the_folder_of_the_project_is_no_code_of_the_next_run(
    server: FakeServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.world.files["model.pt"] = b"weights"
    digest = hashlib.sha256(b"weights").hexdigest()
    files = [{"path": "model.pt", "digest": digest, "size": 7}]
    server.world.trials["sgd-7f3a"] = [trial(2, artifacts=files)]
    assert cli("get", "sgd/2").code == 0
    assert cli("get", "sgd/2").code == 0, "it is there already"
    assert (tmp_path / "sgd-7f3a-2/model.pt").read_bytes() == b"weights"
    (tmp_path / "train.py").write_text("")
    assert plan(tmp_path, (), 2**20).files == 1
    (tmp_path / "mine").mkdir()
    assert cli("get", "sgd/2", "-o", "mine").code == 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["model.pt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_get_puts_nothing_into_a_folder_that_another_user_has_made(
    server: FakeServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.world.files["model.pt"] = b"weights"
    digest = hashlib.sha256(b"weights").hexdigest()
    server.world.trials["sgd-7f3a"] = [trial(2, artifacts=[{"path": "model.pt", "digest": digest, "size": 7}])]
    planted = tmp_path / "sgd-7f3a-2"
    planted.mkdir(mode=0o777)
    os.chown(planted, 65534, 65534)
    assert "belongs to another user" in cli("get", "sgd/2").err
    assert list(planted.iterdir()) == []


def test_get_says_why_there_is_no_best_trial(server: FakeServer, cli: Cli) -> None:
    assert cli("get", "sgd", "--best").err == "error: sgd-7f3a has no best trial: no trial has completed yet\n"
    base = {"goal": "maximize", "take": "last", "threshold": None}
    counts = {"queued": 0, "running": 0, "completed": 3, "failed": 0, "pruned": 0, "cancelled": 0}
    server.update("sgd-7f3a", metrics=[{**base, "name": "accuracy", "constraint": ">= 0.9"}], counts=counts)
    message = "sgd-7f3a has no best trial: none of 3 completed trials satisfies accuracy >= 0.9"
    assert cli("get", "sgd", "--best").err == f"error: {message}\n"


def test_get_takes_names_as_long_as_names_can_be_and_shows_none_that_a_terminal_obeys(
    server: FakeServer, cli: Cli, tmp_path: Path
) -> None:
    names = ["n" * 255, "a\x1b[31m"]
    server.world.files |= dict.fromkeys(names, b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    files = [{"path": name, "digest": digest, "size": 1} for name in names]
    server.world.trials["sgd-7f3a"] = [trial(1, artifacts=files)]
    result = cli("get", "sgd/1", "-o", str(tmp_path / "two"))
    assert (result.code, result.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(names)
    assert "\x1b[31m" not in result.out + cli("trials", "sgd/1").out


@pytest.mark.parametrize(
    ("keep", "state", "why"),
    [
        (None, "failed", "name them with `keep:` in the experiment file"),
        ({"patterns": ["a", "b"], "best": None}, "running", "wait for its end: it then has the files in `keep`: a, b"),
        ({"patterns": ["a"], "best": None}, "failed", "this trial (failed) created none of the files in `keep`: a"),
        ({"patterns": ["a.pt"], "best": 2}, "failed", "`keep_best: 2` only keeps files of the best trials"),
    ],
)
def test_get_says_why_a_trial_has_no_files(server: FakeServer, cli: Cli, keep: object, state: str, why: str) -> None:
    server.world.trials["sgd-7f3a"] = [trial(2, state=state)]
    server.world.specification = {"specification": {"keep": keep}}
    result = cli("get", "sgd/2")
    assert (result.code, result.err) == (2, f"error: sgd-7f3a/2 has no files\nhint:  {why}\n")


@pytest.mark.parametrize("some", [True, False])
def test_get_waits_for_files_that_are_on_their_way(
    server: FakeServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, some: bool
) -> None:
    server.world.files |= {"a": b"here", "b": b"here"}
    artifacts = [{"path": name, "digest": hashlib.sha256(b"here").hexdigest(), "size": 4} for name in ("a", "b")]
    reason = {"code": "files_on_the_way", "message": "uploading 2 files"}
    on_the_way = trial(
        2, attempts=[attempt(), attempt(worker="w2", reason=reason)], artifacts=artifacts[:1] if some else []
    )
    responses = [trial(2, attempts=[attempt(), attempt(worker="w2")], artifacts=artifacts), on_the_way]

    def pass_time(seconds: float) -> None:
        server.world.trials["sgd-7f3a"] = [responses.pop()]

    monkeypatch.setattr(time, "sleep", pass_time)
    server.world.trials["sgd-7f3a"] = [on_the_way]
    result = cli("get", "sgd/2", "-o", str(tmp_path))
    assert (result.code, result.err) == (0, "waiting for w2 to upload its files\n")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_get_says_which_files_will_never_come(server: FakeServer, cli: Cli, tmp_path: Path) -> None:
    text = "its files did not arrive: worker w1 is gone: the worker was asked to terminate"
    attempts = [attempt(), attempt(fold=1, reason={"code": "files_lost", "message": text})]
    server.world.trials["sgd-7f3a"] = [trial(1, attempts=attempts)]
    result = cli("get", "sgd/1")
    assert (result.code, result.err) == (2, f"error: sgd-7f3a/1 has no files\nhint:  {text}\n")
    server.world.files["fold-0/a"] = b"here"
    artifact = {"path": "fold-0/a", "digest": hashlib.sha256(b"here").hexdigest(), "size": 4}
    server.world.trials["sgd-7f3a"] = [trial(1, attempts=attempts, artifacts=[artifact])]
    result = cli("get", "sgd/1", "-o", str(tmp_path / "two"))
    assert (result.code, result.err) == (0, f"not all files of sgd-7f3a/1 are available: {text}\n")


def test_get_never_writes_outside_of_its_folder(server: FakeServer, cli: Cli, tmp_path: Path) -> None:
    files = [{"path": "../evil", "digest": "0" * 64, "size": 7}]
    server.world.trials["sgd-7f3a"] = [trial(1, artifacts=files)]
    result = cli("get", "sgd/1", "-o", str(tmp_path / "in"))
    assert result.code == 1
    assert "outside" in result.err
    assert not (tmp_path / "evil").exists()


def test_logs_merge_whole_lines_with_the_worker_in_front(server: FakeServer, cli: Cli) -> None:
    server.log("epoch 1\nepo", trial=1, worker="w1")
    server.log("hello\n", trial=2, worker="w2")
    server.log("ch 2\n10%\r50%\r100%\nunfinished", trial=1, worker="w1")
    assert cli("logs", "sgd").out.splitlines() == [
        "w1     1 │ epoch 1",
        "w2     2 │ hello",
        "w1     1 │ epoch 2",
        "w1     1 │ 100%",
        "w1     1 │ unfinished",
    ]
    assert cli("logs", "sgd/2").out == "hello\n"
    assert cli("logs", "sgd", "--grep", "epoch [2-9]").out == "w1     1 │ epoch 2\n"
    assert json.loads(cli("logs", "sgd/2", "--json").out) == {
        "trial": 2,
        "attempt": "attempt-of-2",
        "worker": "w2",
        "at": "2026-01-31T12:00:00.000Z",
        "fold": None,
        "line": "hello",
    }


def test_a_terminal_obeys_nothing_of_logs_but_colours(
    server: FakeServer, cli: Cli, terminal: Callable[..., Terminal]
) -> None:
    hostile = "\x1b]52;c;ZXZpbA==\x07\x9d0;title\x07\x1b[2J\x1b[31mred"
    server.log(f"{hostile}\nend\n", trial=1, worker="w\x1b[2J")
    assert cli("logs", "sgd/1").out == f"{hostile}\nend\n", "what goes into a file or a program is as it was printed"
    screen = terminal("logs", "sgd")
    screen.wait_for("end")
    assert "\x1b[31mred\x1b[0m" in screen.screen
    assert not any(escape in screen.screen for escape in ("\x1b]", "\x1b[2J", "\x9d", "\x07"))


@pytest.mark.parametrize("format", ["csv", "json"])
def test_a_terminal_obeys_nothing_of_an_export(
    server: FakeServer, cli: Cli, terminal: Callable[..., Terminal], format: str
) -> None:
    hostile = "a\x1b]52;c;ZXZpbA==\x07\x9d0;title\x07\x1b[2J"
    server.world.specification = {"specification": {"parameters": [{"name": "x"}]}}
    server.world.trials["sgd-7f3a"] = [trial(1, parameters={"x": hostile}), trial(2, parameters={"x": "end"})]
    assert hostile in cli("export", "sgd").out, "what goes into a file or a program is as it was"
    screen = terminal("export", "sgd", "--format", format)
    screen.wait_for("end")
    assert not any(escape in screen.screen for escape in ("\x1b]", "\x1b[2J", "\x9d", "\x07"))


@pytest.mark.parametrize("handle", ["sgd-$(touch executed)", "sgd-7f3a\x1b[2J", "-sgd", "../sgd", "", "SGD-7f3a"])
def test_a_handle_that_no_server_makes_is_refused(server: FakeServer, cli: Cli, handle: str) -> None:
    server.world.experiments["sgd-7f3a"]["handle"] = handle
    for command in (["status", "sgd-7f3a"], ["status"]):
        refused = cli(*command)
        assert refused.code == 1 and "the server answered with the handle '" in refused.err
        assert "\x1b" not in refused.err and handle not in refused.out.split()


def test_logs_say_which_fold_a_line_is_from(server: FakeServer, cli: Cli) -> None:
    server.log("epoch 1\n", fold=0, worker="w1")
    server.log("hel", fold=1, worker="w2")
    server.log("epoch 2\n", fold=0, worker="w1")
    server.log("lo\n", fold=1, worker="w2")
    assert cli("logs", "sgd").out.splitlines() == [
        "w1     1 fold 0 │ epoch 1",
        "w1     1 fold 0 │ epoch 2",
        "w2     1 fold 1 │ hello",
    ]
    assert cli("logs", "sgd/1").out == "fold 0 │ epoch 1\nfold 0 │ epoch 2\nfold 1 │ hello\n"
    assert [json.loads(line)["fold"] for line in cli("logs", "sgd/1", "--json").out.splitlines()] == [0, 0, 1]


def test_what_a_trial_left_unfinished_stands_where_it_ended(server: FakeServer, cli: Cli) -> None:
    server.log("one\nhalf", trial=1, last=True)
    server.log("two\n", trial=2)
    assert [line.split("│ ")[1] for line in cli("logs", "sgd").out.splitlines()] == ["one", "half", "two"]


def test_logs_tell_of_a_gap_and_pass_on_what_limits_them(server: FakeServer, cli: Cli) -> None:
    server.log("head\n")
    server.log("tail\n", gap=4096)
    assert cli("logs", "sgd/1").out == "head\n[4.0 KiB of output left out]\ntail\n"
    cli("logs", "sgd", "--tail", "5", "--since", "2026-01-31T13:00:00+01:00")
    requests = server.requests_to("GET", "/logs")
    assert any(
        "tail=5" in request.path and "since=2026-01-31T12%3A00%3A00.000Z" in request.path for request in requests
    )


def test_ages_are_counted_by_the_clock_of_the_server(
    server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_ahead", 0.0)
    began = datetime.fromisoformat(AT).timestamp()
    server.world.date = began + 90
    assert re.search(r"  1m 3\ds ago  ", cli("status").out)
    server.world.trials["sgd-7f3a"] = [trial(1, state="running", finished_at=None)]
    assert re.search(r"running, 1m 3\ds", cli("trials", "sgd/1").out)
    server.world.date = began + 3600
    cli("logs", "sgd", "--since", "30m")
    (request,) = server.requests_to("GET", "/logs")
    assert re.search(r"since=2026-01-31T12%3A30%3A0", request.path)


@pytest.mark.parametrize("date", [None, "", "noon", "Sat, 99 Jan 2026 12:00:00 GMT"])
def test_a_server_that_tells_no_time_has_that_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, date: str | None
) -> None:
    monkeypatch.setattr(clock, "_ahead", 0.0)
    clock.update_offset(formatdate(time.time(), usegmt=True))
    clock.update_offset(date)
    assert abs(clock.now() - time.time()) < 1


def test_more_lines_than_a_server_counts_back_are_refused(server: FakeServer, cli: Cli) -> None:
    server.log("one\n")
    result = cli("logs", "sgd", "--tail", "1000001")
    assert result.code == 2
    assert "1000001 (expected at most 1,000,000; omit --tail to print all lines)" in result.err
    assert cli("logs", "sgd", "--tail", "1000000").code == 0


def test_followed_logs_end_with_the_experiment(server: FakeServer, cli: Cli) -> None:
    server.log("one\n")
    server.update("sgd-7f3a", state="completed")
    assert cli("logs", "sgd", "--follow").out == "w1     1 │ one\n"


def test_who_follows_a_trial_that_is_still_to_begin_hears_so(server: FakeServer, cli: Cli) -> None:
    def over(pattern: str, times: int) -> threading.Thread:
        def end() -> None:
            until(lambda: len(server.requests_to("GET", pattern)) == times, "the stream")
            server.update("sgd-7f3a", state="completed")

        thread = threading.Thread(target=end)
        thread.start()
        return thread

    server.world.trials["sgd-7f3a"] = [trial(3, state="queued")]
    ending = over(r"/logs\?trial=3$", 1)
    assert cli("logs", "sgd/3", "--follow").err == "trial 3 is queued; its output follows once it runs\n"
    ending.join()
    assert cli("logs", "sgd/99", "--follow") == Result(2, "", "error: there is no trial 99\n")
    server.update("sgd-7f3a", state="running")
    ending = over(r"/logs\?trial=99$", 1)
    assert cli("logs", "sgd/99", "--follow").err.startswith(
        "there is no trial 99 yet; its output follows once it runs\n"
    )
    ending.join()


@pytest.mark.parametrize(("lines", "tail"), [("2", "two\nthree\n"), ("0", "")])
def test_followed_logs_may_begin_with_the_last_lines(server: FakeServer, cli: Cli, lines: str, tail: str) -> None:
    server.log("one\ntwo\nthree\nfo")

    def go_on() -> None:
        until(lambda: bool(server.requests_to("GET", r"/logs\?trial=1$")), "the stream")
        server.log("ur\nfive\n")
        server.update("sgd-7f3a", state="completed")

    rest = threading.Thread(target=go_on)
    rest.start()
    assert cli("logs", "sgd/1", "--follow", "--tail", lines).out == f"{tail}four\nfive\n"
    rest.join()


def test_the_last_lines_that_are_looked_for_are_found_however_far_above_they_stand(
    server: FakeServer, cli: Cli
) -> None:
    server.log("Error: one\n" + "epoch\n" * 5 + "Error: two\nError: thr")
    server.log("ee\n" + "epoch\n" * 5, last=True)
    assert cli("logs", "sgd/1", "--grep", "Error", "--tail", "2").out == "Error: two\nError: three\n"
    assert not any("tail=" in request.path for request in server.requests_to("GET", "/logs"))
    server.update("sgd-7f3a", state="completed")
    assert cli("logs", "sgd", "--grep", "Error", "--tail", "1", "--follow").out == "w1     1 │ Error: three\n"
    assert cli("logs", "sgd", "--grep", "Error", "--tail", "0").out == ""


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("failed", 1), ("stopped", 1)])
def test_wait_ends_with_the_code_of_the_outcome(server: FakeServer, cli: Cli, state: str, code: int) -> None:
    server.update("sgd-7f3a", state=state)
    result = cli("wait", "sgd", "--json")
    assert result.code == code
    assert json.loads(result.out)["state"] == state


def test_a_guard_that_paused_it_ends_the_waiting_with_its_hint(server: FakeServer, cli: Cli) -> None:
    reason = {"code": "first_trials_failed", "message": "the first three trials all failed"}
    server.update("sgd-7f3a", state="paused", reason=reason)
    result = cli("wait", "sgd")
    assert result.code == 1
    assert "the first three trials all failed" in result.out


def test_rerun_takes_the_environment_and_the_secrets_along(
    server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "value-of-the-key")
    server.world.trials["sgd-7f3a"] = [trial(2)]
    server.world.specification = {
        "specification": {"parameters": [], "secrets": [{"name": "KEY", "source": "env:MY_KEY"}]},
        "launch": {"root": "/project", "links": ["data"], "env": {"OLD": "1"}},
        "owned_by_caller": True,
    }
    result = cli("rerun", "sgd/2", "--continue", "--detach", "--yes")
    assert (result.code, result.out) == (0, "sgd-7f3a\n")
    body = server.requests_to("POST", "/trials/2/rerun")[0].json()
    assert body["continue"] is True
    assert body["secrets"] == {"KEY": "value-of-the-key"}
    assert body["launch"]["links"] == ["data"]
    assert "OLD" not in body["launch"]["env"]
    assert "PATH" in body["launch"]["env"]
    assert "cluster" not in body


def test_rerun_of_an_imported_trial_sends_no_secrets_unasked(
    server: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "value-of-the-key")
    server.update("sgd-7f3a", owner="ada (imported)")
    server.world.trials["sgd-7f3a"] = [trial(2)]
    secrets = [{"name": "KEY", "source": "env:MY_KEY"}]
    server.world.specification = {"specification": {"parameters": [], "secrets": secrets}, "launch": {}}
    refused = cli("rerun", "sgd/2", "--detach")
    assert refused.code == 2
    assert "sgd-7f3a/2, of ada (imported), reads KEY (env:MY_KEY) on this machine" in refused.err
    assert not server.requests_to("POST", "/trials/2/rerun")
    assert cli("rerun", "sgd/2", "--detach", "--yes").code == 0
    assert server.requests_to("POST", "/trials/2/rerun")[0].json()["secrets"] == {"KEY": "value-of-the-key"}


@pytest.mark.parametrize(
    ("run", "words", "expected"),
    [
        ("python t.py {args} --epochs 5", ["{run}", "--epochs", "80"], "python t.py {args} --epochs 5 --epochs 80"),
        (["python", "a b.py", "{lr}"], ["{run}", "--more"], ["python", "a b.py", "{lr}", "--more"]),
        ("A=1 sh t.sh {lr}", ["A=2 sh t.sh {lr}"], "A=2 sh t.sh {lr}"),
        ("sh t.sh", ["nice", "{run}"], "nice sh t.sh"),
    ],
)
def test_rerun_takes_a_command_in_the_place_of_the_trials_own(
    server: FakeServer, cli: Cli, run: str | list[str], words: list[str], expected: str | list[str]
) -> None:
    server.world.trials["sgd-7f3a"] = [trial(2)]
    server.world.specification = _of_run(run)
    assert cli("rerun", "sgd/2", "--continue", "--detach", "--", *words).code == 0
    assert server.requests_to("POST", "/trials/2/rerun")[0].json()["run"] == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{run}", "--epochs", "80"], "cannot add words to '{run}': it is a shell command line"),
        (["python", "t.py", "{rate}"], "command: unknown placeholder: {rate} (expected lr"),
        (["A=1 sh ${x:-{lr}}"], "command: {lr} is within ${…}"),
    ],
)
def test_rerun_says_what_is_wrong_with_a_command(server: FakeServer, cli: Cli, words: list[str], message: str) -> None:
    server.world.trials["sgd-7f3a"] = [trial(2)]
    server.world.specification = _of_run("A=1 sh t.sh {lr} | tee log")
    result = cli("rerun", "sgd/2", "--detach", "--", *words)
    assert result.code == 2
    assert message in result.err
    assert not server.requests_to("POST", "/trials/2/rerun")


def _of_run(run: str | list[str]) -> dict[str, object]:
    space = {"parameters": [{"name": "lr", "type": "float", "min": 0.0, "max": 1.0}]}
    return {"specification": {"name": "sgd", "run": run, **space, "metrics": [], "budget": 1}, "launch": None}


def test_doctor_exits_with_1_where_something_is_wrong(server: FakeServer, cli: Cli) -> None:
    assert cli("doctor").code == 0
    server.stop()
    result = cli("doctor", "--json")
    assert result.code == 1
    checks = json.loads(result.out)
    assert {item["name"] for item in checks if item["state"] == "error"} == {"server"}
    assert all(item["ok"] is (item["state"] == "ok") for item in checks)


def test_version_is_that_of_the_package(cli: Cli) -> None:
    assert cli("version", "--json").out.count(metadata.version("orchestune")) == 1
    assert cli("--version").out == cli("version").out
