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
from orchestune.sklearn import SearchCV

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
_OF_OTHER_MODULES: Mapping[str, Mapping[str, Any]] = {
    "Figures": {"experiment.plot": Plots},
    "scikit-learn": {"orchestune.sklearn.SearchCV": SearchCV},
    "Errors": {"orchestune.errors": errors},
}
"""what is imported from other modules, by the names that are written for it"""
_RETURNED = ("orchestune.Experiment", "orchestune.OpenTrial")
"""classes whose instances calls return, and that callers do not create"""


class _Plain(str):
    """A text that is written without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def page() -> str:
    """The page. KeyError where a public name stands in no section."""
    parts = [_OPENING]
    for title, names in _SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _entry(f"orchestune.{name}", getattr(orchestune, name))
    for title, values in _OF_OTHER_MODULES.items():
        parts.append(f"## {title}\n")
        for name, value in values.items():
            parts += _entry(name, value)
    missing = {*orchestune.__all__} - {"__version__"} - {name for names in _SECTIONS.values() for name in names}
    if missing:
        raise KeyError(f"in no section of the reference: {', '.join(sorted(missing))}")
    return "\n".join(parts)


def _entry(name: str, value: Any) -> Iterator[str]:
    hidden = isinstance(value, ModuleType) or (inspect.isclass(value) and issubclass(value, (dict, Plots)))
    yield f"### `{name}`\n"
    if not hidden and name not in _RETURNED:
        yield f"```python\n{_call(name, value)}\n```\n"
    yield f"{_text(inspect.getdoc(value) or '')}\n"
    members = [
        (member, getattr(value, member)) for member in vars(value) if not member.startswith("_")
    ] if inspect.isclass(value) and not issubclass(value, dict) else []  # fmt: skip
    for member, member_object in members:
        if callable(member_object):
            yield f"**`{_call(member, member_object)}`** {_text(inspect.getdoc(member_object) or '')}\n"
        elif isinstance(member_object, property):
            yield f"**`{member}`** {_text(inspect.getdoc(member_object) or '')}\n"


def _call(name: str, value: Any) -> str:
    """Return the signature with the return type."""
    signature = inspect.signature(value)
    parameters = [_readable(parameter) for parameter in signature.parameters.values() if parameter.name != "self"]
    result = signature.empty if inspect.isclass(value) else _Plain(signature.return_annotation)
    waits = "await " if inspect.iscoroutinefunction(value) else ""
    return f"{waits}{name}{signature.replace(parameters=parameters, return_annotation=result)}"


def _readable(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return it with its annotation as written, and `...` for a default that a factory creates."""
    default = _Plain("...") if repr(parameter.default) == "<factory>" else parameter.default
    return parameter.replace(annotation=_Plain(parameter.annotation), default=default)


def _text(doc: str) -> str:
    """A docstring as Markdown: its drawings and examples become blocks of code."""
    doc = re.sub(r"(?m)^((?:    .*\n)+)", r"```\n\1```\n", doc)
    return re.sub(r"(?ms)^(>>> .*?)(?=\n\n|\Z)", r"```python\n\1\n```", doc)
