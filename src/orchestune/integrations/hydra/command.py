"""The command of one trial: the command line of the sweep without its sweep overrides."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from omegaconf import ListConfig, OmegaConf

from orchestune.integrations.hydra.overrides import escape_braces

_FORWARDED_OPTIONS = ("config_path", "config_name", "config_dir")
_SWEEP_OVERRIDES = ("hydra/sweeper=", "hydra.sweeper.", "hydra.sweep.", "hydra.mode=")
TRIAL = "${oc.env:ORCHESTUNE_TRIAL}"
"""interpolation of the trial's number, for configurations that are read in the trial"""


def program_command(folder: Path) -> list[str]:
    """Return the program with its options except overrides, for a copy of `folder`, the current folder."""
    options = get_args_parser().parse_args(sys.argv[1:])
    words = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    if words and words[-1] == sys.argv[0]:
        words[-1] = _within(words[-1], folder)
    command = [sys.executable, *words]
    for name in _FORWARDED_OPTIONS:
        value = getattr(options, name)
        if value is not None:
            command.append(f"--{name.replace('_', '-')}={_within(value, folder) if name == 'config_dir' else value}")
    return [escape_braces(word) for word in command]


def settings(hydra_overrides: ListConfig, sweep_dir: Path | None, metrics: Sequence[str]) -> list[str]:
    """Return the overrides of Hydra's own configuration for a trial.

    They are those of the command line, and those that turn a run into a trial.

    With `sweep_dir`, the output folder of a trial is the subfolder of its number.
    """
    as_typed: list[str] = OmegaConf.to_container(hydra_overrides)  # type: ignore[assignment]  # `${…}` is for the trial to resolve
    overrides = [word for word in as_typed if not word.lstrip("+").startswith(_SWEEP_OVERRIDES)]
    overrides += ["hydra.mode=RUN", f"hydra.job.num={TRIAL}"]
    if sweep_dir is not None:
        overrides.append(f"hydra.run.dir='{sweep_dir}/{TRIAL}'")
    report = "hydra.callbacks.orchestune"
    overrides.append(f"++{report}._target_=orchestune.integrations.hydra.returned.Returned")
    overrides.append(f"++{report}.metrics=[{','.join(repr(name) for name in metrics)}]")
    return [escape_braces(word) for word in overrides]


def _within(path: str, folder: Path) -> str:
    """Return the path that leads to the same file from a copy of the folder."""
    absolute = os.path.abspath(path)
    return os.path.relpath(absolute, folder) if Path(absolute).is_relative_to(folder) else absolute
