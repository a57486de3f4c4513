"""Async variants of methods with one short request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from inspect import cleandoc
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def in_thread(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Return an async variant of the method that runs it in a thread."""

    async def variant(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    update_wrapper(variant, method)
    variant.__name__, variant.__qualname__ = f"{method.__name__}_async", f"{method.__qualname__}_async"
    variant.__doc__ = f"`{method.__name__}` without blocking the event loop.{_example(method)}"
    return variant


def _example(method: Callable[..., Any]) -> str:
    """Return the example of the method with its call in an event loop."""
    _, begins, example = cleandoc(method.__doc__ or "").partition("\n\n>>> ")
    call = rf"((?:\w+\.)+{method.__name__})(\([^()]*\))"
    async_example = re.sub(call, r"asyncio.run(\1_async\2)", example)
    return f"\n\n>>> import asyncio\n>>> {async_example}\n" if begins else ""
