"""Load the document of an experiment: from a file, from the command line, or from a file with overrides."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from orchestune.cli.experiments.command_words import DEFAULT_FILE, OTHER_FILES, PLAIN_TEXT_OPTIONS, SETTINGS
from orchestune.config.experiment_file import Loaded, load, without_file
from orchestune.config.sources.command_line import MISSING
from orchestune.config.sources.description import DescribedOption, Description, Goal
from orchestune.errors import BadInput, UsageError
from orchestune.system.project_root import is_planted


def loaded_from(args: argparse.Namespace) -> Loaded:
    """Load the named file, or the default one if the arguments describe no experiment.

    The arguments override what the file says.
    """
    file, overrides, words = args.file, args.overrides, described(args)
    changed = {override.partition("=")[0].strip() for override in overrides}
    if duplicate := next((setting for setting in words.settings if setting.key in changed), None):
        raise UsageError(f"{duplicate.option} and --set {duplicate.key} set the same value", "remove one of them")
    default = next((path for path in (DEFAULT_FILE, *OTHER_FILES) if path.exists()), None)
    if file is None and not words.whole and default is not None:
        if is_planted(default):
            text = f"'{default}' belongs to another user, in a folder where every user can create files"
            raise UsageError(text, f"check it, then name it: -f {default}")
        file = default
    if file is not None:
        return load(file, overrides, described=words)
    if not words.whole and not words.command:
        return load(DEFAULT_FILE)
    note = (
        f"'{default}' is ignored, since the arguments describe an experiment; add `-f {default}` to use it for the rest"
    )
    try:
        loaded = without_file(words, Path(), overrides)
    except BadInput as exc:
        if default is not None and any(problem.message == MISSING for problem in exc.problems):
            raise BadInput(exc.problems, note) from exc
        raise
    if default is None:
        return loaded
    return replace(loaded, notes=(*loaded.notes, note))


def described(args: argparse.Namespace) -> Description:
    """Convert the arguments into a description."""
    goals = tuple(Goal(*goal) for goal in args.goals)
    settings = tuple(
        DescribedOption(
            f"--{option}", key, _for_file(args, value) if option == "root" else value, option in PLAIN_TEXT_OPTIONS
        )
        for option, (key, _, _) in SETTINGS.items()
        if (value := getattr(args, f"set_{option}")) is not None
    )
    return Description(tuple(args.spaces), goals, tuple(args.words), settings, args.once)


def _for_file(args: argparse.Namespace, path: str) -> str:
    """Return a path of the command line relative to the experiment file, or to the one that `init` writes."""
    file: Path | None = getattr(args, "file", None) or getattr(args, "output", None)
    folder = os.path.realpath(file.absolute().parent if file else os.curdir)
    return os.path.relpath(os.path.realpath(os.path.expanduser(path)), folder)
