"""Following: the live block on a terminal, plain lines otherwise, and Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestune.cli.develop.ephemeral_trial import _Output as TrialOutput
from orchestune.cli.inspect.status import _repeat as repeat
from orchestune.cli.main import run
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.progress_views import PlainView
from orchestune.errors import Unreachable
from tests.unit.cli.conftest import SOURCE, Result, Terminal, plain
from tests.unit.client.fake_server import FakeServer, attempt, status, trial, until

Start = Callable[..., Terminal]
Cli = Callable[..., Result]


def rerun(server: FakeServer) -> list[str]:
    """A command that follows the experiment `sgd-7f3a`."""
    server.world.specification = {"specification": {"parameters": []}, "launch": None}
    server.world.trials.setdefault("sgd-7f3a", []).insert(0, trial(1))
    return ["rerun", "sgd/1"]


def running(number: int, worker: str = "w1") -> dict[str, object]:
    return {
        "trial": number,
        "attempt": f"a{number}",
        "worker": worker,
        "started_at": "2026-01-31T12:00:00.000Z",
        "parameters": {"alpha": 0.5, "penalty": "elasticnet"},
    }


def complete(server: FakeServer, completed: int = 4) -> None:
    """A command that shows trials line by line waits for the ends of so many, also if they were not reported."""
    best = [{"trial": 2, "metrics": {"accuracy": {"value": 0.97, "stddev": None}}, "parameters": {"alpha": 0.25}}]
    counts = {"completed": completed, "running": 0}
    server.update("sgd-7f3a", state="completed", best=best, counts=counts, running=[])
    server.event("experiment_state", state="completed")


def test_the_block_shows_progress_the_best_and_each_running_trial(server: FakeServer, terminal: Start) -> None:
    best = [{"trial": 1, "metrics": {"accuracy": {"value": 0.9, "stddev": 0.01}}, "parameters": {"alpha": 0.125}}]
    server.update(
        "sgd-7f3a", best=best, running=[running(2), running(3, "w2")], eta_seconds=83.0,
        counts={"completed": 1, "running": 2},
    )  # fmt: skip
    screen = terminal(*rerun(server))
    screen.wait_for(r"1/4  2 running · 0 queued · 0 failed · 0 pruned  about 1m 23s left")
    screen.wait_for(r"best  accuracy 0.9 ± 0.01 at trial 1  alpha=0.125")
    screen.wait_for(r"3  w2 .* alpha=0.5 penalty=elasticnet")
    complete(server)
    assert screen.end() == 0
    assert "sgd-7f3a completed: 4 of 4 trials" in plain(screen.screen)
    assert "orchestune export sgd-7f3a" in plain(screen.screen)
    assert screen.screen.rstrip().rfind("\x1b[?25h") > screen.screen.rfind("\x1b[?25l")  # the cursor is back


def test_the_block_shows_values_of_running_trials_before_any_has_completed(server: FakeServer, terminal: Start) -> None:
    progress = {"latest": {"step": 12.0, "value": 0.75}, "curve": [0.25, 0.5, 0.75]}
    other = {"latest": {"step": None, "value": 0.5}, "curve": [0.5]}
    live = [running(2) | progress, running(3, "w2") | other, running(4, "w3")]
    server.update("sgd-7f3a", running=live, counts={"running": 3})
    screen = terminal(*rerun(server))
    screen.wait_for(r"no completed trial; best of the running ones: accuracy 0.75 at step 12, trial 2")
    screen.wait_for(r"2  w1 .*  accuracy 0.75  step 12  ▁▅█  alpha=0.5")
    screen.wait_for(r"3  w2 .*  accuracy 0.5 +alpha=0.5")
    complete(server)
    assert screen.end() == 0
    assert "completed yet" not in screen.screen


def test_the_block_is_painted_at_least_four_times_a_second_in_single_writes(
    server: FakeServer, terminal: Start
) -> None:
    screen = terminal(*rerun(server))
    screen.wait_for_paints(8)
    complete(server)
    assert screen.end() == 0
    paints = screen.screen.split("\x1b[J")
    assert all(paint.count("\x1b[K\r\n") in (0, 3) for paint in paints[1:-2])


def test_a_narrow_and_low_terminal_gets_what_fits(server: FakeServer, terminal: Start) -> None:
    server.update("sgd-7f3a", running=[running(n) for n in range(2, 30)], counts={"running": 28})
    screen = terminal(*rerun(server), columns=40, lines=8)
    screen.wait_for(r"and \d+ more running")
    screen.resize(30, 8)
    complete(server)
    assert screen.end() == 0
    for paint in screen.screen.split("\x1b[J")[:-1]:
        lines = plain(paint).split("\n")
        assert len(lines) <= 10
    block = [line for line in plain(screen.screen.split("sgd-7f3a completed")[0]).split("\n") if "more running" in line]
    assert block
    assert all(len(line) <= 39 for line in block)


def test_no_colour_and_a_dumb_terminal_are_respected(server: FakeServer, terminal: Start) -> None:
    screen = terminal(*rerun(server), NO_COLOR="1")
    screen.wait_for("0/4")
    dumb = terminal(*rerun(server), TERM="dumb")
    dumb.wait_for("repeats")
    complete(server, 0)
    assert screen.end() == 0
    assert dumb.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*m", screen.screen)
    assert "\x1b" not in dumb.screen


HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def cursor_is_back(screen: Terminal) -> bool:
    return screen.screen.rfind(SHOW) > screen.screen.rfind(HIDE)


def test_ctrl_z_gives_the_cursor_back_and_the_block_goes_on_below(server: FakeServer, terminal: Start) -> None:
    screen = terminal(script=f"$O {' '.join(rerun(server))}; echo typed meanwhile; fg")
    screen.wait_for("0/4")
    screen.press("\x1a")
    screen.wait_for("typed meanwhile")
    before, _, after = screen.screen.partition("typed meanwhile")
    assert before.rfind(SHOW) > before.rfind(HIDE)
    painted = screen.screen.count("\x1b[J")
    screen.wait_for_paints(painted + 2)
    after = screen.screen.partition("typed meanwhile")[2]
    assert not re.search(r"\x1b\[\d+A", after[: after.index("\x1b[J")]), "what was typed stays"
    assert re.search(r"\x1b\[3A", after), "the next one stands in place of it"
    complete(server)
    assert screen.end() == 0
    assert cursor_is_back(screen)


def test_nothing_is_painted_in_the_background(server: FakeServer, terminal: Start) -> None:
    screen = terminal(script="$O status sgd --watch & read line; fg")
    looks = r"/experiments/[^/]+$"
    until(lambda: len(server.requests_to("GET", looks)) > 3, "that it looks again")
    screen.read()
    assert "observations" not in screen.screen
    assert "\x1b" not in screen.screen
    screen.press("\n")
    screen.wait_for("observations  0 / 4")
    complete(server)
    assert screen.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_ends_the_command_gets_the_cursor_back(server: FakeServer, terminal: Start, number: signal.Signals) -> None:
    screen = terminal(*rerun(server))
    screen.wait_for("0/4")
    screen.process.send_signal(number)
    assert screen.end() == -number
    assert cursor_is_back(screen)


def test_an_experiment_that_is_removed_while_it_is_watched_is_named_and_gives_the_cursor_back(
    server: FakeServer, terminal: Start
) -> None:
    screens = [terminal("status", "sgd", "--watch"), terminal(*rerun(server))]
    screens[0].wait_for("observations  0 / 4")
    screens[1].wait_for("0/4")
    server.world.purged |= {"sgd-7f3a", "id-of-sgd-7f3a"}
    server.world.experiments.clear()
    for screen in screens:
        assert screen.end() == 2
        assert cursor_is_back(screen)
        assert "error: sgd-7f3a was removed for good" in plain(screen.screen)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_output_of_a_test_elsewhere_keeps_its_lines_on_a_terminal(server: FakeServer) -> None:
    server.log("epoch 1\n10%\r100%\n\x1b[2J")
    server.log("\x1b[31mepoch\x1b[0m 2\n")
    server.update("sgd-7f3a", state="completed")
    console = Console(out=Screen(), environ=server.environment())
    TrialOutput(console, "sgd", lambda text: None).run()
    console.close()
    assert plain(console.out.getvalue()) == "epoch 1\n10%100%\nepoch 2\n"  # type: ignore[attr-defined]
    assert "10%\r100%" in console.out.getvalue()  # type: ignore[attr-defined]


def test_a_server_that_is_away_for_long_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestune.cli.inspect.status.time.sleep", lambda seconds: None)
    looks = iter([["42 trials"], None, None, None])

    def look() -> tuple[list[str], bool]:
        lines = next(looks, ["43 trials"])
        if lines is None:
            raise Unreachable("the server exited at once:\n  no room\n  on the disk")
        return lines, lines == ["43 trials"]

    console = Console(out=Screen(), environ={"TERM": "xterm"})
    assert repeat(console, look) == 0
    paints = plain(console.out.getvalue()).split("42 trials\n")[2:]  # type: ignore[attr-defined]
    assert len(paints) == 3
    assert paints[0] == paints[1]
    assert [paint.count("\n") for paint in paints[:2]] == [1, 1]
    assert "does not answer" in paints[0]


def test_why_nothing_moves_is_told_whole_on_a_narrow_terminal(server: FakeServer, terminal: Start) -> None:
    why = "the command succeeded but never reported accuracy; saw accurracy=1; did you mean accurracy?"
    best = [{"trial": 1, "metrics": {"accuracy": {"value": 0.9, "stddev": None}}, "parameters": {"alpha" * 9: 0.125}}]
    server.update("sgd-7f3a", state="paused", reason={"code": "metric_missing", "message": why}, best=best)
    screen = terminal("status", "sgd", columns=40)
    assert screen.end() == 0
    lines = plain(screen.screen).splitlines()
    assert f"why           {why}" in lines
    assert max(len(line) for line in lines if line.startswith("best")) == 40


def test_why_trials_failed_is_told_though_their_parameters_are_too_many(server: FakeServer, terminal: Start) -> None:
    reason = {"code": "exit_code", "message": "exited with code 1"}
    names = [f"layer_{place}.rate" for place in range(20)]
    failed = trial(1, state="failed", reason=reason, metrics={}, parameters=dict.fromkeys(names, 0.25))
    server.world.trials["sgd-7f3a"] = [failed]
    screen = terminal("trials", "sgd", columns=80)
    assert screen.end() == 0
    head, line = plain(screen.screen).splitlines()[-2:]
    assert head.split()[3:] == ["layer_0.rate", "…", "19", "more", "TIME"]
    assert line.endswith("exited with code 1") and max(len(head), len(line)) <= 80
    screen = terminal("trials", "sgd", columns=500)
    assert screen.end() == 0
    assert "layer_19.rate  TIME" in plain(screen.screen)


def test_who_waits_hears_that_the_server_says_nothing(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestune.cli.experiments.follow.SILENCE_SECONDS", 0.5)
    server.put(status("sgd-7f3a"))
    server.world.faults[:] = ["", "hold", "hold"]
    out, err = io.StringIO(), io.StringIO()

    def answers_late() -> None:
        until(lambda: bool(err.getvalue()), "it is told")
        complete(server)
        server.world.held.set()

    late = threading.Thread(target=answers_late)
    late.start()
    assert run(Console(json=True, out=out, err=err), ["wait", "sgd", "--json"]) == 0
    late.join()
    assert err.getvalue() == "the server does not answer, retrying (no news for 0.5 s)\n"
    assert json.loads(out.getvalue())["state"] == "completed"


def test_who_waits_hears_of_a_server_that_answers_and_cannot_do_it(server: FakeServer) -> None:
    server.put(status("sgd-7f3a"))
    server.world.faults = ["", *["503"] * 1000]
    out, err = io.StringIO(), io.StringIO()

    def has_room_again() -> None:
        until(lambda: bool(err.getvalue()), "it is told")
        complete(server)
        server.world.faults = []

    later = threading.Thread(target=has_room_again)
    later.start()
    assert run(Console(json=True, out=out, err=err), ["wait", "sgd", "--json"]) == 0
    later.join()
    assert err.getvalue() == "the server cannot serve the request now, retrying (the store is locked)\n"


def test_ctrl_c_detaches_and_says_how_to_go_on(server: FakeServer, terminal: Start) -> None:
    screen = terminal(*rerun(server))
    screen.wait_for("0/4")
    screen.press("\x03")
    screen.wait_for("orchestune stop sgd-7f3a")
    assert screen.end() == 0
    assert "orchestune status sgd-7f3a --watch" in plain(screen.screen)
    assert server.requests_to("POST", "/stop") == []


def test_ctrl_c_while_the_experiment_is_created_leaves_none_that_nobody_was_told_of(
    server: FakeServer, terminal: Start
) -> None:
    server.world.faults[:] = ["", "", "hold"]
    screen = terminal(*rerun(server))
    until(lambda: bool(server.requests_to("POST", "/rerun")), "it asks for the experiment")
    screen.press("\x03")
    screen.wait_for(r"\^C")
    server.world.held.set()
    screen.wait_for("orchestune stop sgd-7f3a")
    assert screen.end() == 0
    assert "sgd-7f3a keeps running" in plain(screen.screen)


def test_who_presses_ctrl_c_again_and_again_gets_out(server: FakeServer, terminal: Start) -> None:
    server.world.faults[:] = ["", "", "hold"]
    screen = terminal(*rerun(server))
    until(lambda: bool(server.requests_to("POST", "/rerun")), "it asks for the experiment")
    while screen.process.poll() is None:
        screen.press("\x03")
        screen.read()
    assert screen.end() in (130, -signal.SIGINT)  # the latter where it was about to end already
    server.world.held.set()


def test_a_second_ctrl_c_stops_the_experiment(server: FakeServer, terminal: Start) -> None:
    screen = terminal(*rerun(server))
    screen.wait_for("0/4")
    screen.press("\x03")
    screen.wait_for("orchestune stop sgd-7f3a")
    screen.press("\x03")
    assert screen.end() == 1
    assert len(server.requests_to("POST", "/stop")) == 1
    assert "sgd-7f3a stopped" in plain(screen.screen)
    assert "orchestune resume sgd-7f3a" in plain(screen.screen)
    assert "orchestune extend" not in plain(screen.screen)


def test_whoever_stops_the_experiment_hears_once_that_files_are_on_their_way(
    server: FakeServer, terminal: Start
) -> None:
    server.update("sgd-7f3a", workers=[{"name": "w1", "sending": True}])
    screen = terminal(*rerun(server))
    screen.wait_for("0/4")
    screen.press("\x03")
    screen.wait_for("orchestune stop sgd-7f3a")
    screen.press("\x03")
    screen.wait_for("Still uploading files of completed trials")
    request_count = len(server.requests_to("GET", r"/experiments/[^/]+$"))
    until(lambda: len(server.requests_to("GET", r"/experiments/[^/]+$")) > request_count + 1, "that it looks again")
    server.update("sgd-7f3a", state="stopped", workers=[])
    assert screen.end() == 1
    assert plain(screen.screen).count("uploading files") == 1


def test_who_cannot_wait_for_the_server_hears_whether_it_was_told_to_stop(server: FakeServer, terminal: Start) -> None:
    screen = terminal(*rerun(server))
    screen.wait_for("0/4")
    screen.press("\x03")
    screen.wait_for("orchestune stop sgd-7f3a")
    server.world.hold = "/stop$"
    screen.press("\x03")
    until(lambda: bool(server.requests_to("POST", "/stop")), "it asks for the end")
    screen.press("\x03")
    assert screen.end() == 1
    assert "sgd-7f3a keeps running: the server has not answered." in plain(screen.screen)
    server.world.held.set()


def test_ctrl_c_leaves_a_status_for_which_the_server_has_no_answer(server: FakeServer, terminal: Start) -> None:
    screen = terminal("status", "sgd", "--watch")
    screen.wait_for("observations  0 / 4")
    server.world.faults[:] = ["hold"]
    until(lambda: not server.world.faults, "that it asks again")
    screen.press("\x03")
    assert screen.end(20) == 0
    assert cursor_is_back(screen)
    server.world.held.set()


def test_a_server_that_restarts_elsewhere_is_waited_for(server: FakeServer, terminal: Start) -> None:
    screen = terminal(*rerun(server))
    screen.wait_for("0/4")
    port = int(server.url.rpartition(":")[2])
    server.stop()
    screen.wait_for("the server does not answer")
    server.start(port)
    complete(server)
    assert screen.end() == 0


def test_a_guard_that_pauses_ends_the_following_with_its_hint(server: FakeServer, terminal: Start) -> None:
    screen = terminal(*rerun(server))
    screen.wait_for("0/4")
    reason = {"code": "metric_missing_at_first", "message": "saw eval_acc=0.91; did you mean eval_accuracy?"}
    server.update("sgd-7f3a", state="paused", reason=reason)
    server.event("experiment_state", state="paused")
    assert screen.end() == 1
    assert "why   saw eval_acc=0.91" in plain(screen.screen)
    assert re.search("orchestune try --into sgd-7f3a +try fixed code, and continue with it", plain(screen.screen))
    assert re.search("orchestune resume sgd-7f3a +resume, with fixed code or unchanged", plain(screen.screen))
    assert "`orchestune run` starts it with a fixed file" in plain(screen.screen)


def test_the_first_failure_is_told_also_without_a_word_of_its_output(server: FakeServer, cli: Cli) -> None:
    reason = {"code": "out_of_memory", "message": "used more than its memory"}
    server.world.trials["sgd-7f3a"] = [trial(1, state="failed", reason=reason, attempts=[attempt(tail=None)])]
    server.update("sgd-7f3a", state="completed", counts={**status()["counts"], "failed": 1})
    assert "fail  trial 1: used more than its memory\n" in cli("wait", "sgd").out


def test_what_the_server_has_to_note_stands_in_status_and_at_the_end(server: FakeServer, cli: Cli) -> None:
    note = "early stopping (asha) has ended no trial: each reports loss only once"
    server.update("sgd-7f3a", state="completed", notes=[note])
    assert f"note  {note}\n" in cli("wait", "sgd").out
    assert f"note          {note}\n" in cli("status", "sgd").out


def test_the_first_failure_of_folds_is_told_by_the_one_that_failed(server: FakeServer, cli: Cli) -> None:
    reason = {"code": "exit_code", "message": "exited with code 1"}
    folds = [attempt(state="failed", tail="RuntimeError: broken"), attempt(state="cancelled", tail="epoch 1")]
    server.world.trials["sgd-7f3a"] = [trial(1, state="failed", reason=reason, attempts=folds)]
    server.update("sgd-7f3a", state="completed", counts={**status()["counts"], "failed": 1})
    output = cli("wait", "sgd").out
    assert "RuntimeError: broken" in output and "epoch 1" not in output


def piped(server: FakeServer, words: list[str]) -> subprocess.Popen[str]:
    environ = {**os.environ, **server.environment(), "PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "orchestune", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def following(server: FakeServer) -> None:
    until(lambda: server.requests_to("GET", "/events"), "that it follows")


def finish(server: FakeServer, number: int, **changes: object) -> None:
    counts = server.world.experiments["sgd-7f3a"]["counts"]
    server.world.trials["sgd-7f3a"].append(trial(number, **changes))
    server.update("sgd-7f3a", counts={"completed": counts["completed"] + 1})
    server.event("trial_finished", trial=number, state="completed")


def test_piped_output_has_a_line_for_each_trial(server: FakeServer) -> None:
    process = piped(server, rerun(server))
    following(server)
    finish(server, 2)
    assert process.stdout is not None
    lines: list[str] = []
    while not any("trial 2" in line for line in lines):
        lines.append(process.stdout.readline())
    finish(server, 3)
    complete(server, 2)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    text = "".join(lines) + out
    assert "1/4  trial 2  accuracy 0.902  2.0s  alpha=0.002 penalty=l1" in text
    assert "trial 3  accuracy 0.903" in text
    assert "\x1b" not in text


def test_trials_that_end_together_are_counted_one_by_one(server: FakeServer) -> None:
    process = piped(server, rerun(server))
    following(server)
    finish(server, 2)
    finish(server, 3)
    complete(server, 2)
    out, _ = process.communicate(timeout=60)
    counts = [int(number) for number in re.findall(r"^(\d)/4  trial \d", out, re.MULTILINE)]
    assert counts == [1, 2]
    assert len(re.findall(r"^\d/4  trial \d.*\(best value so far\)$", out, re.MULTILINE)) == 2


def test_a_value_beyond_the_limit_of_its_metric_is_not_the_best_so_far(server: FakeServer) -> None:
    metric = {"name": "accuracy", "goal": "maximize", "take": "last", "threshold": None, "constraint": "<= 0.902"}
    server.update("sgd-7f3a", metrics=[metric])
    process = piped(server, rerun(server))
    following(server)
    finish(server, 2)
    finish(server, 3)
    complete(server, 2)
    out, _ = process.communicate(timeout=60)
    assert re.findall(r"^\d/4  trial (\d)", out, re.MULTILINE) == ["2", "3"]
    assert re.findall(r"^\d/4  trial (\d).*\(best value so far\)$", out, re.MULTILINE) == ["2"]


def test_the_best_so_far_is_told_where_another_metric_has_a_limit_alone(server: FakeServer) -> None:
    base = {"goal": "maximize", "take": "last", "threshold": None}
    speed = {**base, "name": "speed", "constraint": ">= 5", "optimized": False}
    server.update("sgd-7f3a", metrics=[{**base, "name": "accuracy"}, speed])
    process = piped(server, rerun(server))
    following(server)
    for number, fast in ((2, 5.0), (3, 4.0), (4, 6.0)):
        values = {"accuracy": {"value": 0.9 + number / 1000, "stddev": None}, "speed": {"value": fast, "stddev": None}}
        server.world.trials.setdefault("sgd-7f3a", []).append(trial(number, metrics=values))
        server.event("trial_finished", trial=number, state="completed")
    complete(server, 3)
    out, _ = process.communicate(timeout=60)
    assert re.findall(r"trial (\d).*\(best value so far\)", out) == ["2", "4"], "3 is too slow"


def test_a_status_that_is_newer_than_the_events_does_not_spoil_the_count(server: FakeServer) -> None:
    server.update("sgd-7f3a", counts={"completed": 3})
    process = piped(server, rerun(server))
    following(server)
    for number, state in ((2, "completed"), (3, "cancelled"), (4, "pruned")):
        server.world.trials["sgd-7f3a"].append(trial(number, state=state))
        server.event("trial_finished", trial=number, state=state)
    complete(server)
    out, _ = process.communicate(timeout=60)
    assert re.findall(r"^(\d)/4  trial (\d)", out, re.MULTILINE) == [("1", "2"), ("1", "3"), ("2", "4")]


def test_trials_whose_end_is_told_after_that_of_the_experiment_have_their_line_too(server: FakeServer) -> None:
    server.world.late_events = True
    process = piped(server, rerun(server))
    following(server)
    for number in (2, 3):
        finish(server, number)
    request_count = len(server.requests_to("GET", r"/experiments/[^/]+$"))
    complete(server, 2)
    until(lambda: len(server.requests_to("GET", r"/experiments/[^/]+$")) > request_count, "that it sees the end")
    server.world.held.set()
    out, _ = process.communicate(timeout=60)
    assert re.findall(r"^(\d)/4  trial (\d)", out, re.MULTILINE) == [("1", "2"), ("2", "3")]


def test_the_best_so_far_is_known_though_the_status_is_older_than_the_event(server: FakeServer) -> None:
    process = piped(server, rerun(server))
    following(server)
    for number in (3, 2, 4):
        server.world.trials.setdefault("sgd-7f3a", []).append(trial(number))
        server.event("trial_finished", trial=number, state="completed")
    server.update("sgd-7f3a", state="completed", counts={"completed": 3, "running": 0}, running=[])
    server.event("experiment_state", state="completed")
    out, _ = process.communicate(timeout=60)
    assert re.findall(r"trial (\d).*\(best value so far\)", out) == ["3", "4"]
    assert "0 running" not in out


def test_a_line_for_many_trials_counts_as_those_around_it_however_old_the_status_is(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestune.cli.terminal.progress_views._BATCH_SECONDS", 0.0)
    server.update("sgd-7f3a", budget=20)
    old: Any = json.loads(json.dumps(server.world.experiments["sgd-7f3a"]))
    server.world.trials["sgd-7f3a"] = [trial(number) for number in range(1, 16)]
    server.update("sgd-7f3a", counts={"completed": 14})
    view = PlainView(Console())
    for number in range(1, 14):
        view.finished(number, "completed")
    view.show(old, "")
    view.finished(14, "completed")
    view.finished(15, "completed")
    view.show(old, "")
    view.close()
    out = capsys.readouterr().out
    assert re.findall(r"^(\d+)/20(?:  trial (\d+))?", out, re.MULTILINE) == [("14", ""), ("15", "15")]


def test_twelve_trials_of_a_moment_end_with_all_of_them(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.update("sgd-7f3a", budget=12, counts={"completed": 1})
    old: Any = json.loads(json.dumps(server.world.experiments["sgd-7f3a"]))
    view = PlainView(Console())
    for number in range(1, 13):
        view.finished(number, "completed")
    server.world.experiments.clear()  # nothing newer is to be had
    view.show(old, "")
    old["counts"]["completed"] = 12
    view.show(old, "", last=True)
    view.close()
    assert re.findall(r"^ *(\d+)/12", capsys.readouterr().out, re.MULTILINE)[-1] == "12"


def test_quick_trials_share_a_line(server: FakeServer) -> None:
    server.update("sgd-7f3a", budget=500)
    process = piped(server, rerun(server))
    following(server)
    for number in range(2, 402):
        finish(server, number)
    complete(server)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(out.splitlines()) < 120
    assert re.search(r"\d+/500  0 running · 0 failed", out)


def test_an_interrupt_of_a_piped_command_detaches_too(server: FakeServer) -> None:
    process = piped(server, rerun(server))
    following(server)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "orchestune stop sgd-7f3a" in out


def test_json_prints_the_final_status_alone(server: FakeServer) -> None:
    process = piped(server, [*rerun(server), "--json"])
    following(server)
    complete(server)
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert out.startswith('{\n  "schema": 1')


def test_a_reader_that_has_seen_enough_is_no_error(server: FakeServer, tmp_path: Path) -> None:
    for number in range(20_000):
        server.log(f"line {number} {'x' * 80}\n")
    process = piped(server, ["logs", "sgd"])
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().endswith("x\n")
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_status_watch_shows_the_experiment_until_it_ends(server: FakeServer, terminal: Start) -> None:
    screen = terminal("status", "sgd", "--watch")
    screen.wait_for("observations  0 / 4")
    complete(server)
    assert screen.end() == 0
    everything = terminal("status", "--watch")
    server.put(status("net-1a2b"))
    everything.wait_for("net-1a2b")
    everything.press("\x03")
    assert everything.end() == 0


def test_an_interrupted_wait_is_no_success_and_stops_nothing(server: FakeServer) -> None:
    process = piped(server, ["wait", "sgd"])
    following(server)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert server.requests_to("POST") == []
