"""Tune a function: each trial is a call of it in a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import io
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from orchestune.client.states import over
from orchestune.domain.specification.experiment import ProgramKind, Specification
from orchestune.errors import BadInput, NothingCompleted, TooLarge, UsageError
from orchestune.sdk.asked_trials import nothing_more
from orchestune.sdk.call import FunctionCall, takes_names
from orchestune.sdk.creating import create, importable, module_path
from orchestune.sdk.experiments import Experiment

_FILE = "function.pkl"
_PROGRAM = "orchestune.sdk.calling"
_REGISTERING = threading.Lock()
_OTHERWISE = {"run", "folder", "cluster"}
"""keys of an experiment file that a function decides"""
_SUCH_AS = {"parameters": "{'lr': '1e-5..0.1 log'}", "metrics": "{'loss': 'minimize'}"}


def tune(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    budget: int,
    parallelism: int = 1,
    **keys: Any,
) -> Experiment:
    """Search the parameters for which the function gives the best metrics; the experiment, once it is over.

    The function, of a script, a module or a notebook, is called with the parameters by name, or with one argument that
    holds them all where its own arguments are others. It returns its metric, a dictionary of several, or None where it
    reports them itself (`orchestune.report`). Each call is a process of its own on this machine, with the modules and
    the current folder of this one; an exception is a failed trial, and its traceback stands in the trial's `error`.
    `parameters`, `metrics` and further `keys` (`engine`, `early_stopping`, `seed`, `resources`, …) are those of an
    experiment file. Ctrl-C stops the experiment. Where a guard pauses it, such as for equal metrics of different
    configurations, that is the end here, and a warning says why.

    >>> import orchestune
    >>> def train(lr, layers):
    ...     return (lr - 0.1) ** 2 + layers
    >>> experiment = orchestune.tune(
    ...     train, {"lr": "0.01..1 log", "layers": "1..3"}, {"loss": "minimize"}, budget=4, parallelism=2)
    >>> sorted(experiment.best().parameters)
    ['layers', 'lr']

    A parameter with `when` is left out where it does not apply, so its argument needs a default. UsageError where that
    has none, or the function cannot be sent to another process, BadInput where a key is wrong, NothingCompleted,
    with a traceback, where no trial completed.
    """
    with started(function, parameters, metrics, budget, parallelism, **keys) as experiment:
        experiment.wait()
    return _checked(experiment)


async def tune_async(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    budget: int,
    parallelism: int = 1,
    **keys: Any,
) -> Experiment:
    """`tune` without blocking the event loop; a task that is cancelled stops the experiment.

    >>> import asyncio, orchestune
    >>> experiment = asyncio.run(orchestune.tune_async(lambda x: x, {"x": [1, 2]}, {"y": "maximize"}, budget=2))
    >>> experiment.best().metrics
    {'y': 2.0}
    """
    starting = asyncio.create_task(asyncio.to_thread(start, function, parameters, metrics, budget, parallelism, **keys))
    try:
        experiment = await asyncio.shield(starting)
        await experiment.wait_async()
    except asyncio.CancelledError:
        experiment = await starting  # as in `tune`
        await experiment.stop_async()
        raise
    return await asyncio.to_thread(_checked, experiment)


@contextmanager
def started(function: Callable[..., Any], *arguments: Any, **keys: Any) -> Iterator[Experiment]:
    """What `start` gives, for the block that waits for it; Ctrl-C in either stops the experiment."""
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(start, function, *arguments, **keys)
        try:
            yield starting.result()
        except KeyboardInterrupt:
            starting.result().stop()  # no thread is interrupted: what it makes all the same is stopped
            raise


def start(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    budget: int,
    parallelism: int = 1,
    **keys: Any,
) -> Experiment:
    """`tune` without waiting: the experiment, as soon as the server has it."""
    wrong = _OTHERWISE & keys.keys()
    if wrong:
        raise UsageError(
            f"tune() decides {', '.join(sorted(wrong))} itself", "Experiment.create runs commands anywhere"
        )
    if "keep" in keys:
        text = "keep: of no effect, since the function runs in the current folder"
        raise UsageError(text, "keep a file by orchestune.log_artifact(PATH) in the function")
    for key, given in (("parameters", parameters), ("metrics", metrics)):
        if not isinstance(given, Mapping):
            raise BadInput.one(f"must be a mapping by name, such as {_SUCH_AS[key]}, got {given!r}", key)
    seldom = [str(name) for name, asked in parameters.items() if isinstance(asked, Mapping) and "when" in asked]
    call = FunctionCall(function, tuple(metrics), takes_names(function, tuple(map(str, parameters)), seldom))
    keys.setdefault("name", getattr(function, "__name__", "tune").strip("<>"))
    with tempfile.TemporaryDirectory(prefix="orchestune-tune-") as folder:
        Path(folder, _FILE).write_bytes(pickled(call))
        document = {
            **keys,
            "run": [sys.executable, "-m", _PROGRAM, _FILE],
            "parameters": parameters,
            "metrics": metrics,
            "budget": budget,
            "parallelism": parallelism,
        }
        variables = {"PYTHONPATH": importable(sys.path)}
        try:
            client, status = create(
                document,
                Path(folder),
                "local",
                started_in=Path.cwd(),
                variables=variables,
                change=_of_function,
            )
        except TooLarge as exc:
            if _FILE not in exc.message:
                raise
            raise _too_large(function, Path(folder, _FILE).stat().st_size) from exc
    return Experiment(client, status)


def _of_function(specification: Specification) -> Specification:
    return replace(specification, program=ProgramKind.FUNCTION)


_NOT_SENDABLE = (pickle.PicklingError, TypeError, AttributeError, ValueError)


def pickled(call: FunctionCall) -> bytes:
    """This process's module path and the call, for another process; a function whose module nobody can import there
    takes its code along.
    """
    module = sys.modules.get(getattr(call.function, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or _importable(module):
        module = None
    try:
        with _by_value(module) if module is not None else nullcontext():
            return pickle.dumps(module_path(sys.path)) + _dumped(call)
    except _NOT_SENDABLE as exc:
        held = _unsendable(call.function) or "what it holds"
        raise UsageError(
            f"the function cannot be sent to another process: {exc}",
            f"make {held} inside the function: connections, locks and open files stay in their process",
        ) from exc


@contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    """With the code of the module, which cloudpickle keeps in one set for all threads; what is in there stays."""
    import cloudpickle  # functions of notebooks and lambdas; only who tunes functions needs it

    with _REGISTERING:
        if module.__name__ in cloudpickle.list_registry_pickle_by_value():
            yield
            return
        cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            cloudpickle.unregister_pickle_by_value(module)


def _held(function: Callable[..., Any]) -> dict[str, Any]:
    """What the function refers to by a name, as far as it tells."""
    try:
        found = inspect.getclosurevars(function)
    except (TypeError, ValueError):
        return {}
    return {**found.globals, **found.nonlocals}


def _unsendable(function: Callable[..., Any]) -> str:
    """The names of what keeps it from being sent."""
    import cloudpickle

    names = []
    for name, value in _held(function).items():
        try:
            cloudpickle.dumps(value)
        except _NOT_SENDABLE:
            names.append(name)
    return ", ".join(names)


def _too_large(function: Callable[..., Any], size: int) -> TooLarge:
    """Names the largest of what the function refers to, as far as it tells."""
    import cloudpickle

    from orchestune.bundles.listing import in_units  # pathspec is slow to import, and only needed here

    sizes = {name: len(cloudpickle.dumps(value)) for name, value in _held(function).items()}
    largest = max(sizes, key=sizes.__getitem__, default="")
    held = f", of which {largest} is {in_units(sizes[largest])}" if largest else ""
    return TooLarge(
        f"the function takes {in_units(size)} along to the process of each trial{held}",
        "read large data inside the function; or allow more by code={'limit': '1Gi'}",
    )


def _dumped(call: FunctionCall) -> bytes:
    """Pickled with the files in which code stands, for tracebacks to name them: cloudpickle leaves these out."""
    import cloudpickle

    shorten = cloudpickle.Pickler.dispatch_table.get(CodeType)

    def with_file(code: CodeType) -> tuple[Any, ...]:
        kind, parts, *more = shorten(code)
        return (kind, tuple(code.co_filename if part == "<dynamic-code>" else part for part in parts), *more)

    table = {**cloudpickle.Pickler.dispatch_table, **({CodeType: with_file} if shorten else {})}
    file = io.BytesIO()
    type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": table})(file).dump(call)
    return file.getvalue()


def _importable(module: ModuleType) -> bool:
    """Whether another process of the same module path finds it."""
    try:
        found = importlib.util.find_spec(module.__name__.partition(".")[0])
    except (ValueError, ImportError):
        return False
    path = getattr(module, "__file__", None)
    return found is not None and (path is None or _same(module.__name__, path))


def _same(name: str, path: str) -> bool:
    """Whether the name leads to the file by way of the module path, not by a loader of somebody's own."""
    place = Path(*name.split("."))
    for entry in sys.path:
        for candidate in (Path(entry or ".", place).with_suffix(".py"), Path(entry or ".", place, "__init__.py")):
            if candidate.exists():
                return candidate.samefile(path)
    return not path.endswith(".py") or os.sep + "site-packages" + os.sep in path


def _checked(experiment: Experiment) -> Experiment:
    """The experiment, unless nothing in it completed; where a guard ended it early a warning says why."""
    status = experiment.status()
    if status["counts"]["completed"] or status["counts"]["pruned"] or not over(status):
        nothing_more(status, stacklevel=4)
        return experiment
    failed = next((trial for trial in experiment.results() if trial.state == "failed"), None)
    reason = status["reason"]["message"] if status["reason"] else status["state"]
    why = experiment.trial(failed.number).error if failed else reason
    raise NothingCompleted(f"no trial of {experiment.handle} completed: {why}", f"orchestune logs {experiment.handle}")
