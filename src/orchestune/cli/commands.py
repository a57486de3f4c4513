"""The commands: where each is defined, and its line in the list of commands.

Kept apart from the commands' modules, so that `orchestune --help` loads none of them.
"""

from __future__ import annotations

from typing import NamedTuple


class CliCommand(NamedTuple):
    """A command of the first level."""

    module: str
    """module below `orchestune.cli`, whose function `add` adds the command"""
    help: str


COMMANDS = {
    "init": CliCommand(
        "develop.init", "write an experiment file from what a script says of itself, or from another tool's file"
    ),
    "run": CliCommand("experiments.run", "start an experiment and follow it"),
    "test": CliCommand("develop.test", "run one configuration now, and show which metrics were understood"),
    "watch": CliCommand("develop.watch", "run `test` again on every save"),
    "status": CliCommand("inspect.status", "every experiment, or one with its workers and why nothing moves"),
    "logs": CliCommand("inspect.logs", "what the trials print, one colour per worker"),
    "wait": CliCommand("experiments.wait", "wait until an experiment has ended, with the exit code of run"),
    "stop": CliCommand("experiments.control", "end an experiment, or one of its trials; what is finished stays"),
    "pause": CliCommand("experiments.control", "let running trials end and start no more"),
    "resume": CliCommand("experiments.control", "go on with a paused experiment"),
    "extend": CliCommand(
        "experiments.control", "give an experiment, also a finished one, another budget or parallelism"
    ),
    "delete": CliCommand("experiments.control", "stop an experiment and hide it"),
    "best": CliCommand("inspect.trials", "the best trial so far, or the Pareto front"),
    "trials": CliCommand("inspect.trials", "every trial of an experiment, or one with its attempts and files"),
    "importance": CliCommand("inspect.importance", "which parameters matter"),
    "explain": CliCommand("inspect.importance", "measured facts about a search, in plain words"),
    "compare": CliCommand("inspect.compare", "experiments side by side"),
    "diff": CliCommand("inspect.diff", "what is different between two trials: code, configuration, environment"),
    "get": CliCommand("inspect.get", "fetch the files that a trial left (keep:)"),
    "try": CliCommand(
        "develop.try_changes", "run one trial of the changed code beside an experiment, and hand the code over to it"
    ),
    "rerun": CliCommand("experiments.rerun", "repeat a trial's configuration, seed and code as a new experiment"),
    "shell": CliCommand(
        "develop.shell", "a shell in a fresh copy of a trial's folder, with its environment and parameters"
    ),
    "export": CliCommand("inspect.export", "every trial as a table for other programs"),
    "import": CliCommand("inspect.archive", "take in what `export --all` wrote"),
    "cluster": CliCommand("clusters.group", "make, connect, look at, upgrade and remove clusters"),
    "ui": CliCommand("inspect.ui", "open the web pages, signed in"),
    "audit": CliCommand("inspect.audit", "show who signed in, and what was granted, deleted or refused"),
    "server": CliCommand("server", "run the server in the foreground, for a team or a machine of its own"),
    "completion": CliCommand(
        "completion", "print what makes a shell complete commands, options, experiments and clusters"
    ),
    "doctor": CliCommand("doctor", "check this machine and its server, and say what to do about each finding"),
    "version": CliCommand("version", "print the version"),
}
"""in the order of the help"""

ELSEWHERE = {
    **dict.fromkeys(("agent", "create", "optimize", "start", "submit", "sweep", "tune"), "run"),
    **dict.fromkeys(("list", "ls", "ps", "show"), "status"),
    **dict.fromkeys(("cancel", "kill"), "stop"),
    **dict.fromkeys(("continue", "unpause"), "resume"),
    "dashboard": "ui",
    "rm": "delete",
}
"""what other tools call such a command"""
