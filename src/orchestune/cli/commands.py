"""Table of the commands: the module that defines each one, and its line in `orchestune --help`.

The table is separate from the modules so that `orchestune --help` imports none of them.
"""

from __future__ import annotations

from typing import NamedTuple


class CliCommand(NamedTuple):
    """A command of the first level."""

    module: str
    """module below `orchestune.cli`; its function `add` registers the command"""
    help: str


COMMANDS = {
    "init": CliCommand(
        "develop.init", "write an experiment file from a script's options or another tool's configuration"
    ),
    "run": CliCommand("experiments.run", "start an experiment and follow it"),
    "test": CliCommand("develop.test", "run one trial now, and show which metrics were parsed"),
    "watch": CliCommand("develop.watch", "rerun `test` on every save"),
    "status": CliCommand("inspect.status", "list experiments, or show one with its workers and why it is pending"),
    "logs": CliCommand("inspect.logs", "print the output of trials, one colour per worker"),
    "wait": CliCommand("experiments.wait", "wait until an experiment has ended, and exit with the code of `run`"),
    "stop": CliCommand("experiments.control", "stop an experiment or one trial; finished trials are kept"),
    "pause": CliCommand("experiments.control", "let running trials finish and start no more"),
    "resume": CliCommand("experiments.control", "resume a paused or stopped experiment"),
    "extend": CliCommand(
        "experiments.control", "raise the budget or change the parallelism of an experiment, running or finished"
    ),
    "delete": CliCommand("experiments.control", "stop an experiment and hide it"),
    "best": CliCommand("inspect.trials", "show the best trial so far, or the Pareto front"),
    "trials": CliCommand("inspect.trials", "list the trials of an experiment, or show one with its attempts and files"),
    "importance": CliCommand("inspect.importance", "show how much each parameter matters"),
    "explain": CliCommand("inspect.importance", "describe what the search has shown, in plain words"),
    "compare": CliCommand("inspect.compare", "compare experiments side by side"),
    "diff": CliCommand("inspect.diff", "show the differences between two trials: code, configuration, environment"),
    "get": CliCommand("inspect.get", "download the files of a trial (`keep:`)"),
    "try": CliCommand(
        "develop.try_changes",
        "run one trial of changed code beside an experiment, and switch the experiment to it",
    ),
    "rerun": CliCommand("experiments.rerun", "repeat a trial's configuration, seed and code as a new experiment"),
    "shell": CliCommand(
        "develop.shell", "open a shell in a fresh copy of a trial's folder, with its environment and parameters"
    ),
    "export": CliCommand("inspect.export", "export the trials as a CSV or JSON table"),
    "report": CliCommand(
        "inspect.report", "write one HTML file with plots, best configuration, cost and failures, to share"
    ),
    "import": CliCommand("inspect.archive", "import what `export --all` wrote"),
    "cluster": CliCommand("clusters.group", "create, connect, inspect, upgrade and remove clusters"),
    "ui": CliCommand("inspect.ui", "open the web interface, signed in"),
    "login": CliCommand("login", "sign in at a server for a team, with its identity provider"),
    "logout": CliCommand("login", "end the sign-in at a server"),
    "audit": CliCommand("inspect.audit", "show who signed in, and what was granted, deleted or refused"),
    "server": CliCommand("server", "run the server in the foreground, for a team or on a dedicated host"),
    "completion": CliCommand(
        "completion", "print a script that makes a shell complete commands, options, experiments and clusters"
    ),
    "doctor": CliCommand("doctor", "check this machine and its server, and suggest a fix for each problem"),
    "version": CliCommand("version", "print the version"),
}
"""in the order in which `--help` lists them"""

SYNONYMS = {
    **dict.fromkeys(("agent", "create", "optimize", "start", "submit", "sweep", "tune"), "run"),
    **dict.fromkeys(("list", "ls", "ps", "show"), "status"),
    **dict.fromkeys(("cancel", "kill"), "stop"),
    **dict.fromkeys(("continue", "unpause"), "resume"),
    "dashboard": "ui",
    "rm": "delete",
}
"""names that other tools use for a command; only for the hint after an unknown command"""
