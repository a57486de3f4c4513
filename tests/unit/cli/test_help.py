"""The help: an example everywhere, quick, and the same as in the documentation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from orchestune.cli import commands
from orchestune.cli.main import build_parser, parser_commands
from tests.unit.cli.conftest import SOURCE, Result

NAMES = (
    "init run test watch status logs wait stop pause resume extend delete best trials importance explain compare diff"
    " get try rerun shell export report import"
)
COMMANDS = [*NAMES.split(), "cluster", "ui", "login", "logout", "audit", "server", "completion", "doctor", "version"]


def test_every_command_is_there() -> None:
    assert sorted(parser_commands(build_parser())) == sorted(COMMANDS)


@pytest.mark.parametrize("group", [[], ["cluster"]])
def test_what_a_command_does_stands_beside_its_name(group: list[str], cli: Callable[..., Result]) -> None:
    parser = build_parser(group)
    names = parser_commands(parser_commands(parser)["cluster"] if group else parser)
    listed = cli(*group, "--help").out.splitlines()
    alone = [name for name in names if name in (line.strip() for line in listed)]
    assert alone == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "server"])
def test_the_help_of_a_command_shows_an_example(name: str, cli: Callable[..., Result]) -> None:
    result = cli(name, "--help")
    assert result.code == 0
    assert f"orchestune {name}" in result.out.split("example:")[1]


@pytest.mark.parametrize("name", sorted(parser_commands(parser_commands(build_parser(["cluster"]))["cluster"])))
def test_the_help_of_a_command_about_clusters_shows_an_example(name: str, cli: Callable[..., Result]) -> None:
    result = cli("cluster", name, "--help")
    assert result.code == 0
    assert f"orchestune cluster {name}" in result.out.split("example:")[1]


@pytest.mark.parametrize("words", [[], ["status"], ["cluster", "create"], ["server"]])
def test_help_before_a_command_is_the_option_behind_it(words: list[str], cli: Callable[..., Result]) -> None:
    help_output = cli("help", *words)
    assert help_output.code == 0
    assert help_output == cli(*words, "--help")
    assert help_output.out.startswith(f"usage: {' '.join(['orchestune', *words])} ")


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter has after `statement`, in which `m` is the command line."""
    code = f"import sys; import orchestune.cli.main as m; {statement}; print('loaded:', *sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    return set(done.stdout.partition("loaded:")[2].split())


def test_the_list_of_commands_is_that_of_their_own_parsers(cli: Callable[..., Result]) -> None:
    listed = cli("--help").out
    assert listed == build_parser().format_help()
    assert {name for name in COMMANDS if f"\n    {name}" not in listed} == set()


def test_the_list_of_commands_loads_no_command() -> None:
    loaded = loaded_by("m._list_parser()")
    assert {f"orchestune.cli.{command.module}" for command in commands.COMMANDS.values()} & loaded == {
        f"orchestune.cli.{name}" for name in ("server", "version")
    }


def test_the_command_line_loads_nothing_slow() -> None:
    loaded = loaded_by("m.build_parser()")
    slow = {
        "httpx",
        "sqlalchemy",
        "fastapi",
        "uvicorn",
        "optuna",
        "scipy",
        "numpy",
        "ruamel.yaml",
        "kubernetes",
        "requests",
        "urllib3",
        "pathspec",
        "pydantic",
        "asyncio",
    }
    assert loaded & slow == set()
    assert {name for name in loaded if name.startswith(("orchestune.config", "orchestune.server"))} == set()
