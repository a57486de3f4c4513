"""Values, tables and blocks look as people read them, on any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.live import LiveBlock
from orchestune.cli.terminal.progress import best_lines, end_lines, live_lines, trial_line
from orchestune.cli.terminal.render import (
    Paint,
    bar,
    cut,
    duration,
    failure_tail,
    last_lines,
    number,
    one_line,
    sanitized,
    size,
    table,
    width,
)
from tests.unit.client.fake_server import status, trial

PLAIN, COLOUR = Paint(False), Paint(True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"), (1e-6, "1e-06"), (3.0, "3"), (123456.789, "1.235e+05"), (12, "12"), (True, "true"),
        ("l1", "l1"), (None, "-"), (float("nan"), "nan"), (float("inf"), "inf"), (0.0, "0"), (-0.5, "-0.5"),
    ],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value: object, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (9.96, "10.0s"), (12.9, "12s"), (83, "1m 23s"), (7500, "2h 05m"), (280000, "3d 5h"), (None, "-")],
)
def test_lengths_of_time_have_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 * 2**20, "200 MiB"), (None, "-")]
)
def test_sizes_have_binary_units(count: int | None, text: str) -> None:
    assert size(count) == text


@given(st.text(), st.integers(min_value=0, max_value=40))
def test_what_is_cut_fits_whatever_it_is(text: str, columns: int) -> None:
    line = cut(COLOUR("31", one_line(text)), columns, COLOUR)
    assert width(line) <= columns
    assert line.count("\x1b[31m") == line.count("\x1b[0m")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("a\tb ünï 实验", "a\tb ünï 实验"), ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[1;31mleft on", "\x1b[1;31mleft on\x1b[0m"), ("\x1b[2J\x1b[3;4Hx\x07\x08", "x"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"), ("\x1bcreset \x1b(0\x9b2J\x1b", "reset 2J"),
    ],
)  # fmt: skip
def test_what_a_program_printed_keeps_its_colours_and_moves_nothing(printed: str, expected: str) -> None:
    assert sanitized(printed) == expected


def test_the_last_lines_show_a_progress_bar_once() -> None:
    assert last_lines("", 3) == []
    assert last_lines("one\ntwo\n10%\r50%\r100%\nloss=1", 3) == ["two", "100%", "loss=1"]
    assert last_lines("1%\r2%\r", 3) == ["2%"]


@pytest.mark.parametrize(
    "message",
    [
        "Error: Cannot find module '/x/trian.js'",
        'Exception in thread "main" java.lang.IllegalStateException: no data',
        "panic: runtime error: index out of range [5] with length 3",
        "thread 'main' panicked at src/main.rs:4:5:",
        "java.io.IOException: disk",
    ],
)
def test_what_went_wrong_is_shown_before_the_end_of_a_long_trace(message: str) -> None:
    trace = [f"    at step {number}" for number in range(12)]
    assert failure_tail("\n".join(["epoch 1", message, *trace]), 5) == [message, trace[0], "…", *trace[-2:]]
    assert failure_tail("\n".join([*trace, message, "end"]), 5) == [*trace[-3:], message, "end"]


def test_the_end_of_what_failed_without_an_error_is_its_last_lines() -> None:
    lines = ["Error: 0.25", "Error = .5", "errors", *(f"line {number}" for number in range(6))]
    assert failure_tail("\n".join(lines), 5) == lines[-5:]
    assert failure_tail("one\ntwo", 5) == ["one", "two"]
    assert failure_tail("", 5) == []


def test_wide_characters_take_two_columns() -> None:
    assert width("日本") == 4
    assert cut("日本語", 5, PLAIN) == "日本…"
    assert cut("日本語", 4, PLAIN) == "日…"


def test_a_table_is_aligned_and_colours_take_no_room() -> None:
    lines = table(("A", "B"), [("1", COLOUR.state("failed")), ("22", "x")], COLOUR, right=(0,))
    assert [width(line) for line in lines] == [5, 10, 5]
    assert lines[2] == "22  x"


def test_what_a_program_names_cannot_move_the_cursor() -> None:
    assert one_line("a\x1b[2Jb\nc") == "a [2Jb c"


def test_a_bar_is_as_long_as_it_is_asked_to_be() -> None:
    assert bar(1, 4, 8, PLAIN) == "━━──────"
    assert bar(9, 4, 8, PLAIN) == "━" * 8
    assert bar(0, 0, 4, Paint(False, unicode=False)) == "####"


def test_colours_are_for_terminals_that_want_them() -> None:
    class Screen(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    assert Paint.of(Screen(), {"TERM": "xterm"}).colours
    assert not Paint.of(Screen(), {"TERM": "xterm", "NO_COLOR": "1"}).colours
    assert not Paint.of(Screen(), {"TERM": "dumb"}).colours
    assert not Paint.of(io.StringIO(), {"TERM": "xterm"}).colours


ATTACK = "\x1b]52;c;RVZJTA==\x07\x1b[2J\x9b"
"""sets the clipboard and clears the screen"""


def test_names_with_control_sequences_do_not_reach_a_terminal() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    console = Console(out=Screen(), err=Screen(), environ={})
    console.say(f"best lo{ATTACK}ss 0.5", f"two\nlines\tand \x1b[31mred{ATTACK}")
    console.note(f"a note{ATTACK}")
    assert console.out.getvalue() == "best loss 0.5\ntwo\nlines\tand \x1b[31mred\x1b[0m\n"  # type: ignore[attr-defined]
    assert console.err.getvalue() == "a note\n"  # type: ignore[attr-defined]
    (header,) = table((f"LO{ATTACK}\nSS",), [], PLAIN)
    assert header.isprintable()


def test_names_with_control_sequences_do_not_reach_the_live_block() -> None:
    metrics = [{**status()["metrics"][0], "name": f"lo{ATTACK}\nss"}]
    best = [{"trial": 1, "metrics": {}, "parameters": {f"x{ATTACK}": 1}}]
    lines = live_lines(status(metrics=metrics, best=best), 100, 20, PLAIN)  # type: ignore[arg-type]
    assert any("loss" in line for line in lines) and all(line.isprintable() for line in lines)


def test_each_worker_keeps_its_colour() -> None:
    assert COLOUR.worker("w3") == COLOUR.worker("w3")
    assert COLOUR.worker("w1")[:5] != COLOUR.worker("w2")[:5]


@given(st.integers(min_value=1, max_value=200), st.integers(min_value=1, max_value=60), st.integers(0, 50))
def test_the_live_block_never_exceeds_the_terminal(columns: int, rows: int, running: int) -> None:
    trials = [
        {"trial": n, "attempt": "a", "worker": "w1", "started_at": None, "parameters": {"alpha": 0.5},
         "latest": {"step": n, "value": n / 7} if n % 3 else None, "curve": [float(n) for n in range(n)]}
        for n in range(running)
    ]  # fmt: skip
    lines = live_lines(status(running=trials), columns, rows, PLAIN)  # type: ignore[arg-type]
    assert len(lines) <= rows
    assert all(width(line) <= columns for line in lines)


def test_a_long_reason_does_not_push_the_rest_of_a_line_away() -> None:
    reason = {"code": "command_not_found", "message": "the command was not found; PATH is " + "/some/folder:" * 50}
    line = trial_line(trial(3, state="failed", reason=reason), status(), PLAIN, done=1, best=False)  # type: ignore[arg-type]
    assert "the command was not found; PATH is /some" in line
    assert len(line) < 200
    assert line.endswith("alpha=0.003 penalty=l1")


def noisy_best(**changes: Any) -> dict[str, Any]:
    accuracy = {"value": 0.9215, "stddev": 0.029}
    expected = {"value": 0.9201, "stddev": 0.0016}
    return {
        "trial": 27, "metrics": {"accuracy": accuracy}, "parameters": {"alpha": 0.1}, "expected": expected,
        "measured_best": None, "measured_value": None, "measured_expected": None, **changes,
    }  # fmt: skip


def test_the_best_of_a_noisy_search_has_its_expected_value_beside_the_measured_one() -> None:
    lines = end_lines(status(state="completed", best=[noisy_best()]), PLAIN, next_steps=False)  # type: ignore[arg-type]
    interval = "0.9201 (95 %: 0.917 to 0.9232)"
    assert lines[1:] == [f"best  accuracy 0.9215 ± 0.029 at trial 27, expected {interval}", "      alpha  0.1"]


def test_the_best_measured_value_comes_first_where_another_trial_has_the_best_expected_one() -> None:
    best = noisy_best(
        measured_best=39,
        measured_value={"value": 0.9226, "stddev": 0.022},
        measured_expected={"value": 0.9186, "stddev": 0.0018},
    )
    expected = "trial 27 has the best expected value, 0.9201 (95 %: 0.917 to 0.9232)"
    expected_lines = [
        "best  accuracy 0.9226 ± 0.022 at trial 39, expected 0.9186 ± 0.0018",
        f"      {expected}; it measured accuracy 0.9215 ± 0.029",
    ]
    lines = end_lines(status(state="completed", best=[best]), PLAIN, next_steps=False)  # type: ignore[arg-type]
    assert lines[1:] == [*expected_lines, "      alpha  0.1"]
    assert best_lines([best], status(), PLAIN) == [expected_lines[0], f"{expected_lines[1]}  alpha=0.1"]  # type: ignore[list-item, arg-type]


def test_the_end_says_why_several_are_the_best() -> None:
    metrics = [{"name": name, "goal": "minimize"} for name in ("loss", "size")]
    best = [
        {
            "trial": trial,
            "parameters": {},
            "metrics": {name: {"value": value, "stddev": None} for name in ("loss", "size")},
        }
        for trial, value in ((1, 0.5), (2, 0.25))
    ]
    lines = end_lines(status(state="completed", metrics=metrics, best=best), PLAIN, next_steps=False)  # type: ignore[arg-type]
    assert [line[:4] for line in lines[1:]] == ["best", "best", "    "]
    assert lines[-1].strip() == "the Pareto front: none of these is better than another in every metric"


@pytest.mark.parametrize(("completed", "note"), [(12, "none of 12 completed trials satisfies size <= 20"), (0, None)])
def test_the_end_says_that_no_trial_keeps_the_limits(completed: int, note: str | None) -> None:
    metrics = [{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": None, "constraint": "<= 20"}]
    counts = {**status()["counts"], "completed": completed}
    lines = end_lines(status(state="completed", metrics=metrics, counts=counts), PLAIN, next_steps=False)  # type: ignore[arg-type]
    assert [line.removeprefix("note  ") for line in lines[1:]] == ([note] if note else [])


@pytest.mark.parametrize(("code", "proposed"), [("budget", True), ("exhausted", False), ("target", False)])
def test_more_trials_are_proposed_where_there_are_more(code: str, proposed: bool) -> None:
    reason = {"code": code, "message": "all 40 trials are finished"}
    lines = end_lines(status(state="completed", reason=reason), PLAIN)  # type: ignore[arg-type]
    assert any("orchestune extend sgd-7f3a --budget" in line for line in lines) is proposed


def test_one_long_command_does_not_push_the_meaning_of_the_others_off_a_terminal() -> None:
    handle = "sgd-classifier-7f3a"
    reason = {"code": "budget", "message": "all 40 trials are finished"}
    lines = end_lines(status(state="completed", handle=handle, reason=reason), PLAIN)  # type: ignore[arg-type]
    steps = lines[next(index for index, line in enumerate(lines) if line.startswith("next  ")) :]
    assert f"      orchestune export {handle} -o ~/{handle}.csv  export as a table" in steps
    others = [line for line in steps if "export" not in line]
    assert len(others) > 1
    assert max(map(len, others)) <= 80


def test_what_is_paused_has_not_run_since_it_began() -> None:
    reason = {"code": "first_trials_failed", "message": "the first 4 trials failed"}
    [first, *_] = end_lines(status(state="paused", reason=reason, counts=status()["counts"] | {"failed": 4}), PLAIN)  # type: ignore[arg-type]
    assert first == "sgd-7f3a paused: 4 of 4 trials (0 completed · 4 failed)"


def test_nothing_is_proposed_for_what_was_deleted() -> None:
    note = "deleted: its records, logs and files go as soon as nothing of it runs"
    lines = end_lines(status(state="stopped", notes=[note]), PLAIN)  # type: ignore[arg-type]
    assert lines[1:] == [f"note  {note}"]


def test_a_narrower_terminal_has_folded_what_was_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")
    block = LiveBlock(out, PLAIN)
    block.draw(["x" * 70, "y"])
    monkeypatch.setenv("COLUMNS", "40")
    block.draw(["z"])
    assert "\x1b[3A" in out.getvalue()
    block.close(erase=True)
    assert out.getvalue().endswith("\x1b[J\x1b[?25h")
