"""What a trial of `orchestune.tune` does: call the function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.sdk.parameters import Params
from orchestune.sdk.reporting import report


@dataclass(frozen=True)
class Call:
    """A function and how it wants to be called."""

    function: Callable[..., Any]
    metrics: tuple[str, ...]
    by_name: bool
    """whether each parameter is an argument of its name; else all are the one argument"""

    def __call__(self, configuration: Params) -> None:
        """Call it and report what it returns. TypeError where that is nothing to report."""
        result = self.function(**configuration) if self.by_name else self.function(configuration)
        if isinstance(result, Mapping):
            report(result)
        elif result is not None:
            if len(self.metrics) > 1:
                names = ", ".join(self.metrics)
                raise TypeError(f"the function returned {result!r}; return a dictionary with its metrics: {names}")
            report({self.metrics[0]: result})


def takes_names(function: Callable[..., Any], names: Sequence[str]) -> bool:
    """Whether the function has an argument for each of these parameters; else it is to take all of them as one."""
    try:
        wanted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions in C tell nothing
        return False
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in wanted):
        return True
    by_name = {p.name for p in wanted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return set(names) <= by_name
