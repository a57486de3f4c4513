"""The call of the function in a trial of `orchestune.tune`."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from orchestune.errors import UsageError
from orchestune.sdk.parameters import Params
from orchestune.sdk.reporting import report


@dataclass(frozen=True)
class FunctionCall:
    """A function and its calling convention."""

    function: Callable[..., Any]
    metrics: tuple[str, ...]
    by_name: bool
    """True if each parameter is an argument; otherwise all are passed as one argument"""

    def __call__(self, configuration: Params) -> None:
        """Call the function and report its result. Raises TypeError if the result cannot be reported."""
        result = self.function(**configuration) if self.by_name else self.function(configuration)
        if isinstance(result, Mapping):
            values, deviation = dict(result), None
            if len(values) == 2 and "stddev" in values and "stddev" not in self.metrics:
                deviation = values.pop("stddev")  # as in a JSON report line
            report(values, stddev=deviation)
        elif result is not None:
            if len(self.metrics) > 1:
                names = ", ".join(self.metrics)
                raise TypeError(f"the function returned {result!r} (expected a dictionary of its metrics: {names})")
            report({self.metrics[0]: result})

    def as_program(self, configuration: Params) -> None:
        """Call the function as the main program: an exception ends the process, with a traceback from the function on.

        Uses no globals of the main module, which are replaced by those of the function's module.
        """
        with _Program():
            self(configuration)


class _Program:
    """End the process if the block raises an exception.

    It ends as the interpreter ends it, without frames of this package in the traceback.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(exc, Exception):
            return
        sdk_folder = os.path.dirname(__file__)
        while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == sdk_folder:
            trace = trace.tb_next
        sys.excepthook(type(exc), exc.with_traceback(trace), trace)
        raise SystemExit(1) from None


def takes_names(function: Callable[..., Any], names: Sequence[str], conditional: Collection[str] = ()) -> bool:
    """Return True if the function has an argument for each parameter, False if it takes all of them as one.

    Raises UsageError if it can be called in neither way, is asynchronous or a generator, or has no defaults for the
    `conditional` parameters: all trials without them would fail.
    """
    if not callable(function):
        raise UsageError(f"{function!r} is not a function", "call for example tune(train, …)")
    if any(kind(function) for kind in _UNFINISHED):
        raise UsageError("the function is asynchronous or a generator", "write one that returns its metrics")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some C functions have no signature
        return False
    if _fits(signature, **dict.fromkeys(names)):
        if not _fits(signature, **dict.fromkeys(name for name in names if name not in conditional)):
            verb = "does" if len(conditional) == 1 else "do"
            message = (
                f"the function takes {signature}, and {', '.join(conditional)} {verb} not apply in each configuration"
            )
            raise UsageError(message, "give the argument of a parameter with `when` a default, such as None")
        return True
    if _fits(signature, None):
        return False
    hint = f"name its arguments {', '.join(names)}, or use one argument for all of them"
    raise UsageError(f"the function takes {signature}, but the parameters are {', '.join(names)}", hint)


_UNFINISHED = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def _fits(signature: inspect.Signature, *arguments: Any, **keywords: Any) -> bool:
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True
