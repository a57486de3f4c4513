"""Which document an experiment is read from: a file, the words of the command line, or one over the other."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from orchestune.cli.experiments.command_words import DEFAULT_FILE, OTHER_FILES, SETTINGS, TEXTS
from orchestune.config.experiment_file import Loaded, load, without_file
from orchestune.config.sources.command_line import MISSING
from orchestune.config.sources.description import DescribedOption, Description, Goal
from orchestune.errors import BadInput, UsageError


def loaded_from(args: argparse.Namespace) -> Loaded:
    """The file that is named, or the usual one where the words describe no experiment, with them put over it."""
    file, overrides, words = args.file, args.overrides, described(args)
    changed = {override.partition("=")[0].strip() for override in overrides}
    if twice := next((setting for setting in words.settings if setting.key in changed), None):
        raise UsageError(f"{twice.option} and --set {twice.key} are the same value", "leave one of them out")
    usual = next((path for path in (DEFAULT_FILE, *OTHER_FILES) if path.exists()), None)
    if file is None and not words.whole:
        file = usual
    if file is not None:
        return load(file, overrides, described=words)
    if not words.whole and not words.command:
        return load(DEFAULT_FILE)
    note = f"{usual} is not read; with `-f {usual}` the rest comes from there"
    try:
        loaded = without_file(words, Path(), overrides)
    except BadInput as exc:
        if usual is not None and any(problem.message == MISSING for problem in exc.problems):
            raise BadInput(exc.problems, note) from exc
        raise
    if usual is None:
        return loaded
    return replace(loaded, notes=(*loaded.notes, note))


def described(args: argparse.Namespace) -> Description:
    """What the arguments say."""
    goals = tuple(Goal(*goal) for goal in args.goals)
    settings = tuple(
        DescribedOption(f"--{option}", key, value, option in TEXTS)
        for option, (key, _, _) in SETTINGS.items()
        if (value := getattr(args, f"set_{option}")) is not None
    )
    return Description(tuple(args.spaces), goals, tuple(args.words), settings, args.once)
