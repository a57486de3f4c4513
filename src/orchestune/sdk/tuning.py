"""Tuning of Python functions: each trial is a call in a process of its own."""

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
from orchestune.sdk.asked_trials import warn_if_paused
from orchestune.sdk.call import FunctionCall, takes_names
from orchestune.sdk.creating import create, importable, module_path
from orchestune.sdk.experiments import Experiment

_FILE = "function.pkl"
_PROGRAM = "orchestune.sdk.calling"
_PROGRAM_IMPORTS = ("cloudpickle", "orchestune.sdk.call", "orchestune.sdk.parameters", "runpy")
"""modules that the program of a trial imports: a fork of a process that has them starts in a tenth of the time"""
_REGISTERING = threading.Lock()
_RESERVED_KEYS = {"run", "folder", "cluster"}
"""keys of an experiment file that `tune` sets itself"""
_EXAMPLES = {"parameters": "{'lr': '1e-5..0.1 log'}", "metrics": "{'loss': 'minimize'}"}


def tune(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    budget: int,
    parallelism: int = 1,
    **keys: Any,
) -> Experiment:
    """Search for the parameters with the best metrics of a function; returns the experiment once it is over.

    The function, of a script, a module or a notebook, is called with the parameters by name, or with all of them as one
    argument if its own arguments have other names. It returns its metric, a dictionary of several, or None if it
    reports them itself (`orchestune.report`). Each call is a process on this machine, with the modules and the current
    folder of this one; an exception fails the trial, with its traceback in the trial's `error`. `parameters`, `metrics`
    and further `keys` (`engine`, `early_stopping`, `seed`, `resources`, …) are those of an experiment file. Ctrl-C
    stops the experiment. If a guard pauses it, for example because different configurations have equal metrics, it
    returns with a warning.

    >>> import orchestune
    >>> def train(lr, layers):
    ...     return (lr - 0.1) ** 2 + layers
    >>> experiment = orchestune.tune(
    ...     train, {"lr": "0.01..1 log", "layers": "1..3"}, {"loss": "minimize"}, budget=4, parallelism=2)
    >>> sorted(experiment.best().parameters)
    ['layers', 'lr']

    An inactive parameter with `when` is not passed, so its argument needs a default. Raises UsageError if it has none,
    or the function cannot be pickled; BadInput if a key is invalid; and NothingCompleted, with a traceback, if no trial
    completed.
    """
    with started(function, parameters, metrics, budget, parallelism, **keys) as experiment:
        experiment.wait()
    return _require_completed(experiment)


async def tune_async(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    budget: int,
    parallelism: int = 1,
    **keys: Any,
) -> Experiment:
    """`tune` without blocking the event loop; cancelling the task stops the experiment.

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
        experiment = await starting  # stopped as in `tune`
        await experiment.stop_async()
        raise
    return await asyncio.to_thread(_require_completed, experiment)


@contextmanager
def started(function: Callable[..., Any], *arguments: Any, **keys: Any) -> Iterator[Experiment]:
    """Yield the experiment of `start`; Ctrl-C while it starts or in the block stops it."""
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(start, function, *arguments, **keys)
        try:
            yield starting.result()
        except KeyboardInterrupt:
            starting.result().stop()  # the thread is not interrupted: it may have started the experiment
            raise


def start(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    budget: int,
    parallelism: int = 1,
    **keys: Any,
) -> Experiment:
    """Start the experiment of `tune` without waiting for it. A terminal shows its handle."""
    reserved = _RESERVED_KEYS & keys.keys()
    if reserved:
        raise UsageError(
            f"tune() sets {', '.join(sorted(reserved))} itself", "use Experiment.create to run commands anywhere"
        )
    if "keep" in keys:
        text = "keep: no effect, because the function runs in the current folder"
        raise UsageError(text, "keep a file with orchestune.log_artifact(PATH) in the function")
    for key, argument in (("parameters", parameters), ("metrics", metrics)):
        if not isinstance(argument, Mapping):
            raise BadInput.one(f"expected a mapping by name, such as {_EXAMPLES[key]}, got {argument!r}", key)
    conditional = [str(name) for name, space in parameters.items() if isinstance(space, Mapping) and "when" in space]
    call = FunctionCall(function, tuple(metrics), takes_names(function, tuple(map(str, parameters)), conditional))
    keys.setdefault("name", getattr(function, "__name__", "tune").strip("<>"))
    with tempfile.TemporaryDirectory(prefix="orchestune-tune-") as folder:
        Path(folder, _FILE).write_bytes(pickled(call))
        document = {
            **keys,
            "run": [sys.executable, "-m", _PROGRAM, _FILE],
            "preload": _with_program_imports(keys.get("preload")),
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
    if sys.stderr.isatty():
        handle = status["handle"]
        print(f"{handle}: follow it with `orchestune status {handle} --watch`", file=sys.stderr)  # noqa: T201
    return Experiment(client, status)


def _with_program_imports(preload: Any) -> Any:
    """Return the user's `preload` with the modules of the trials' program; what is invalid stays as it is."""
    names = [preload] if isinstance(preload, str) else preload or []
    return list(dict.fromkeys([*_PROGRAM_IMPORTS, *names])) if isinstance(names, (list, tuple)) else preload


def _of_function(specification: Specification) -> Specification:
    return replace(specification, program=ProgramKind.FUNCTION)


_PICKLE_ERRORS = (pickle.PicklingError, TypeError, AttributeError, ValueError)


def pickled(call: FunctionCall) -> bytes:
    """Pickle this process's module path and the call for another process.

    A function in a module that cannot be imported there is pickled with its code.
    """
    module = sys.modules.get(getattr(call.function, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or _importable(module):
        module = None
    try:
        with _by_value(module) if module is not None else nullcontext():
            return pickle.dumps(module_path(sys.path)) + _dump(call)
    except _PICKLE_ERRORS as exc:
        culprits = _unpicklable(call.function) or "its values"
        raise UsageError(
            f"the function cannot be sent to another process: {exc}",
            f"create {culprits} inside the function: connections, locks and open files cannot be pickled",
        ) from exc


@contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    """Pickle functions of a module with their code in this block.

    cloudpickle has one registry for all threads; modules registered by others stay registered.
    """
    import cloudpickle  # for functions of notebooks and lambdas; only needed to tune functions

    with _REGISTERING:
        if module.__name__ in cloudpickle.list_registry_pickle_by_value():
            yield
            return
        cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            cloudpickle.unregister_pickle_by_value(module)


def _referenced_values(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the global and nonlocal values of the function, as far as they are known."""
    try:
        variables = inspect.getclosurevars(function)
    except (TypeError, ValueError):
        return {}
    return {**variables.globals, **variables.nonlocals}


