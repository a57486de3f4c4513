"""The words of `run` and `test` that stand for a file: ranges, goals, options, and the command after `--`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from orchestune.errors import UsageError
from orchestune.system.private import open_for_writing

DEFAULT_FILE = Path("experiment.yml")
OTHER_FILES = (Path("experiment.yaml"), Path("orchestrate.yml"), Path("orchestrate.yaml"))
"""read where the usual one is not there"""
SETTINGS = {
    "budget": ("budget", "N", "trials that finish"),
    "parallel": ("parallelism", "N", "trials that run at the same time at most"),
    "engine": ("engine", "NAME", "what suggests configurations: auto, gp, tpe, cma, random, grid, ..."),
    "warm-start": ("warm_start", "EXP|FILE", "results to learn from before the first trial; several as '[EXP, FILE]'"),
    "config": ("config", "FILE", "a configuration file to fill; {config} is each trial's copy"),
    "timeout": ("timeout", "TIME", "how long a trial may take, such as 30s, 20m or 2h"),
    "name": ("name", "TEXT", "what the experiment is called (default: the folder's name)"),
    "notify": ("notify", "URL", "who is told at the end, such as https://example.org/hook; env:NAME has it from there"),
    "image": ("image", "IMAGE", "the image whose programs trials use, in containers"),
    "cpu": ("resources.cpu", "N", "cores for each trial"),
    "memory": ("resources.memory", "SIZE", "memory for each trial, such as 2Gi"),
    "gpu": ("resources.gpu", "N", "GPUs for each trial"),
    "seed": ("seed", "N", "the same seed at --parallel 1 gives the same configurations"),
}
SAVED = "`orchestune run` starts this experiment, `orchestune test` tries one configuration of it."
TEXTS = ("name", "image", "config", "notify")


class _Goals(argparse.Action):
    """Collects `--minimize` and `--maximize` in the order in which they stand: the first metric decides."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        goal = str(self.const)
        namespace.goals = [*namespace.goals, (f"--{goal}", str(values), goal)]


def add_description(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what a file would say."""
    group = parser.add_argument_group(
        "in the place of a file, or of its keys",
        "NAME=RANGE is 1e-5..1e-1:log, 2..8, 0..1:step=0.25, 1..4:float, adam,sgd or true,false."
        " The command stands last, after --; {args}, {hydra} and {NAME} are replaced in it.",
    )
    group.add_argument("spaces", nargs="*", metavar="NAME=RANGE", help="a parameter and what is tried for it")
    for goal in ("minimize", "maximize"):
        group.add_argument(
            f"--{goal}", action=_Goals, const=goal, dest="goals", default=[], metavar="METRIC",
            help="a metric that the command reports; may be repeated, the first one decides",
        )  # fmt: skip
    parser.set_defaults(words=(), once=False)
    for option, (_, metavar, text) in SETTINGS.items():
        names = ["--parallel", "--parallelism"] if option == "parallel" else [f"--{option}"]
        group.add_argument(*names, dest=f"set_{option}", metavar=metavar, help=text)


def add_saving(parser: argparse.ArgumentParser) -> None:
    """`--save` and `--force`."""
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write what was said as an experiment file; with --dry-run only that"
    )
    parser.add_argument("--force", action="store_true", help="let --save replace a file")


def write(path: Path, folder: Path, text: str, force: bool) -> None:
    """Write an experiment file into the folder of its code. UsageError where it must not be written."""
    if os.path.realpath(path.absolute().parent) != os.path.realpath(folder):  # also of links that lead to each other
        raise UsageError(
            f"{path} is not in the folder of the code, {folder}", "a file runs the code of the folder in which it lies"
        )
    try:
        with open_for_writing(path) if force else path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists", "choose another name, or replace it with --force") from None
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
