"""The reference page of `import orchestune`, from its docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import orchestune

_OPENING = """\
# Python: `import orchestune`

Every name below, typed, with an example that runs as a test. Importing the package takes a millisecond, and what is
used is loaded when it is used. [How to use it](../how-to/python.md) puts the names together.
"""
_SECTIONS = {
    "Inside a trial": ("params", "Params", "report", "should_stop", "checkpoint_dir", "log_artifact"),
    "Experiments": ("tune", "tune_async", "Experiment", "Trial", "OpenTrial"),
    "A search in this process": ("Optimizer",),
}


def reference_markdown() -> str:
    """The page. KeyError where a public name stands in no section."""
    parts = [_OPENING]
    for title, names in _SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _entry(f"orchestune.{name}", getattr(orchestune, name))
    missing = {*orchestune.__all__} - {"__version__"} - {name for names in _SECTIONS.values() for name in names}
    if missing:
        raise KeyError(f"in no section of the reference: {', '.join(sorted(missing))}")
    return "\n".join(parts)


def _entry(name: str, value: Any) -> Iterator[str]:
    call = "" if inspect.isclass(value) and issubclass(value, dict) else _signature(value)
    yield f"### `{name}`\n"
    if call:
        yield f"```python\n{name}{call}\n```\n"
    yield f"{_text(inspect.getdoc(value) or '')}\n"
    members = [
        (member, getattr(value, member)) for member in vars(value) if not member.startswith("_")
    ] if inspect.isclass(value) and call else []  # fmt: skip
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
    """A docstring as Markdown: its examples become blocks of code."""
    return re.sub(r"(?ms)^(>>> .*?)(?=\n\n|\Z)", r"```python\n\1\n```", doc)
