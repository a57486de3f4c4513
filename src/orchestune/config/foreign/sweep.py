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
from orchestune.config.foreign.notes import ForeignFile, called, figures, number, without_empty
from orchestune.config.foreign.wandb_log import collected
from orchestune.config.sections.short_spelling import extended, spelled
from orchestune.config.sources.draft import Draft

_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
_WORDS = {"${env}": "", "${args}": "{args}", "${args_no_boolean_flags}": "{args}",
          "${args_no_hyphens}": "{hydra}"}  # fmt: skip
_IN_SHELL = {"${args_json}": '"$(cat "$ORCHESTUNE_PARAMS")"', "${args_json_file}": '"$ORCHESTUNE_PARAMS"'}
_ENVVAR = re.compile(r"\$\{envvar:(\w+)\}")
_SPREAD = 3
"""standard deviations to each side that stand for a normal distribution"""
_LARGEST = 700.0
"""exponents of e beyond it make no number"""


def draft(root: Entries, report: ProblemReport, python: str = "python") -> Draft:
    """The sweep as an experiment, whose interpreter is `python`; mistakes and notes go into the report."""
    top = ForeignFile(root, "", report)
    program = root.get("program")
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
    if name:
        here = called("metrics", [name], report.notes)[name]
        document["metrics"] = {here: metric.text("goal") or "minimize"}
        if isinstance(program, ScalarNode):
            beside = Path(root.place.file).parent / program.text  # an agent starts it where it is itself started
            logged, notes = collected(beside if beside.is_file() else Path(program.text), name, here)
            document |= logged
            report.notes += notes
    metric.leave()
    document["engine"] = _engine(method, top)
    document["budget"] = top.value("run_cap")
    if document["budget"] is None and document["engine"] != "grid":
        document["budget"] = 40
        top.note("a sweep without run_cap goes on for ever; budget 40 stands in its place")
    document["stop"] = without_empty({"target": target})
    document["early_stopping"] = _early(top.below("early_terminate"))
    document["labels"] = without_empty({key: top.text(key) for key in ("project", "entity", "description")})
    top.leave("controller")
    return Draft(mapping(without_empty(document), root.place))


def _engine(method: str | None, top: ForeignFile) -> str | None:
    if method in ("random", "grid"):
        return method
    if method != "bayes":
        top.note(f"the method {method} has no counterpart here; the engine is auto", "method")
    return None


def _words(command: Any) -> list[str]:
    return [str(word) for word in command] if isinstance(command, list) else str(command).split()


def _run(words: list[str], top: ForeignFile) -> str | None:
    """The command. Macros of W&B become placeholders, or the shell's words where there is none."""
    program = top.text("program")
    if not program and "${program}" in words:
        top.note("the program is not named, so the command has to be said: end with -- COMMAND")
        return None
    made = [text for word in words if (text := _word(word, program or "", top))]
    return " ".join(made)


def _word(word: str, program: str, top: ForeignFile) -> str:
    if word in _WORDS:
        return _WORDS[word]
    if word in _IN_SHELL:
        return _IN_SHELL[word]
    if word == "${program}":
        return shlex.quote(program)
    if "${" in _ENVVAR.sub("", word):
        top.note(f"the macro in {word!r} is not known here; the shell reads it", "command")
        return word
    parts = _ENVVAR.split(word)  # every other one is the name of a variable
    made = [f'"${{{part}}}"' if index % 2 else _quoted(part) for index, part in enumerate(parts) if part or not word]
    return "".join(made)


def _quoted(text: str) -> str:
    return shlex.quote(text).replace("{", "{{").replace("}", "}}")


def _parameters(node: Node | None, before: str, report: ProblemReport) -> dict[str, Any]:
    found: dict[str, Any] = {}
    top = ForeignFile(node, f"parameters{'.' + before.rstrip('.') if before else ''}", report)
    for name, here in called("parameters", list(top), report.notes).items():
        item = top.take(name)
        space = ForeignFile(item, f"parameters.{before}{name}", report)
        if "parameters" in space and isinstance(item, Entries):
            space.note(f"its parameters are called {before}{here}.… here, also in the command")
            found |= _parameters(space.take("parameters"), f"{before}{here}.", report)
        else:
            read = _space(space)
            if read is not None:
                found[f"{before}{here}"] = read
        space.leave()
    return found


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
    bounds, prior = _believed(space, plain_kind)
    bounds = bounds or _bounds(space, plain_kind, low, high)
    if bounds is None:
        return None
    if bounds[0] == bounds[1]:
        return [bounds[0]]
    log = "log" in plain_kind
    if kind == "int_uniform":
        return spelled(math.floor(bounds[0]), math.ceil(bounds[1]), whole=True)
    if quantized and quantum < 0:
        space.wrong("is the distance between values, and larger than 0", name="q")
        return None
    found = _quantized(*bounds, quantum, log) if quantized else spelled(*bounds, log=log)
    return extended(found, {"prior": prior}) if prior else found


