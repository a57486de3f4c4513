"""The reference page of `import orchestune`, from its docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import orchestune
from orchestune import errors
from orchestune.sdk.plots import Plots

_OPENING = """\
# Python: `import orchestune`

Every name below, typed, with an example that runs as a test; those of methods go on where the one of their class ends.
Importing the package takes a millisecond, and what is used is loaded when it is used. [How to use
it](../how-to/python.md) puts the names together.
"""
_SECTIONS = {
    "Inside a trial": ("params", "Params", "report", "should_stop", "checkpoint_dir", "log_artifact"),
    "Experiments": ("tune", "tune_async", "Experiment", "Trial", "OpenTrial"),
    "A search in this process": ("Optimizer",),
}


def reference_markdown(elsewhere: Mapping[str, Mapping[str, Any]]) -> str:
    """The page; `elsewhere` has sections of what is imported from other modules, by the names that are written for it.

    KeyError where a public name stands in no section.
    """
    parts = [_OPENING]
    for title, names in _SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _entry(f"orchestune.{name}", getattr(orchestune, name))
    figures = {"Figures": {"experiment.plot": Plots}}
    for title, values in {**figures, **elsewhere, "Errors": {"orchestune.errors": errors}}.items():
        parts.append(f"## {title}\n")
        for name, value in values.items():
            parts += _entry(name, value)
    missing = {*orchestune.__all__} - {"__version__"} - {name for names in _SECTIONS.values() for name in names}
    if missing:
        raise KeyError(f"in no section of the reference: {', '.join(sorted(missing))}")
    return "\n".join(parts)


def _entry(name: str, value: Any) -> Iterator[str]:
    shown = not isinstance(value, ModuleType) and not (inspect.isclass(value) and issubclass(value, (dict, Plots)))
    call = _signature(value) if shown else ""
    yield f"### `{name}`\n"
    if call:
        yield f"```python\n{name}{call}\n```\n"
    yield f"{_text(inspect.getdoc(value) or '')}\n"
    members = [
        (member, getattr(value, member)) for member in vars(value) if not member.startswith("_")
    ] if inspect.isclass(value) and not issubclass(value, dict) else []  # fmt: skip
    for member, found in members:
        if callable(found):
            yield f"**`{member}{_signature(found)}`** {_text(inspect.getdoc(found) or '')}\n"
        elif isinstance(found, property):
            yield f"**`{member}`** {_text(inspect.getdoc(found) or '')}\n"


def _signature(value: Any) -> str:
    signature = inspect.signature(value)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=kept)).replace("'", "")


def _text(doc: str) -> str:
    """A docstring as Markdown: its drawings and examples become blocks of code."""
    doc = re.sub(r"(?m)^((?:    .*\n)+)", r"```\n\1```\n", doc)
    return re.sub(r"(?ms)^(>>> .*?)(?=\n\n|\Z)", r"```python\n\1\n```", doc)
