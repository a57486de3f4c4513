"""The smaller sections: `resources`, `folds`, `stop`, `retry` and `code`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestune.config.document.kinds import (
    BOOLEAN,
    MAX_FOLDS,
    MAX_TRIALS,
    NUMBER,
    SIZE,
    SIZE_PATTERN,
    TIME,
    Key,
    ValueKind,
    integer,
    quantity,
    string,
)
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, list_of, section
from orchestune.domain.resources.resources import Resources, parse_bytes, parse_cpu
from orchestune.domain.specification.code import DEFAULT_LIMIT, CodeSettings
from orchestune.domain.specification.experiment import FutileTrials, StopRules
from orchestune.domain.specification.folds import Folds
from orchestune.domain.words import plural


def _check_memory(size: int) -> str:
    return "" if size >= 2**20 else f"too little memory: {size} bytes (expected at least 1Mi, such as 512Mi or 2Gi)"


BYTES = quantity("an amount of memory such as 512Mi, 2Gi or 4G", SIZE_PATTERN, parse_bytes, _check_memory)
CPU = quantity("a number of cores such as 2, 0.5 or 500m", r"[0-9]+(?:\.[0-9]+)?m?", parse_cpu,
             lambda cores: "" if cores <= 100_000 else "must be at most 100,000 cores")  # fmt: skip

_MAX_GPUS = 1024
_GPU_COUNT_WORDS = "an integer number of GPUs, or a fraction of one from 0.01 to 0.99"


def _read_gpu_count(field: Field) -> float | None:
    value = field.node.value if isinstance(field.node, ScalarNode) else None
    if isinstance(value, float) and 0.01 <= value < 1:
        return value
    if not isinstance(value, (int, float)) or not 0 <= value <= _MAX_GPUS or value != int(value):
        field.expected(_GPU_COUNT_WORDS)
        return None
    return _GPU_INTEGER.read(field)


_GPU_INTEGER = integer(0, _MAX_GPUS)
GPU_COUNT = ValueKind[float](
    _GPU_COUNT_WORDS,
    {"anyOf": [_GPU_INTEGER.schema, {"type": "number", "minimum": 0.01, "exclusiveMaximum": 1}]},
    _read_gpu_count,
)
_GPU_KEYS = (
    Key("count", GPU_COUNT, "GPUs for each trial, or a fraction of one: `0.25` lets four trials share a GPU.", "1"),
    Key("type", string("words of a GPU's name, such as a100 or rtx4090", r"[A-Za-z0-9][A-Za-z0-9 ._-]*", most=100,
                     any_scalar=True),
        "Only GPUs whose name has these words, as in `nvidia-smi -L` and the label `nvidia.com/gpu.product`.",
        "any GPU"),
    Key("memory", BYTES, "Only GPUs with at least this memory.", "any GPU"),
)  # fmt: skip
_GPU_SECTION = section(_GPU_KEYS, also={"share": "count", "model": "type", "kind": "type", "mem": "memory"})


def _read_gpu(field: Field) -> dict[str, Any] | None:
    section = _GPU_SECTION.read(field)
    if section is None:
        return None
    return {"gpu": section.get("count", 1) or 0, "gpu_type": section.get("type"), "gpu_memory": section.get("memory")}


_GPU_WORDS = f"{_GPU_COUNT_WORDS}, or a mapping with count, type, memory"
GPU = either(
    _GPU_WORDS,
    scalar=converted(GPU_COUNT, lambda count: {"gpu": count}),
    mapping=ValueKind[dict[str, Any]](_GPU_WORDS, _GPU_SECTION.schema, _read_gpu, _GPU_KEYS),
)


def _read_resources(field: Field) -> Resources | None:
    read = _RESOURCES.read(field)
    if read is None:
        return None
    cpu, pin = read.get("cpu"), bool(read.get("pin"))
    if pin and not (cpu and cpu == int(cpu)):
        cores = "is not set" if cpu is None else f"is {cpu:g}"
        field.find("pin").reject(f"needs an integer `cpu`, which {cores}", "write `cpu: 1`, or another integer")
        return None
    return Resources(cpu, read.get("memory"), pin=pin, **(read.get("gpu") or {}))


_RESOURCES = section(
    (
        Key("cpu", CPU, "Cores for each trial. Thread variables of libraries (OMP_NUM_THREADS and others) are set to"
            " this number, unless your environment or `env` sets them. Without it, trials that one worker runs side by"
            " side share its cores, and on Kubernetes one core"
            " is reserved, or the share of a node's cores that its GPUs have, without a limit.", "nothing reserved"),
        Key("memory", BYTES, "Memory for each trial.", "nothing reserved"),
        Key("gpu", GPU, "GPUs for each trial: a number, a fraction of a GPU such as `0.25`, or"
            " `{count: 2, type: a100, memory: 40Gi}`.", "0"),
        Key("pin", BOOLEAN, "Pin each trial to `cpu` cores that no other trial uses. Only on this machine.", "false"),
    ),
    also={"cpus": "cpu", "gpus": "gpu", "mem": "memory", "ram": "memory", "cores": "cpu", "affinity": "pin"},
)  # fmt: skip
RESOURCES = _RESOURCES.read_by(_read_resources)

_MODULE = string("the name of a Python module, such as sklearn.svm", r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", most=200)
PRELOAD = either(
    "the name of a Python module or a list of names",
    scalar=converted(_MODULE, lambda one: (one,)),
    listing=list_of(_MODULE, "a list of Python module names", most=100),
)


def _read_folds(field: Field) -> Folds | None:
    read = _FOLDS.read(field) or {}
    count, after = read.get("count"), read.get("prune_after")
    if count is not None and after is not None and after >= count:
        hint = f"write a number from 1 to {count - 1}, or remove it" if count > 1 else "remove it"
        field.find("prune_after").reject(
            f"{after} of {plural(count, 'fold')} {'leave' if count > 1 else 'leaves'} no fold to skip", hint
        )
        return None
    return None if count is None else Folds(count, after)


_FOLDS = section(
    (
        Key("count", integer(1, MAX_FOLDS), "The number of folds of each trial.", required=True),
        Key("prune_after", integer(1, MAX_FOLDS), "Finished folds after which a trial may be pruned: its mean could not"
            " become the best even if each remaining fold equaled the best value of any trial in that fold.",
                "all folds run"),
    ),
    also={"n": "count", "k": "count", "folds": "count"},
)  # fmt: skip
FOLDS = either(
    f"an integer from 1 to {MAX_FOLDS:,}, or a mapping with count, prune_after",
    scalar=converted(integer(1, MAX_FOLDS), lambda count: Folds(count)),
    mapping=_FOLDS.read_by(_read_folds),
)


def _read_futile(field: Field) -> FutileTrials | None:
    read = _FUTILE.read(field)
    if read is None:
        return None
    limits = [name for name in ("below", "above") if read.get(name) is not None]
    if len(limits) == 1 and read.get("after") is not None:
        return FutileTrials(read[limits[0]], read["after"], limits[0])
    if len(limits) != 1:
        field.reject(
            "needs one of `below` and `above`", "use `below` for a metric to maximize, `above` for one to minimize"
        )
    return None


_FUTILE = section(
    (
        Key("below", NUMBER, "The best value is below this limit; for a maximized metric."),
        Key("above", NUMBER, "The best value is above this limit; for a minimized metric."),
        Key("after", integer(1, MAX_TRIALS), "The number of finished trials after which to check.", required=True),
    ),
    also={"min": "below", "max": "above", "trials": "after"},
)
FUTILE = ValueKind[FutileTrials]("a mapping with below or above, and after", _FUTILE.schema, _read_futile, _FUTILE.keys)
STOP = converted(
    section(
        (
            Key("max_failures", integer(1, MAX_TRIALS), "The number of failed trials.", "never"),
            Key("target", NUMBER, "The first metric reached this value.", "never"),
            Key("time", TIME, "The time since the first trial started.", "never"),
            Key(
                "patience",
                integer(1, MAX_TRIALS),
                "The number of consecutive finished trials without a better value; with several goals, without a new"
                " trial on the Pareto front.",
                "never",
            ),
            Key(
                "futile",
                FUTILE,
                "The best value of the first metric is still on this side of a limit after this number"
                " of finished trials: `{below: 0.6, after: 20}`, or `above` if it is minimized.",
                "never",
            ),
        ),
        later=("cost",),
        also={"failures": "max_failures", "timeout": "time", "max_time": "time", "threshold": "target"},
    ),
    lambda read: StopRules(
        read.get("max_failures"), read.get("target"), read.get("time"), read.get("patience"), read.get("futile")
    ),
)


@dataclass(frozen=True)
class Retry:
    """How many times a trial is retried."""

    attempts: int = 0
    oom: int = 0
    memory_factor: float = 1.5


def _read_factor(field: Field) -> float | None:
    value = NUMBER.read(field)
    if value is not None and not 1 < value <= 100:
        field.expected(_FACTOR_WORDS)
        return None
    return value


DEFAULT_OOM_RETRIES = 3
_FACTOR_WORDS = "a number above 1, at most 100"
_FACTOR = ValueKind[float](_FACTOR_WORDS, {"type": "number", "exclusiveMinimum": 1, "maximum": 100}, _read_factor)
_RETRY_KEYS = (
    Key("attempts", integer(0, 100), "How many times a failed trial is retried.", "0"),
    Key("oom", integer(0, 10), "How many times an out-of-memory (OOM) killed trial is retried with more memory, up"
        " to that of the largest machine. These retries do not count as `attempts`.", "0; 3 with `memory_factor`"),
    Key("memory_factor", _FACTOR, "Memory factor per OOM retry: `resources.memory` times this, then times this"
        " again.", "1.5"),
)  # fmt: skip
_RETRIES = section(_RETRY_KEYS, also={"max": "attempts", "limit": "attempts", "factor": "memory_factor",
                                      "out_of_memory": "oom"})  # fmt: skip
_RETRY_WORDS = "an integer from 0 to 100, or a mapping with attempts, oom or memory_factor"


def _read_retries(field: Field) -> Retry | None:
    read = _RETRIES.read(field)
    if read is None:
        return None
    if not field.entries():
        field.expected(_RETRY_WORDS)
        return None
    factor: float | None = read.get("memory_factor")
    oom: int | None = read.get("oom")
    if oom is None:
        oom = DEFAULT_OOM_RETRIES if factor else 0
    return Retry(read.get("attempts") or 0, oom, factor or 1.5)


RETRY = either(
    _RETRY_WORDS,
    scalar=converted(integer(0, 100), Retry),
    mapping=ValueKind[Retry](_RETRY_WORDS, {**_RETRIES.schema, "minProperties": 1}, _read_retries, tuple(_RETRY_KEYS)),
)

_IGNORE = string("a pattern as in .gitignore", most=1000)
_CODE_KEYS = (
    Key("ignore", either("a pattern or a list of patterns", scalar=converted(_IGNORE, lambda one: (one,)),
                         listing=list_of(_IGNORE, "a list of patterns as in .gitignore", least=0)),
        "Files to exclude, in addition to those in `.gitignore` (also above the folder in its git repository) and"
        " `.orchestuneignore`.", "nothing"),
    Key("limit", SIZE, "Maximum size of the code. On this machine, and in containers on it, the largest data beyond it"
        " are linked instead of packed.", "200Mi"),
    Key("root", string("the path of the file's folder or one above it", most=1000), "The folder of the project, which"
        " is uploaded; the command runs in the folder of the experiment file. `--root DIR` sets it.", "the folder of"
        " `experiment.yml`; for files of another name the nearest one from theirs upwards with `experiment.yml`,"
        " `.git`, `pyproject.toml`, `setup.py` or `.orchestuneignore`"),
)  # fmt: skip
CODE = converted(
    section(_CODE_KEYS, also={"exclude": "ignore", "max_size": "limit", "size": "limit"}),
    lambda read: CodeSettings(
        tuple(read.get("ignore") or ()), read.get("limit") or DEFAULT_LIMIT, root=read.get("root") or ""
    ),
)
