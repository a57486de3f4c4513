"""The help of every command, and what the main commands print about a store with a few small experiments."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestune.cli.main import build_parser, parser_commands
from orchestune.client.connection import clock
from tests.golden.command_line import Run, transcript
from tests.golden.expected_files import Golden
from tests.golden.lab import TOKEN, Lab, fill, loss
from tests.testbeds.seed import serve

# help


def _commands() -> Iterator[tuple[str, ...]]:
    """Every command and each of its own commands, as the parsers have them."""
    yield ()
    yield from _below((), build_parser())


def _below(words: tuple[str, ...], parser: argparse.ArgumentParser) -> Iterator[tuple[str, ...]]:
    for name, inner in parser_commands(parser).items():
        yield (*words, name)
        yield from _below((*words, name), inner)


COMMANDS = {"_".join(("help", *words)): words for words in _commands()}


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, golden: Golden, run: Run) -> None:
    code, text, error = run(*COMMANDS[name], "--help")
    assert (code, error) == (0, "")
    head, _, rest = text.partition("\n\n")
    # versions of Python break the lines of a usage at other places
    golden.check(f"{name}.txt", "\n\n".join([" ".join(head.split()), rest]))


# the output of commands

CASES: dict[str, list[str]] = {
    "status": ["status", "status --limit 2"],
    "status_json": ["status --json --limit 2"],
    "status_sgd": ["status {sgd}"],
    "status_sgd_json": ["status {sgd} --json"],
    "status_front": ["status {front}"],
    "status_broken": ["status {broken}", "status {broken} --json"],
    "status_folds": ["status {folds}"],
    "status_rerun": ["status {rerun}"],
    "status_paused": ["status {paused}"],
    "status_running": ["status {running}", "status {running} --json"],
    "status_pending": ["status {pending}"],
    "trials_sgd": ["trials {sgd}"],
    "trials_sgd_failed": ["trials {sgd} --state failed", "trials {sgd} --state pruned", "trials {sgd} --state queued"],
    "trials_front": ["trials {front}"],
    "trials_folds": ["trials {folds}"],
    "trials_broken": ["trials {broken}"],
    "trials_running": ["trials {running}", "trials {running}/2"],
    "trials_jsonl": ["trials {front} --jsonl"],
    "trial_completed": ["trials {sgd}/3"],
    "trial_failed": ["trials {sgd}/5"],
    "trial_with_two_attempts": ["trials {sgd}/7"],
    "trial_pruned": ["trials {sgd}/9"],
    "trial_with_files": ["trials {sgd}/23", "trials {sgd}/23 --json"],
    "trial_with_folds": ["trials {folds}/1", "trials {folds}/1 --json"],
    "trial_failed_json": ["trials {sgd}/5 --json"],
    "best": ["best {sgd}", "best {front}", "best {broken}", "best {pending}", "best {folds}"],
    "best_json": ["best {sgd} --json", "best {front} --json", "best {pending} --json"],
    "logs": ["logs {front}"],
    "logs_of_a_trial": ["logs {sgd}/7", "logs {sgd}/5", "logs {folds}/1", "logs {running}/2", "logs {running}/4"],
    "logs_with_options": [
        "logs {sgd} --tail 3", "logs {sgd} --grep Error", "logs {sgd}/3 --grep accuracy --tail 1",
        "logs {front} --since 2000-01-01T00:00:00Z --tail 1", "logs {front} --since 1s",
    ],
    "logs_json": ["logs {folds} --json"],
    "importance": ["importance {sgd}", "importance {broken}", "importance {pending}", "importance {folds}"],
    "importance_json": ["importance {sgd} --json", "importance {pending} --json"],
    "explain": ["explain {sgd}", "explain {front}", "explain {front} --metric latency"],
    "explain_json": ["explain {front} --json"],
    "explain_little": ["explain {broken}", "explain {pending}", "explain {folds}"],
    "compare": ["compare {sgd} {rerun}"],
    "compare_json": ["compare {sgd} {rerun} --json"],
    "diff": ["diff {sgd}/3 {sgd}/20"],
    "diff_json": ["diff {sgd}/3 {sgd}/20 --json"],
    "diff_of_the_same_code": ["diff {sgd}/3 {sgd}/4", "diff {sgd}/3 {rerun}/1"],
    "diff_without_code": ["diff {front}/1 {front}/2"],
    "export_csv": ["export {front}", "export {folds}"],
    "export_json": ["export {folds} --format json"],
    "get": ["get {sgd}/23 -o {home}", "get {sgd}/23 -o {home}/again --json", "get {sgd}/3", "get {front}/99"],
    "wait": ["wait {sgd}", "wait {broken}", "wait {front} --json"],
    "cluster_status": ["cluster status"],
    "cluster_status_json": ["cluster status --json"],
    "cluster_list": ["cluster list", "cluster list --json"],
    "version": ["version", "version --json", "--version"],
    "newest_of_the_folder": ["status /1", "trials /1", "best", "trials --state completed"],
    "no_command": [""],
    "wrong_commands": [
        "stauts", "rnu", "start", "unpause {paused}", "bogus", "help bogus", "cluster creat", "cluster zzz",
        "--watch status", "--versoin", "stauts --json",
    ],
    "wrong_options": [
        "status --waatch", "status --limit 0", "status --limit many", "status --watch --json", "status --all {sgd}",
        "trials {sgd} --state done", "export {sgd} --format cvs", "completion fsh", "logs {sgd} --tail -1",
        "logs {sgd} --since yesterday", "logs {sgd} --grep [", "extend {sgd} --budget none", "run --set budget",
        "cluster status -n", "server --host", "server --tls-kei x",
    ],
    "wrong_options_json": ["status --waatch --json", "logs {sgd} --since yesterday --json"],
    "wrong_experiments": [
        "status nothing", "status nothing --json", "best sgd", "trials {sgd}/99", "trials {sgd}/0", "trials {sgd}/x",
        "status {sgd}/3", "logs {sgd}/99", "get 3", "shell", "diff {sgd}/1 {sgd}", "diff {sgd}/1 {sgd}/99",
        "rerun {sgd}/3 --continue --detach", "compare {sgd}", "compare {sgd} {front}", "ui {sgd}/99",
        "importance {sgd} --metric fit_seconds", "importance {sgd} --metric nothing",
    ],
    "wrong_clusters": [
        "status --cluster moon", "status --all --cluster local", "run --cluster moon --dry-run",
        "cluster status -n moon", "cluster use moon", "cluster disconnect -n moon", "cluster create -f nothing.yml",
        "cluster release -n moon node-1",
    ],
    "wrong_files": ["run", "run -f nothing.yml", "test -f nothing.yml", "import nothing", "init", "init nothing.py"],
    "wrong_command_line_experiments": [
        "run x=0..1 -- python train.py", "run --minimize loss -- python train.py {{args}}",
        "run --minimize loss x=1..0 -- python train.py {{args}}", "run --minimize loss x=0..1",
        "run --minimize loss --maximize loss x=0..1 --dry-run -- python train.py {{args}}",
        "run --minimize loss x=0..1 --budget 0 -- python train.py {{args}}",
        "run --minimize loss x=0..1 y --dry-run -- python train.py {{args}}",
    ],
}  # fmt: skip
"""by the name of the expected file: command lines, in which {name} is the handle of an experiment"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, str]]:
    """The experiments, and the address of a server that answers for them."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "store").mkdir()
    (folder / "project").mkdir()
    lab = Lab(folder / "store", folder / "project")
    fill(lab)
    try:
        with serve(lab.world.core) as url:
            yield lab, url
    finally:
        lab.world.close()


@pytest.mark.parametrize("name", CASES)
def test_output(
    name: str, golden: Golden, run: Run, served: tuple[Lab, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab, url = served
    _at(lab, url, monkeypatch)
    golden.check(f"{name}.txt", transcript(CASES[name], run, lab, tmp_path))


# commands that change something

CONTROL = [
    "pause {a}", "pause {a}", "pause {a} --now", "status {a}", "resume {a}", "resume {a} --json", "extend {a}",
    "extend {a} --budget 5 --parallelism 2", "extend {a} --budget 1", "stop {a}/2", "stop {a}/2 --json", "trials {a}",
    "stop {a}", "stop {a} --json", "status {a}", "resume {a}", "rerun {b}/1 --detach", "rerun {b}/1 --detach --json",
    "extend {b} --budget 2", "delete {b}", "delete {b} --yes", "delete {b} --yes --json", "status",
    "status {b}", "delete nothing --yes",
]  # fmt: skip


def test_control(golden: Golden, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    lab = Lab(tmp_path, tmp_path / "project")
    half: dict[str, Any] = {"parallelism": 1, "try_first": [{"x": number / 8} for number in range(4)]}
    lab.create("a", loss, 1, budget=4, **half)
    lab.begin(*lab.world.lease()[0])
    lab.create("b", loss, 1, budget=1, **half | {"try_first": [{"x": 0.5}]})
    lab.stop_clock()
    try:
        with serve(lab.world.core) as url:
            _at(lab, url, monkeypatch)
            golden.check("control.txt", transcript(CONTROL, run, lab, tmp_path, seconds=1.0))
    finally:
        lab.world.close()


def test_every_expected_file_is_used(golden: Golden) -> None:
    golden.check_names(f"{name}.txt" for name in (*COMMANDS, *CASES, "control"))


def _at(lab: Lab, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to the folder of the experiments, with their server, at the time that it is there."""
    monkeypatch.setenv("ORCHESTUNE_SERVER", url)
    monkeypatch.setenv("ORCHESTUNE_TOKEN", TOKEN)
    monkeypatch.setattr(clock, "now", lambda: lab.world.clock.wall)
    monkeypatch.chdir(lab.folder)
