"""A right file, and ways to break it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.config.experiment_file import Loaded, parse
from orchestune.errors import BadInput

GOOD = """\
name: SGD
run: python model.py {args}
parameters:
  alpha: 1e-6..0.1 log
metrics:
  accuracy: maximize
budget: 40
"""
ALPHA = "1e-6..0.1 log"


def read(text: str, *overrides: str, environ: dict[str, str] | None = None) -> Loaded:
    return parse(text, "experiment.yml", overrides, environ)


def changed(old: str, new: str) -> str:
    """The right file with a part replaced."""
    assert old in GOOD
    return GOOD.replace(old, new)


def with_lines(lines: str) -> str:
    """The right file with more at its end (from line 8 on)."""
    return GOOD + lines + "\n"


def problems(text: str, overrides: Sequence[str] = ()) -> list[str]:
    """The mistakes as a user sees them; empty for a correct file."""
    try:
        parse(text, "experiment.yml", overrides)
    except BadInput as exc:
        return [str(problem) for problem in exc.problems]
    return []
