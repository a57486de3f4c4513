"""The command that runs one configuration: the one that was typed, without the sweep."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from omegaconf import ListConfig, OmegaConf

from orchestune.integrations.hydra.overrides import literally

_KEPT = ("config_path", "config_name", "config_dir")
_OURS = ("hydra/sweeper=", "hydra.sweeper.", "hydra.sweep.", "hydra.mode=")
TRIAL = "${oc.env:ORCHESTUNE_TRIAL}"
"""the number of a trial, in a configuration that is read in it"""


def typed(folder: Path) -> list[str]:
    """The program with what it was told beside overrides, for a copy of `folder`, where it was typed."""
    options = get_args_parser().parse_args(sys.argv[1:])
    words = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    if words and words[-1] == sys.argv[0]:
        words[-1] = _within(words[-1], folder)
    found = [sys.executable, *words]
    for name in _KEPT:
        value = getattr(options, name)
        if value is not None:
            found.append(f"--{name.replace('_', '-')}={_within(value, folder) if name == 'config_dir' else value}")
    return [literally(word) for word in found]


def settings(given: ListConfig, sweep_dir: Path | None, metrics: Sequence[str]) -> list[str]:
    """Overrides of Hydra's own configuration: those that were given, and what makes a trial of a run.

    With `sweep_dir` the output folder of a trial is the one of its number in there.
    """
    as_typed: list[str] = OmegaConf.to_container(given)  # type: ignore[assignment]  # `${…}` is for the trial to resolve
    found = [word for word in as_typed if not word.lstrip("+").startswith(_OURS)]
    found += ["hydra.mode=RUN", f"hydra.job.num={TRIAL}"]
    if sweep_dir is not None:
        found.append(f"hydra.run.dir='{sweep_dir}/{TRIAL}'")
    report = "hydra.callbacks.orchestune"
    found.append(f"++{report}._target_=orchestune.integrations.hydra.returned.Returned")
    found.append(f"++{report}.metrics=[{','.join(repr(name) for name in metrics)}]")
    return [literally(word) for word in found]


def _within(path: str, folder: Path) -> str:
    """A path as it leads to the same file from a copy of the folder."""
    absolute = os.path.abspath(path)
    return os.path.relpath(absolute, folder) if Path(absolute).is_relative_to(folder) else absolute
