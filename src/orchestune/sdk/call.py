"""What a trial of `orchestune.tune` does: call the function."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.errors import UsageError
from orchestune.sdk.parameters import Params
from orchestune.sdk.reporting import report


@dataclass(frozen=True)
class FunctionCall:
    """A function and how it wants to be called."""

    function: Callable[..., Any]
    metrics: tuple[str, ...]
    by_name: bool
    """whether each parameter is an argument of its name; else all are the one argument"""

    def __call__(self, configuration: Params) -> None:
        """Call it and report what it returns. TypeError where that is nothing to report."""
        result = self.function(**configuration) if self.by_name else self.function(configuration)
        if isinstance(result, Mapping):
            values, spread = dict(result), None
            if len(values) == 2 and "stddev" in values and "stddev" not in self.metrics:
                spread = values.pop("stddev")  # as in a line of JSON
            report(values, stddev=spread)
        elif result is not None:
            if len(self.metrics) > 1:
                names = ", ".join(self.metrics)
                raise TypeError(f"the function returned {result!r}; return a dictionary with its metrics: {names}")
            report({self.metrics[0]: result})

    def as_program(self, configuration: Params) -> None:
        """Call it as what this process is for: an exception ends that, and is shown without our steps to the function.

        Nothing of the program's own module is used here, which the function's names stand in.
        """
        try:
            self(configuration)
        except Exception as exc:  # noqa: BLE001 - the interpreter takes all of them too
            trace, ours = exc.__traceback__, os.path.dirname(__file__)
            while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == ours:
                trace = trace.tb_next
            sys.excepthook(type(exc), exc.with_traceback(trace), trace)
            raise SystemExit(1) from None


def takes_names(function: Callable[..., Any], names: Sequence[str], seldom: Collection[str] = ()) -> bool:
    """Whether the function has an argument for each of these parameters; else it is to take all of them as one.

    UsageError for what cannot be called in either way, and for what returns before it has done its work; also where it
    cannot be called without those that apply `seldom`: all such trials would fail.
    """
    if not callable(function):
        raise UsageError(f"{function!r} is no function", "tune(train, …) calls train with the parameters")
    if any(kind(function) for kind in _UNFINISHED):
        raise UsageError("the function is asynchronous or a generator", "write one that returns its metrics")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions in C tell nothing
        return False
    if _fits(signature, **dict.fromkeys(names)):
        if not _fits(signature, **dict.fromkeys(name for name in names if name not in seldom)):
            verb = "does" if len(seldom) == 1 else "do"
            text = f"the function takes {signature}, and {', '.join(seldom)} {verb} not apply in each configuration"
            raise UsageError(text, "an argument for a parameter with `when` needs a default, such as None")
        return True
    if _fits(signature, None):
        return False
    hint = f"call its arguments {', '.join(names)}, or let it take one argument that holds them all"
    raise UsageError(
        f"the function takes {signature}, and is to be called with the parameters {', '.join(names)}", hint
    )


_UNFINISHED = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def _fits(signature: inspect.Signature, *arguments: Any, **named: Any) -> bool:
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        return False
    return True
