"""The examples in docstrings of `import orchestune`."""

from __future__ import annotations

import doctest
import inspect
import operator
from typing import Any

import orchestune


def run_example(name: str) -> None:
    """Run the example of a public name in the current folder, and those of its methods, each where that one ends.

    AssertionError with what differs, or if one has none.
    """
    value = operator.attrgetter(name)(orchestune)
    run_examples(f"orchestune.{name}", value, {"__name__": "__main__", "orchestune": orchestune})


def run_examples(name: str, value: Any, names: dict[str, Any]) -> None:
    """Run the examples of a value and of its public members."""
    _run(name, value, names)
    if not inspect.isclass(value) or issubclass(value, dict):
        return
    for method in vars(value):
        member = getattr(value, method)
        if not method.startswith("_") and (callable(member) or isinstance(member, property)):
            _run(f"{name}.{method}", member, {**names})


def _run(name: str, value: Any, names: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(value) or "", {}, name, None, 0)
    assert test.examples, f"{name} shows no example"
    test.globs = names
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=output.append, clear_globs=False)
    assert runner.failures == 0, "".join(output)
