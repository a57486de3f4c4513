"""The commands: where each is defined, and its line in the list of commands.

Kept apart from the commands' modules, so that `orchestune --help` loads none of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command of the first level."""

    module: str
    """in `orchestune.cli`; it adds the command, maybe with others, by its `add`"""
    help: str


COMMANDS = {
    "init": Command("init", "write an experiment file from what a script says of itself, or from another tool's file"),
    "run": Command("run", "start an experiment and follow it"),
    "test": Command("test", "run one configuration now, and show which metrics were understood"),
    "watch": Command("watch", "run `test` again on every save"),
    "status": Command("status", "every experiment, or one with its workers and why nothing moves"),
    "logs": Command("logs", "what the trials print, one colour per worker"),
    "wait": Command("wait", "wait until an experiment has ended, with the exit code of run"),
    "stop": Command("control", "end an experiment, or one of its trials; what is finished stays"),
    "pause": Command("control", "let running trials end and start no more"),
    "resume": Command("control", "go on with a paused experiment"),
    "extend": Command("control", "give an experiment, also a finished one, another budget or parallelism"),
    "delete": Command("control", "stop an experiment and hide it"),
    "best": Command("trials", "the best trial so far, or the Pareto front"),
    "trials": Command("trials", "every trial of an experiment, or one with its attempts and files"),
    "importance": Command("insight", "which parameters matter"),
    "explain": Command("insight", "measured facts about a search, in plain words"),
    "compare": Command("comparing", "experiments side by side"),
    "diff": Command("diff", "what is different between two trials: code, configuration, environment"),
    "get": Command("files", "fetch the files that a trial left (keep:)"),
    "try": Command(
        "try_changed", "run one trial of the changed code beside an experiment, and hand the code over to it"
    ),
    "rerun": Command("rerun", "repeat a trial's configuration, seed and code as a new experiment"),
    "shell": Command("shell", "a shell in a fresh copy of a trial's folder, with its environment and parameters"),
    "export": Command("export", "every trial as a table for other programs"),
    "import": Command("archive", "take in what `export --all` wrote"),
    "cluster": Command("cluster", "make, connect, look at, upgrade and remove clusters"),
    "ui": Command("ui", "open the web pages, signed in"),
    "audit": Command("audit", "show who signed in, and what was granted, deleted or refused"),
    "server": Command("server", "run the server in the foreground, for a team or a machine of its own"),
    "completion": Command(
        "completion", "print what makes a shell complete commands, options, experiments and clusters"
    ),
    "doctor": Command("doctor", "check this machine and its server, and say what to do about each finding"),
    "version": Command("version", "print the version"),
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
