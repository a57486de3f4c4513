"""The smaller sections: `resources`, `folds`, `stop`, `retry` and `code`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestune.config.document.kinds import (
    MOST_FOLDS,
    MOST_TRIALS,
    NUMBER,
    SIZE,
    SIZE_PATTERN,
    TIME,
    TRUTH,
    Key,
    ValueKind,
    amount,
    text,
    whole,
)
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import changed, either, list_of, section
from orchestune.domain.resources.resources import Resources, parse_bytes, parse_cpu
from orchestune.domain.specification.code import DEFAULT_LIMIT, CodeSettings
from orchestune.domain.specification.experiment import FutileTrials, StopRules
from orchestune.domain.specification.folds import Folds
from orchestune.domain.words import plural


def _megabyte(size: int) -> str:
    return "" if size >= 2**20 else f"{size} bytes are less than any program needs; write 512Mi or 2Gi"


BYTES = amount("an amount of memory such as 512Mi, 2Gi or 4G", SIZE_PATTERN, parse_bytes, _megabyte)
CPU = amount("a number of cores such as 2, 0.5 or 500m", r"[0-9]+(?:\.[0-9]+)?m?", parse_cpu,
             lambda cores: "" if cores <= 100_000 else "no machine has that many cores")  # fmt: skip

_MOST_CARDS = 1024
_CARDS_WORDS = "a whole number of cards, or the share of one from 0.01 to 0.99"


def _read_cards(found: Field) -> float | None:
    value = found.node.value if isinstance(found.node, ScalarNode) else None
    if isinstance(value, float) and 0.01 <= value < 1:
        return value
    if not isinstance(value, (int, float)) or not 0 <= value <= _MOST_CARDS or value != int(value):
        found.expected(_CARDS_WORDS)
        return None
    return _WHOLE_CARDS.read(found)


_WHOLE_CARDS = whole(0, _MOST_CARDS)
CARDS = ValueKind[float](
    _CARDS_WORDS,
    {"anyOf": [_WHOLE_CARDS.schema, {"type": "number", "minimum": 0.01, "exclusiveMaximum": 1}]},
    _read_cards,
)
_GPU_KEYS = (
    Key("count", CARDS, "Cards for each trial, or the share of one: `0.25` lets four trials use a card.", "1"),
    Key("type", text("words of a card's name, such as a100 or rtx4090", r"[A-Za-z0-9][A-Za-z0-9 ._-]*", most=100,
                     loose=True),
        "Only cards whose name has these words, as `nvidia-smi -L` and the label `nvidia.com/gpu.product` write it.",
        "any card"),
    Key("memory", BYTES, "Only cards with so much memory.", "any card"),
)  # fmt: skip
_GPU_SECTION = section(_GPU_KEYS, also={"share": "count", "model": "type", "kind": "type", "mem": "memory"})


def _read_gpu(found: Field) -> dict[str, Any] | None:
    read = _GPU_SECTION.read(found)
    if read is None:
        return None
    return {"gpu": read.get("count", 1) or 0, "gpu_type": read.get("type"), "gpu_memory": read.get("memory")}


_GPU_WORDS = f"{_CARDS_WORDS}, or a mapping with count, type, memory"
GPU = either(
    _GPU_WORDS,
    scalar=changed(CARDS, lambda cards: {"gpu": cards}),
    mapping=ValueKind[dict[str, Any]](_GPU_WORDS, _GPU_SECTION.schema, _read_gpu, _GPU_KEYS),
)


def _read_resources(found: Field) -> Resources | None:
    read = _RESOURCES.read(found)
    if read is None:
        return None
    cpu, pin = read.get("cpu"), bool(read.get("pin"))
    if pin and not (cpu and cpu == int(cpu)):
        said = "nothing" if cpu is None else f"{cpu:g}"
        found.find("pin").wrong(f"needs whole cores, and `cpu` says {said}", "write `cpu: 1`, or another number")
        return None
    return Resources(cpu, read.get("memory"), pin=pin, **(read.get("gpu") or {}))


_RESOURCES = section(
    (
        Key("cpu", CPU, "Cores for each trial. Libraries that ask for threads (OMP_NUM_THREADS and the like) are told"
            " so many, unless your environment or `env` says otherwise.", "nothing reserved"),
        Key("memory", BYTES, "Memory for each trial.", "nothing reserved"),
        Key("gpu", GPU, "Cards for each trial: a number, the share of a card such as `0.25`, or"
            " `{count: 2, type: a100, memory: 40Gi}`.", "0"),
        Key("pin", TRUTH, "Whether each trial has its `cpu` cores for itself, and runs on no other. On this machine"
            " only.", "false"),
    ),
    also={"cpus": "cpu", "gpus": "gpu", "mem": "memory", "ram": "memory", "cores": "cpu", "affinity": "pin"},
)  # fmt: skip
RESOURCES = _RESOURCES.read_by(_read_resources)

_MODULE = text("the name of a Python module, such as sklearn.svm", r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", most=200)
PRELOAD = either(
    "the name of a Python module or a list of names",
    scalar=changed(_MODULE, lambda one: (one,)),
    listing=list_of(_MODULE, "a list of names of Python modules", most=100),
)


def _read_folds(found: Field) -> Folds | None:
    read = _FOLDS.read(found) or {}
    count, after = read.get("count"), read.get("prune_after")
    if count is not None and after is not None and after >= count:
        hint = f"write a number from 1 to {count - 1}, or leave it out" if count > 1 else "leave it out"
        found.find("prune_after").wrong(
            f"{after} of {plural(count, 'fold')} {'leave' if count > 1 else 'leaves'} none to save", hint
        )
        return None
    return None if count is None else Folds(count, after)


_FOLDS = section(
    (
        Key("count", whole(1, MOST_FOLDS), "How many folds each trial has.", required=True),
        Key("prune_after", whole(1, MOST_FOLDS), "So many done folds may be enough: a trial is pruned then, or later,"
            " when its mean would not become the best even if each of its other folds were as good as any trial was in"
            " that fold.", "all folds run"),
    ),
    also={"n": "count", "k": "count", "folds": "count"},
)  # fmt: skip
FOLDS = either(
    f"a whole number from 1 to {MOST_FOLDS:,}, or a mapping with count, prune_after",
    scalar=changed(whole(1, MOST_FOLDS), lambda count: Folds(count)),
    mapping=_FOLDS.read_by(_read_folds),
)


def _read_futile(found: Field) -> FutileTrials | None:
    read = _FUTILE.read(found)
    if read is None:
        return None
    limits = [name for name in ("below", "above") if read.get(name) is not None]
    if len(limits) == 1 and read.get("after") is not None:
        return FutileTrials(read[limits[0]], read["after"], limits[0])
    if len(limits) != 1:
        found.wrong("needs one of `below` and `above`", "below for a metric to maximize, above for one to minimize")
    return None


_FUTILE = section(
    (
        Key("below", NUMBER, "The best value is below this one, where it is maximized."),
        Key("above", NUMBER, "The best value is above this one, where it is minimized."),
        Key("after", whole(1, MOST_TRIALS), "So many finished trials.", required=True),
    ),
    also={"min": "below", "max": "above", "trials": "after"},
)
FUTILE = ValueKind[FutileTrials]("a mapping with below or above, and after", _FUTILE.schema, _read_futile, _FUTILE.keys)
STOP = changed(
    section(
        (
            Key("max_failures", whole(1, MOST_TRIALS), "So many failed trials.", "never"),
            Key("target", NUMBER, "The first metric reached this value.", "never"),
            Key("time", TIME, "So long after the first trial started.", "never"),
            Key(
                "patience",
                whole(1, MOST_TRIALS),
                "So many finished trials in a row without a better value; of several metrics with a goal, without one"
                " that came onto the Pareto front.",
                "never",
            ),
            Key(
                "futile",
                FUTILE,
                "The best value of the first metric is still on this side of a limit after so many"
                " finished trials: `{below: 0.6, after: 20}`, or `above` where it is minimized.",
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
    """How often what is tried again."""

    attempts: int = 0
    oom: int = 0
    memory_factor: float = 1.5


def _read_factor(found: Field) -> float | None:
    value = NUMBER.read(found)
    if value is not None and not 1 < value <= 100:
        found.expected(_FACTOR_WORDS)
        return None
    return value


OOM_TRIES = 3
_FACTOR_WORDS = "a number above 1, at most 100"
_FACTOR = ValueKind[float](_FACTOR_WORDS, {"type": "number", "exclusiveMinimum": 1, "maximum": 100}, _read_factor)
_RETRY_KEYS = (
    Key("attempts", whole(0, 100), "How often a failed trial is tried again.", "0"),
    Key("oom", whole(0, 10), "How often a trial that was killed for memory is tried again with more of it, but never"
        " with more than the largest machine has. `attempts` does not count for it then.", "0; 3 with `memory_factor`"),
    Key("memory_factor", _FACTOR, "How much more: `resources.memory` times this, then that times this.", "1.5"),
)  # fmt: skip
_RETRIES = section(_RETRY_KEYS, also={"max": "attempts", "limit": "attempts", "factor": "memory_factor",
                                      "out_of_memory": "oom"})  # fmt: skip
_RETRY_WORDS = "a whole number from 0 to 100, or a mapping with attempts, oom or memory_factor"


def _read_retries(found: Field) -> Retry | None:
    read = _RETRIES.read(found)
    if read is None:
        return None
    if not found.entries():
        found.expected(_RETRY_WORDS)
        return None
    factor: float | None = read.get("memory_factor")
    oom: int | None = read.get("oom")
    if oom is None:
        oom = OOM_TRIES if factor else 0
    return Retry(read.get("attempts") or 0, oom, factor or 1.5)


RETRY = either(
    _RETRY_WORDS,
    scalar=changed(whole(0, 100), Retry),
    mapping=ValueKind[Retry](_RETRY_WORDS, {**_RETRIES.schema, "minProperties": 1}, _read_retries, tuple(_RETRY_KEYS)),
)

_IGNORE = text("a pattern as in .gitignore", most=1000)
_CODE_KEYS = (
    Key("ignore", either("a pattern or a list of patterns", scalar=changed(_IGNORE, lambda one: (one,)),
                         listing=list_of(_IGNORE, "a list of patterns as in .gitignore", least=0)),
        "What is left out, besides what `.gitignore` (those above the folder in its git repository too) and"
        " `.orchestuneignore` name.", "nothing"),
    Key("limit", SIZE, "How large the code may be.", "200Mi"),
)  # fmt: skip
CODE = changed(
    section(_CODE_KEYS, also={"exclude": "ignore", "max_size": "limit", "size": "limit"}),
    lambda read: CodeSettings(tuple(read.get("ignore") or ()), read.get("limit") or DEFAULT_LIMIT),
)
