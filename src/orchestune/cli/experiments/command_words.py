"""Arguments of `run` and `test` that replace an experiment file: ranges, goals, options, and the command after `--`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError
from orchestune.system.private import open_for_writing

DEFAULT_FILE = Path("experiment.yml")
OTHER_FILES = (Path("experiment.yaml"), Path("orchestrate.yml"), Path("orchestrate.yaml"))
"""read if the usual one does not exist"""
SETTINGS = {
    "budget": ("budget", "N", "number of trials to finish"),
    "parallel": ("parallelism", "N", "maximum number of trials running at the same time"),
    "engine": ("engine", "NAME", "search engine: auto, gp, tpe, cma, random, grid, ..."),
    "warm-start": (
        "warm_start",
        "EXP|FILE",
        "start the search from the results of an experiment or file; several as '[EXP, FILE]'",
    ),
    "config": ("config", "FILE", "configuration file to fill in; {config} is the path of each trial's copy"),
    "timeout": ("timeout", "TIME", "time limit of a trial, such as 30s, 20m or 2h"),
    "name": ("name", "TEXT", "name of the experiment (default: the folder's name)"),
    "notify": (
        "notify",
        "URL",
        "webhook to call at the end, such as https://example.org/hook, or env:NAME to read it from a variable",
    ),
    "root": (
        "code.root",
        "DIR",
        "folder of the project, which each trial gets (default: the nearest with .git or another mark)",
    ),
    "image": ("image", "IMAGE", "container image for the trials"),
    "cpu": ("resources.cpu", "N", "CPU cores per trial"),
    "memory": ("resources.memory", "SIZE", "memory per trial, such as 2Gi"),
    "gpu": ("resources.gpu", "N", "GPUs per trial"),
    "seed": ("seed", "N", "random seed; with --parallel 1 the same seed gives the same configurations"),
}
"""option → key of the file, metavar, help"""
SAVED = "`orchestune run` starts this experiment, `orchestune test` runs one trial of it."
"""comment at the top of a saved file"""
PLAIN_TEXT_OPTIONS = ("name", "image", "config", "notify", "root")
"""options whose values are text as they stand; those of the others are YAML"""


class _Goals(argparse.Action):
    """Collects `--minimize` and `--maximize` in the order of the command line: the first metric decides."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        goal = str(self.const)
        namespace.goals = [*namespace.goals, (f"--{goal}", str(values), goal)]


def add_description(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that describe an experiment without a file."""
    group = parser.add_argument_group(
        "experiment without a file, or overrides of its keys",
        "NAME=RANGE is 1e-5..1e-1:log, 2..8, 0..1:step=0.25, 1..4:float, adam,sgd or true,false."
        " The command comes last, after --; {args}, {hydra} and {NAME} are replaced in it.",
    )
    group.add_argument("spaces", nargs="*", metavar="NAME=RANGE", help="a parameter and its range or choices")
    for goal in ("minimize", "maximize"):
        group.add_argument(
            f"--{goal}", action=_Goals, const=goal, dest="goals", default=[], metavar="METRIC",
            help="metric that the command reports; repeatable, the first one decides",
        )  # fmt: skip
    parser.set_defaults(words=(), once=False)
    for option, (_, metavar, text) in SETTINGS.items():
        names = ["--parallel", "--parallelism"] if option == "parallel" else [f"--{option}"]
        group.add_argument(*names, dest=f"set_{option}", metavar=metavar, help=text)


def add_saving(parser: argparse.ArgumentParser) -> None:
    """Add `--save` and `--force`."""
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="save the arguments as an experiment file; with --dry-run without starting it",
    )
    parser.add_argument("--force", action="store_true", help="let --save overwrite a file")


def write(path: Path, folder: Path, text: str, force: bool) -> None:
    """Write an experiment file into the folder of its code. Raises UsageError if it must not be written there."""
    if os.path.realpath(path.absolute().parent) != os.path.realpath(folder):  # realpath also accepts cyclic links
        raise UsageError(
            f"'{path}' is outside the folder of the code, '{folder}'",
            "save it there: an experiment file runs the code of its own folder",
        )
    try:
        with open_for_writing(path) if force else path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"'{path}' already exists", "choose another name, or overwrite it with --force") from None
    except OSError as exc:
        raise UsageError(f"cannot write '{path}': {exc.strerror}") from exc