def _listed(space: ForeignFile, values: list[Any], weights: Any) -> Any:
    if None in values:
        space.note("null is given to the program as the word None")
    found = [_single(item) for item in values]
    if weights is None:
        return found
    if not isinstance(weights, list) or len(weights) != len(values):
        space.wrong("needs one of the probabilities for each of the values", name="probabilities")
    return extended(found, {"prior": {"weights": weights}})


def _believed(space: ForeignFile, kind: str) -> tuple[tuple[float, float] | None, dict[str, Any]]:
    """The range of a distribution that has no bounds, and the prior that it is; nothing of any other."""
    if kind == "beta":
        shapes = {name: number(space.value(name)) or 1 for name in ("a", "b")}
        return (0.0, 1.0), shapes
    if kind not in ("normal", "log_normal"):
        return None, {}
    mu, sigma = number(space.value("mu")) or 0, number(space.value("sigma")) or 1
    low, high = mu - _SPREAD * sigma, mu + _SPREAD * sigma
    space.note(f"{kind} is cut off at {_SPREAD} standard deviations to each side")
    if kind == "normal":
        return (figures(low), figures(high)), {"mean": mu, "std": sigma}
    bounds = _powers(space, low, high)
    return bounds, {"median": figures(math.exp(mu)), "factor": figures(math.exp(sigma))} if bounds else {}


def _bounds(space: ForeignFile, kind: str, low: Any, high: Any) -> tuple[float, float] | None:
    if kind in ("normal", "log_normal"):
        return None
    if low is None or high is None:
        space.wrong("needs min and max, or values, or value")
        return None
    if kind == "log_uniform":
        if abs(low) < 1 and abs(high) < 1:
            space.note("log_uniform takes exponents of e: if min and max are the values themselves, write them here")
        return _powers(space, low, high)
    if kind == "inv_log_uniform":
        return _powers(space, -high, -low)
    if kind not in ("uniform", "int_uniform", "log_uniform_values", "inv_log_uniform_values"):
        space.note(f"the distribution {kind} is not known here; it is read as uniform")
    return low, high


def _powers(space: ForeignFile, low: float, high: float) -> tuple[float, float] | None:
    """What those exponents of e make."""
    if max(abs(low), abs(high)) > _LARGEST:
        space.wrong("takes exponents of e, and these are too large", "log_uniform_values takes the values themselves")
        return None
    return figures(math.exp(low)), figures(math.exp(high))


def _quantized(low: float, high: float, quantum: float, log: bool) -> str:
    """Multiples of `quantum`, as `round(x / q) * q` gives them."""
    whole = float(quantum).is_integer()
    first, last = round(low / quantum) * quantum, round(high / quantum) * quantum
    if log and first <= 0:
        first = quantum
    digits = max(0, -math.floor(math.log10(quantum))) + 6
    return spelled(round(first, digits), round(last, digits), log=log, step=quantum, whole=whole)


def _single(value: Any) -> Any:
    """A value as W&B writes it into the command: None as a word, lists as they are in Python."""
    if value is None:
        return "None"
    return value if isinstance(value, (str, int, float)) else json.dumps(value)


def _as_words(name: str, space: Any, report: ProblemReport) -> Any:
    """Truth values as `--name=True`, which is how W&B writes them; `{args}` would write a bare `--name`."""
    listed = space.get("values") if isinstance(space, dict) else space
    if not isinstance(listed, list) or not any(isinstance(item, bool) for item in listed):
        return space
    report.notes.append(f"parameters.{name}: true and false stand in the command as True and False, as W&B writes them")
    words = [str(item) if isinstance(item, bool) else item for item in listed]
    return {**space, "values": words} if isinstance(space, dict) else words


def _early(early: ForeignFile) -> dict[str, Any]:
    kind = early.text("type")
    if kind is None:
        return {}
    if kind != "hyperband":
        early.note(f"the type {kind} has no counterpart here", "type")
        return {}
    eta, least, most, brackets = (number(early.value(name)) for name in ("eta", "min_iter", "max_iter", "s"))
    eta = eta or 3
    if least is None and most is not None:
        least = _first_bracket(most, eta, brackets or 1)
    if early.value("strict"):
        early.note("strict has no effect here", "strict")
    early.note("hyperband of W&B ends what is not among the best 1/eta at each bracket: asha does that here")
    early.leave()
    return without_empty({"type": "asha", "min_steps": least, "reduction": eta})


def _first_bracket(most: float, eta: float, brackets: float) -> int:
    """The steps after which W&B looks first; 1 also where the power would be beyond all numbers."""
    if most <= 1 or eta <= 1 or brackets * math.log(eta) >= math.log(most):
        return 1
    return int(most / eta**brackets)
