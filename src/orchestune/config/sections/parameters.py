"""The section `parameters`: ranges and lists in their short spelling, mappings in the long one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestune.config.document.kinds import LARGEST, LARGEST_WHOLE, NUMBER, TRUTH, Key, ValueKind, one_of
from orchestune.config.document.nodes import ScalarNode, quoted, written
from orchestune.config.document.report import Field
from orchestune.config.document.scalars import resolve
from orchestune.config.document.shapes import NamedEntry, changed, either, list_of, mapping_of, section
from orchestune.domain.search.parameters import LONGEST_TEXT, Parameter, Value
from orchestune.domain.search.priors import KEYS as PRIOR_KEYS
from orchestune.domain.search.priors import Prior
from orchestune.domain.search.space import MOST_CHOICES
from orchestune.domain.words import did_you_mean
from orchestune.worker.command import variable

MOST_STEPS = 10**9
_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]+)?)(?:[eE][-+]?[0-9]+)?"
_RANGE = rf"\s*{_NUMBER}\s*\.\.\s*{_NUMBER}(?:[\s:]+(?:log|int|float|step[\s:=]+{_NUMBER}))*\s*"
_RANGE_WORDS = "a range such as 2..8, 0.0..1.0, 1e-6..0.1 log or 0..1 step 0.1"
_TYPES = {
    "double": "float", "real": "float", "number": "float", "uniform": "float", "integer": "int",
    "choice": "categorical", "enum": "categorical", "string": "categorical", "str": "categorical", "boolean": "bool",
    "loguniform": "float with log: true", "log_uniform": "float with log: true", "log": "float with log: true",
    "quniform": "float with a step", "randint": "int", "constant": "categorical with one value",
}  # fmt: skip


def _read_value(found: Field) -> Value | None:
    node = found.node
    if isinstance(node, ScalarNode) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return NUMBER.read(found)
    if not isinstance(node, ScalarNode) or node.value is None:
        found.expected("text, a number, true or false")
    elif len(node.text) > LONGEST_TEXT:
        found.expected(f"text of at most {LONGEST_TEXT:,} characters")
    else:
        return node.value
    return None


VALUE = ValueKind[Value](
    "text, a number, true or false", {"type": ["string", "number", "boolean"], "maxLength": LONGEST_TEXT}, _read_value
)
_LISTED = list_of(VALUE, "a list with at least one value", most=MOST_CHOICES)


def is_range(text: str) -> bool:
    """Whether it would be read as a range where it stands alone."""
    return ".." in text and re.fullmatch(_RANGE, text) is not None


def _read_values(found: Field) -> tuple[Value, ...] | None:
    values = _LISTED.read(found)
    for node in [item.node for item in found.items() if isinstance(item.node, ScalarNode)]:
        if is_range(node.text):
            found.note(f"{node.text} is a text among others here; a range stands alone")
        elif isinstance(node.value, (int, float)) and _NAMES_SOMETHING.fullmatch(node.text):
            found.note(f"{node.text} is the number {written(node.value)}; a text stands in quotes, '{node.text}'")
    return values


_NAMES_SOMETHING = re.compile(r"[-+]?0[0-9]+|[1-9][0-9]*\.[0-9]*[1-9]0+")
"""numbers of which some digits mean nothing, as in `3.10` and `007`, but for names, of which each does"""
VALUES = _LISTED.read_by(_read_values)


def _listed(choices: tuple[Value, ...]) -> Parameter:
    if len(choices) == 2 and {type(choice) for choice in choices} == {bool} and choices[0] != choices[1]:
        return Parameter("", "bool", choices=(False, True))
    return Parameter("", "categorical", choices=choices)


def _read_short(found: Field) -> Parameter | None:
    assert isinstance(found.node, ScalarNode)
    text = found.node.text.strip()
    if text == "bool":
        return Parameter("", "bool", choices=(False, True))
    if ".." not in text or len(text) > 200:
        if isinstance(found.node.value, str):
            found.expected(f"{_RANGE_WORDS}, a list of values, or bool", _meant(text))
            return None
        found.expected(f"{_RANGE_WORDS}, or a list of values", f"for a constant write [{text[:40]}]")
        return None
    if "..." in text:
        found.wrong(f"found {quoted(text)}, expected {_RANGE_WORDS}", "a range has two dots")
        return None
    low_text, _, rest = text.partition("..")
    high_text, *words = re.split(r"[\s:]+|(?<=step)=", rest.strip()) or [""]
    low, high = _bound(found, low_text.strip()), _bound(found, high_text)
    log, step, kind = False, None, None
    while words:
        word = words.pop(0)
        if word == "log":
            log = True
        elif (word == "step" and step is not None) or (word in ("int", "float") and kind not in (None, word)):
            why = "step is there twice" if word == "step" else "int and float exclude each other"
            found.wrong(f"found {quoted(text)}, where {why}", "keep one of them")
            return None
        elif word in ("int", "float"):
            kind = word
        elif word == "step" and words:
            step = _bound(found, words.pop(0))
        else:
            found.wrong(f"found {quoted(word)} after the range, expected log, int, float or step N",
                        did_you_mean(word, ["log", "step", "int", "float"], _SCALES))  # fmt: skip
            return None
    if low is None or high is None:
        return None
    return _numeric(found, kind, low, high, log, step)


def _meant(text: str) -> str:
    bounds = re.fullmatch(rf"({_NUMBER})\s*(?:[:\-–]|to|\.)\s*({_NUMBER})((?:[\s:]+.*)?)", text)
    if bounds:
        return f"did you mean {bounds[1]}..{bounds[2]}{bounds[3]}?"
    called = re.fullmatch(rf"(?:\w+\.)*(log_?)?(uniform|rand_?int)\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)", text)
    if called:
        words = (" log" if called[1] else "") + (" float" if called[2] == "uniform" and called[3].isdigit() else "")
        return f"did you mean {called[3]}..{called[4]}{words}?"
    return did_you_mean(text, ["bool"], _BOOLEAN)


_BOOLEAN = {"boolean": "bool", "flag": "bool", "true/false": "bool", "switch": "bool"}
_SCALES = {
    "logarithmic": "log",
    "loguniform": "log",
    "log10": "log",
    "by": "step",
    "q": "step",
    "integer": "int",
    "whole": "int",
    "double": "float",
}


def _bound(found: Field, text: str) -> float | None:
    value = resolve(text)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return value
    huge = isinstance(value, (int, float)) and abs(value) > LARGEST
    allowed = NUMBER.words if huge else _RANGE_WORDS
    found.wrong(f"found {quoted(text)} as a number of the range {quoted(_text(found))}, expected {allowed}")
    return None


def _text(found: Field) -> str:
    return found.node.text if isinstance(found.node, ScalarNode) else ""


def _numeric(
    found: Field, kind: str | None, low: float, high: float, log: bool, step: float | None
) -> Parameter | None:
    numbers = [number for number in (low, high, step) if number is not None]
    if kind is None:
        kind = "int" if all(isinstance(number, int) for number in numbers) else "float"
        if kind == "int" and (low, high) == (0, 1):
            found.note("takes 0 or 1; for a number between them write 0.0..1.0 (type: float)")
    if kind == "int" and any(number != int(number) for number in numbers):
        found.wrong("an int has whole bounds and a whole step", "write type: float, or whole numbers")
        return None
    if kind == "int" and any(abs(number) > LARGEST_WHOLE for number in numbers):
        found.wrong(f"whole numbers up to {LARGEST_WHOLE} are allowed", "write the bounds as floats")
        return None
    if step is not None and step > 0 and low < high and (high - low) / step > MOST_STEPS:
        found.wrong(f"the step {step:g} makes more than {MOST_STEPS:,} values", "choose a larger step")
        return None
    if kind == "int":
        return Parameter("", "int", int(low), int(high), log, None if step is None else int(step))
    return Parameter("", "float", float(low), float(high), log, None if step is None else float(step))


_NAMES = NamedEntry(
    "a parameter",
    r"[A-Za-z_][A-Za-z0-9_.\-/]*",
    "ASCII letters, digits and _ . - / are allowed, a letter or _ first",
    {name: f"{{{name}}} in `run` stands for all parameters" for name in ("args", "hydra")},
)
WHEN = mapping_of(
    NamedEntry("a parameter", _NAMES.pattern, _NAMES.words),
    either("a value or a list of values", scalar=changed(VALUE, lambda value: (value,)), listing=VALUES),
    "a mapping from another parameter to its value or a list of values",
    least=1,
)
_PRIOR_KEYS = (
    *(Key(name, NUMBER, about) for name, about in (
        ("mean", "Of a normal distribution."), ("std", "Its standard deviation."),
        ("median", "Of a log-normal distribution."), ("factor", "Two thirds lie within this factor of it."),
        ("a", "First shape of a beta distribution over the range."), ("b", "Its second shape."),
    )),
    Key("weights", list_of(NUMBER, "a list of numbers", most=MOST_CHOICES), "One for each listed value."),
)  # fmt: skip
_PRIOR = section(_PRIOR_KEYS, also={"sd": "std", "stddev": "std", "sigma": "std", "mu": "mean", "scale": "std"})


def _read_prior(found: Field) -> Prior | None:
    before = len(found.report.found)
    read = _PRIOR.read(found)
    if read is None or len(found.report.found) > before:
        return None
    if not any(set(read) == set(keys) for keys in PRIOR_KEYS.values()):
        found.expected("mean and std, median and factor, a and b, or weights")
        return None
    return Prior.from_json(read)


PRIOR = _PRIOR.read_by(_read_prior)
KEYS = (
    Key("type", one_of(("float", "int", "categorical", "bool"), _TYPES), "What the values are.",
        "`categorical` with listed values, `int` with whole bounds, else `float`"),
    Key("min", NUMBER, "The least value."),
    Key("max", NUMBER, "The largest value."),
    Key("log", TRUTH, "Whether ratios count rather than differences.", "false"),
    Key("step", NUMBER, "The distance between values, counted from `min`.", "none; 1 for an int"),
    Key("values", VALUES, "The values of a categorical parameter."),
    Key("choices", VALUES, "Another name of `values`."),
    Key("prior", PRIOR, "Where good values are believed to lie: `{mean: 0.9, std: 0.05}`, `{median: 1e-3, factor: 3}`"
        " (two thirds lie within that factor), `{a: 2, b: 5}` (beta over the range), or `{weights: [3, 1]}` of listed"
        " values (of `type: bool` first that of false)."),
    Key("when", WHEN, "The parameter exists only where each named parameter (which may have conditions itself) has the"
        " value, or one of the listed values."),
)  # fmt: skip
_ALSO = {
    "low": "min", "high": "max", "lower": "min", "upper": "max", "bounds": "min and max", "options": "values",
    "condition": "when", "conditions": "when", "if": "when", "scale": "log", "log_scale": "log", "scalingtype": "log",
    "distribution": "log or prior", "dist": "log or prior", "q": "step", "quantum": "step", "value": "values",
    "vals": "values", "grid_search": "values", "categories": "values", "minval": "min", "maxval": "max",
    "minvalue": "min", "maxvalue": "max", "_type": "type", "_value": "min and max, or values",
}  # fmt: skip
_LONG = section(KEYS, also=_ALSO)


def _read_long(found: Field) -> Parameter | None:
    before = len(found.report.found)
    read = _LONG.read(found)
    if read is None or len(found.report.found) > before:
        return None
    when = tuple((parent, tuple(values)) for parent, values in (read.get("when") or {}).items())
    parameter = _from_long(found, read)
    prior: Prior | None = read.get("prior")
    if parameter is None:
        return None
    listed = read.get("values", read.get("choices", parameter.choices))
    if prior is not None and prior.kind == "weights" and listed[:1] == (True,) and parameter.choices[:1] == (False,):
        prior = replace(prior, numbers=prior.numbers[::-1])  # the values of a bool are false and true, in this order
    return replace(parameter, when=when, prior=prior)


def _from_long(found: Field, read: Mapping[str, Any]) -> Parameter | None:
    kind = read.get("type")
    if "values" in read and "choices" in read:
        found.wrong("has both `values` and `choices`", "they mean the same; keep one")
        return None
    choices: tuple[Value, ...] | None = read.get("values", read.get("choices"))
    bounds = [key for key in ("min", "max", "log", "step") if key in read]
    if kind == "bool":
        return Parameter("", "bool", choices=(False, True)) if _alone(found, "bool", bounds, choices) else None
    if choices is not None or kind == "categorical":
        if kind in ("float", "int"):
            found.wrong(f"is of type {kind} and lists values", "leave out type: the listed values say it all")
            return None
        if choices is None:
            found.wrong("a categorical parameter needs `values`")
            return None
        if not _alone(found, "categorical", bounds, None):
            return None
        return Parameter("", "categorical", choices=choices) if kind else _listed(choices)
    missing = [key for key in ("min", "max") if key not in read]
    if missing:
        found.wrong(f"needs {' and '.join(f'`{key}`' for key in missing)}", "or `values`, or type: bool")
        return None
    return _numeric(found, kind, read["min"], read["max"], read.get("log", False), read.get("step"))


def _alone(found: Field, kind: str, bounds: Sequence[str], choices: tuple[Value, ...] | None) -> bool:
    unfit = [*bounds, *(["values"] if choices is not None else [])]
    if unfit:
        found.wrong(f"a parameter of type {kind} has no {' and no '.join(f'`{key}`' for key in unfit)}")
    return not unfit


_SHORT = ValueKind[Parameter](
    _RANGE_WORDS, {"type": "string", "anyOf": [{"pattern": f"^{_RANGE}$"}, {"const": "bool"}]}, _read_short
)
PARAMETER = either(
    f"{_RANGE_WORDS}, a list of values, bool, or a mapping",
    scalar=_SHORT,
    listing=changed(VALUES, _listed),
    mapping=_LONG.read_by(_read_long),
)


def _read_parameters(found: Field) -> tuple[Parameter, ...] | None:
    read = _MAPPING.read(found)
    if read is None:
        return None
    variables: dict[str, str] = {}
    for name, (place, value) in found.entries().items():
        other = variables.setdefault(variable(name), name)
        if other != name:
            Field(place, value.key, found.report).wrong(
                f"{name} and {other} would both be the variable {variable(name)}", "rename one of them"
            )
    return tuple(replace(parameter, name=name) for name, parameter in read.items())


_MAPPING = mapping_of(_NAMES, PARAMETER, "a mapping from names to ranges or lists of values", least=1)
PARAMETERS = _MAPPING.read_by(_read_parameters)