def _unpicklable(function: Callable[..., Any]) -> str:
    """Return the names of values that cannot be pickled."""
    import cloudpickle

    names = []
    for name, value in _referenced_values(function).items():
        try:
            cloudpickle.dumps(value)
        except _PICKLE_ERRORS:
            names.append(name)
    return ", ".join(names)


def _too_large(function: Callable[..., Any], size: int) -> TooLarge:
    """Build the error of a function that is too large, with the largest value that it refers to."""
    import cloudpickle

    from orchestune.bundles.listing import in_units  # pathspec is slow to import, and only needed here

    sizes = {name: len(cloudpickle.dumps(value)) for name, value in _referenced_values(function).items()}
    largest = max(sizes, key=sizes.__getitem__, default="")
    largest_part = f", of which {largest} is {in_units(sizes[largest])}" if largest else ""
    return TooLarge(
        f"the pickled function has {in_units(size)}, sent to the process of each trial{largest_part}",
        "read large data inside the function, or raise the limit with code={'limit': '1Gi'}",
    )


def _dump(call: FunctionCall) -> bytes:
    """Pickle a call with the file names of its code for tracebacks; cloudpickle drops them."""
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
    """Return True if another process with the same module path can import the module."""
    try:
        spec = importlib.util.find_spec(module.__name__.partition(".")[0])
    except (ValueError, ImportError):
        return False
    path = getattr(module, "__file__", None)
    return spec is not None and (path is None or _resolves_to(module.__name__, path))


def _resolves_to(name: str, path: str) -> bool:
    """Return True if the name resolves to the file on the module path rather than by a custom loader."""
    relative_path = Path(*name.split("."))
    for entry in sys.path:
        for candidate in (
            Path(entry or ".", relative_path).with_suffix(".py"),
            Path(entry or ".", relative_path, "__init__.py"),
        ):
            if candidate.exists():
                return candidate.samefile(path)
    return not path.endswith(".py") or os.sep + "site-packages" + os.sep in path


def _require_completed(experiment: Experiment) -> Experiment:
    """Return the experiment; raise NothingCompleted if no trial completed. Warn if a guard has paused it."""
    status = experiment.status()
    if status["counts"]["completed"] or status["counts"]["pruned"] or not over(status):
        warn_if_paused(status, stacklevel=4)
        return experiment
    failed_trial = next((trial for trial in experiment.results() if trial.state == "failed"), None)
    reason = status["reason"]["message"] if status["reason"] else status["state"]
    cause = experiment.trial(failed_trial.number).error if failed_trial else reason
    raise NothingCompleted(
        f"no trial of {experiment.handle} completed: {cause}", f"see `orchestune logs {experiment.handle}`"
    )
