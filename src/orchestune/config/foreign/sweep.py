"""Sweeps of Weights & Biases: https://docs.wandb.ai/models/sweeps/sweep-config-keys."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

from orchestune.config.document.nodes import Entries, Node, ScalarNode, mapping, plain
from orchestune.config.document.report import ProblemReport
from orchestune.config.foreign.notes import ForeignFile, number, rounded, valid_names, without_empty
from orchestune.config.foreign.wandb_log import wandb_collect
from orchestune.config.sections.short_spelling import extended, spelled
from orchestune.config.sources.draft import Draft

_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
_WORDS = {"${env}": "", "${args}": "{args}", "${args_no_boolean_flags}": "{args}",
          "${args_no_hyphens}": "{hydra}"}  # fmt: skip
_IN_SHELL = {"${args_json}": '"$(cat "$ORCHESTUNE_PARAMS")"', "${args_json_file}": '"$ORCHESTUNE_PARAMS"'}
_ENVVAR = re.compile(r"\$\{envvar:(\w+)\}")
_SPREAD = 3
"""range of a normal distribution, in standard deviations to each side"""
_MAX_EXPONENT = 700.0
"""larger exponents of e overflow"""


def draft(root: Entries, report: ProblemReport, python: str = "python") -> Draft:
    """Convert the sweep to an experiment that uses the interpreter `python`.

    Problems and notes are added to the report.
    """
    top = ForeignFile(root, "", report)
    method = top.text("method")
    document: dict[str, Any] = {"name": top.text("name")}
    words = _words(top.value("command") or list(_COMMAND))
    document["run"] = _run([python if word == "${interpreter}" else word for word in words], top)
    parameters = _parameters(top.take("parameters"), "", report)
    if {"${args}", "${args_no_hyphens}"} & set(words):
        parameters = {name: _as_words(name, space, report) for name, space in parameters.items()}
    document["parameters"] = parameters
    metric = top.below("metric")
    name, target = metric.text("name"), metric.value("target")
    metric_name = ""
    if name:
        metric_name = valid_names("metrics", [name], report.notes)[name]
        document["metrics"] = {metric_name: metric.text("goal") or "minimize"}
    metric.leave()
    document |= _wandb_keys(root.get("program"), root.position.file, name, metric_name, report)
    document["engine"] = _engine(method, top)
    document["budget"] = top.value("run_cap")
    if document["budget"] is None and document["engine"] != "grid":
        document["budget"] = 40
        top.note("a sweep without run_cap never ends; budget 40 is used instead")
    document["stop"] = without_empty({"target": target})
    document["early_stopping"] = _early_stopping(top.below("early_terminate"))
    if document["early_stopping"] and "collect" in document:
        example = f'print(f"{metric_name}={{value}}")'
        top.note(f"needs {name} while a trial runs: print it beside wandb.log, as {example}", "early_terminate")
    document["labels"] = without_empty({key: top.text(key) for key in ("project", "entity", "description")})
    top.leave("controller")
    return Draft(mapping(without_empty(document), root.position))


def _wandb_keys(
    program: Node | None, sweep_file: str, metric: str | None, new_name: str, report: ProblemReport
) -> dict[str, Any]:
    """Return what `wandb_collect` returns for the script of the sweep, with its notes added to the report."""
    if not isinstance(program, ScalarNode):
        return {}
    script = Path(sweep_file).parent / program.text  # relative to the working directory of the agent
    keys, notes = wandb_collect(script if script.is_file() else Path(program.text), metric, new_name)
    report.notes += notes
    return keys


def _engine(method: str | None, top: ForeignFile) -> str | None:
    if method in ("random", "grid"):
        return method
    if method != "bayes":
        top.note(f"the method {method} has no counterpart; the engine is auto", "method")
    return None


def _words(command: Any) -> list[str]:
    return [str(word) for word in command] if isinstance(command, list) else str(command).split()


def _run(words: list[str], top: ForeignFile) -> str | None:
    """Convert the command. Macros of W&B become placeholders, or shell expressions if there is none."""
    program = top.text("program")
    if not program and "${program}" in words:
        top.note("the sweep names no program: add the command, -- COMMAND")
        return None
    shell_words = [text for word in words if (text := _word(word, program or "", top))]
    return " ".join(shell_words)


def _word(word: str, program: str, top: ForeignFile) -> str:
    if word in _WORDS:
        return _WORDS[word]
    if word in _IN_SHELL:
        return _IN_SHELL[word]
    if word == "${program}":
        return shlex.quote(program)
    if "${" in _ENVVAR.sub("", word):
        top.note(f"unknown macro in {word!r}: left to the shell", "command")
        return word
    parts = _ENVVAR.split(word)  # odd items are names of variables
    quoted_parts = [
        f'"${{{part}}}"' if index % 2 else _quoted(part) for index, part in enumerate(parts) if part or not word
    ]
    return "".join(quoted_parts)


def _quoted(text: str) -> str:
    return shlex.quote(text).replace("{", "{{").replace("}", "}}")


def _parameters(node: Node | None, prefix: str, report: ProblemReport) -> dict[str, Any]:
    spaces: dict[str, Any] = {}
    top = ForeignFile(node, f"parameters{'.' + prefix.rstrip('.') if prefix else ''}", report)
    for name, new_name in valid_names("parameters", list(top), report.notes).items():
        item = top.take(name)
        space = ForeignFile(item, f"parameters.{prefix}{name}", report)
        if "parameters" in space and isinstance(item, Entries):
            space.note(f"its parameters are named {prefix}{new_name}.…, also in the command")
            spaces |= _parameters(space.take("parameters"), f"{prefix}{new_name}.", report)
        else:
            range_spelling = _space(space)
            if range_spelling is not None:
                spaces[f"{prefix}{new_name}"] = range_spelling
        space.leave()
    return spaces


def _space(space: ForeignFile) -> Any:
    values, value, weights = space.value("values"), space.take("value"), space.value("probabilities")
    if value is not None:
        space.value("distribution")
        return [_single(plain(value))]
    if isinstance(values, list):
        space.value("distribution")
        return _listed(space, values, weights)
    distribution, low, high = space.text("distribution"), number(space.value("min")), number(space.value("max"))
    quantum = number(space.value("q")) or 1
    kind = distribution or ("int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform")
    quantized = kind.startswith("q_")
    plain_kind = kind.removeprefix("q_")
    bounds, prior = _prior(space, plain_kind)
    bounds = bounds or _bounds(space, plain_kind, low, high)
    if bounds is None:
        return None
    if bounds[0] == bounds[1]:
        return [bounds[0]]
    log = "log" in plain_kind
    if kind == "int_uniform":
        return spelled(math.floor(bounds[0]), math.ceil(bounds[1]), whole=True)
    if quantized and quantum < 0:
        space.reject("must be more than 0", name="q")
        return None
    spelling = _quantized(*bounds, quantum, log) if quantized else spelled(*bounds, log=log)
    return extended(spelling, {"prior": prior}) if prior else spelling


def _listed(space: ForeignFile, values: list[Any], weights: Any) -> Any:
    if None in values:
        space.note("null is passed to the program as the word None")
    choices = [_single(item) for item in values]
    if weights is None:
        return choices
    if not isinstance(weights, list) or len(weights) != len(values):
        space.reject("needs one probability for each value", name="probabilities")
    return extended(choices, {"prior": {"weights": weights}})


def _prior(space: ForeignFile, kind: str) -> tuple[tuple[float, float] | None, dict[str, Any]]:
    """Return the range and the prior of an unbounded distribution; nothing for any other."""
    if kind == "beta":
        shapes = {name: number(space.value(name)) or 1 for name in ("a", "b")}
        return (0.0, 1.0), shapes
    if kind not in ("normal", "log_normal"):
        return None, {}
    mu, sigma = number(space.value("mu")) or 0, number(space.value("sigma")) or 1
    low, high = mu - _SPREAD * sigma, mu + _SPREAD * sigma
    space.note(f"{kind} is cut off at {_SPREAD} standard deviations to each side")
    if kind == "normal":
        return (rounded(low), rounded(high)), {"mean": mu, "std": sigma}
    bounds = _powers(space, low, high)
    return bounds, {"median": rounded(math.exp(mu)), "factor": rounded(math.exp(sigma))} if bounds else {}


def _bounds(space: ForeignFile, kind: str, low: Any, high: Any) -> tuple[float, float] | None:
    if kind in ("normal", "log_normal"):
        return None
    if low is None or high is None:
        space.reject("needs min and max, or values, or value")
        return None
    if kind == "log_uniform":
        if abs(low) < 1 and abs(high) < 1:
            space.note("log_uniform takes exponents of e: if min and max are values, replace them by the range here")
        return _powers(space, low, high)
    if kind == "inv_log_uniform":
        return _powers(space, -high, -low)
    if kind not in ("uniform", "int_uniform", "log_uniform_values", "inv_log_uniform_values"):
        space.note(f"unknown distribution {kind}: uniform is used")
    return low, high


def _powers(space: ForeignFile, low: float, high: float) -> tuple[float, float] | None:
    """Return the powers of e."""
    if max(abs(low), abs(high)) > _MAX_EXPONENT:
        space.reject("takes exponents of e, and these are too large", "log_uniform_values takes the values themselves")
        return None
    return rounded(math.exp(low)), rounded(math.exp(high))


def _quantized(low: float, high: float, quantum: float, log: bool) -> str:
    """Format a range of multiples of `quantum`, as given by `round(x / q) * q`."""
    whole = float(quantum).is_integer()
    first, last = round(low / quantum) * quantum, round(high / quantum) * quantum
    if log and first <= 0:
        first = quantum
    digits = max(0, -math.floor(math.log10(quantum))) + 6
    return spelled(round(first, digits), round(last, digits), log=log, step=quantum, whole=whole)


def _single(value: Any) -> Any:
    """Convert a value as W&B writes it in the command: None as a word, lists as JSON."""
    if value is None:
        return "None"
    return value if isinstance(value, (str, int, float)) else json.dumps(value)


def _as_words(name: str, space: Any, report: ProblemReport) -> Any:
    """Convert booleans to the words of `--name=True`, as W&B writes them; `{args}` would write a bare `--name`."""
    choices = space.get("values") if isinstance(space, dict) else space
    if not isinstance(choices, list) or not any(isinstance(item, bool) for item in choices):
        return space
    report.notes.append(f"parameters.{name}: true and false are written True and False in the command, as in W&B")
    words = [str(item) if isinstance(item, bool) else item for item in choices]
    return {**space, "values": words} if isinstance(space, dict) else words


def _early_stopping(early: ForeignFile) -> dict[str, Any]:
    kind = early.text("type")
    if kind is None:
        return {}
    if kind != "hyperband":
        early.note(f"the type {kind} has no counterpart", "type")
        return {}
    eta, min_steps, max_steps, brackets = (number(early.value(name)) for name in ("eta", "min_iter", "max_iter", "s"))
    eta = eta or 3
    if min_steps is None and max_steps is not None:
        min_steps = _first_bracket(max_steps, eta, brackets or 1)
    if early.value("strict"):
        early.note("strict has no effect", "strict")
    early.note("W&B's hyperband stops all but the best 1/eta at each bracket: asha does the same")
    early.leave()
    return without_empty({"type": "asha", "min_steps": min_steps, "reduction": eta})


def _first_bracket(most: float, eta: float, brackets: float) -> int:
    """Return the step of the first bracket of W&B; 1 also if the power would overflow."""
    if most <= 1 or eta <= 1 or brackets * math.log(eta) >= math.log(most):
        return 1
    return int(most / eta**brackets)
