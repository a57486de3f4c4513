"""The examples in docstrings of `import orchestune`."""

from __future__ import annotations

import doctest
import inspect
import operator

import orchestune


def run_example(name: str) -> None:
    """Run the example of a public name in the current folder. AssertionError with what differs, or if there is none."""
    text = inspect.getdoc(operator.attrgetter(name)(orchestune)) or ""
    test = doctest.DocTestParser().get_doctest(
        text, {"__name__": "__main__", "orchestune": orchestune}, f"orchestune.{name}", None, 0
    )
    assert test.examples, f"orchestune.{name} shows no example"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
