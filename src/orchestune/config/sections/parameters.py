"""The section `parameters`: ranges and lists in the short form, mappings in the long form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestune.config.document.kinds import BOOLEAN, MAX_INTEGER, MAX_NUMBER, NUMBER, Key, ValueKind, one_of
from orchestune.config.document.nodes import ScalarNode, quoted, yaml_text
from orchestune.config.document.report import Field
from orchestune.config.document.scalars import resolve
from orchestune.config.document.shapes import NamedEntry, converted, either, list_of, mapping_of, section
from orchestune.domain.search.parameters import MAX_CHOICE_CHARS, Parameter, Value
from orchestune.domain.search.priors import KEYS as PRIOR_KEYS
from orchestune.domain.search.priors import Prior
from orchestune.domain.search.space import MAX_CHOICES
from orchestune.domain.words import did_you_mean
from orchestune.worker.command import variable

MAX_STEPS = 10**9
_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]+)?)(?:[eE][-+]?[0-9]+)?"
_RANGE = rf"\s*{_NUMBER}\s*\.\.\s*{_NUMBER}(?:[\s:]+(?:log|int|float|step[\s:=]+{_NUMBER}))*\s*"
_RANGE_WORDS = "a range such as 2..8, 0.0..1.0, 1e-6..0.1 log or 0..1 step 0.1"
_TYPES = {
    "double": "float", "real": "float", "number": "float", "uniform": "float", "integer": "int",
    "choice": "categorical", "enum": "categorical", "string": "categorical", "str": "categorical", "boolean": "bool",
    "loguniform": "float with log: true", "log_uniform": "float with log: true", "log": "float with log: true",
    "quniform": "float with a step", "randint": "int", "constant": "categorical with one value",
}  # fmt: skip


def _read_value(field: Field) -> Value | None:
    node = field.node
    if isinstance(node, ScalarNode) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return NUMBER.read(field)
    if not isinstance(node, ScalarNode) or node.value is None:
        field.expected("text, a number, true or false")
    elif len(node.text) > MAX_CHOICE_CHARS:
        field.expected(f"text of at most {MAX_CHOICE_CHARS:,} characters")
    else:
        return node.value
    return None


VALUE = ValueKind[Value](
    "text, a number, true or false",
    {"type": ["string", "number", "boolean"], "maxLength": MAX_CHOICE_CHARS},
    _read_value,
)
_VALUE_LIST = list_of(VALUE, "a list with at least one value", most=MAX_CHOICES)


def is_range(text: str) -> bool:
    """Return True if `text`, as the whole value, is a range."""
    return ".." in text and re.fullmatch(_RANGE, text) is not None


def _read_values(field: Field) -> tuple[Value, ...] | None:
    values = _VALUE_LIST.read(field)
    for node in [item.node for item in field.items() if isinstance(item.node, ScalarNode)]:
        if is_range(node.text):
            field.note(f"{node.text} is read as text inside a list; write a range without a list")
        elif isinstance(node.value, (int, float)) and _LOSSY_NUMBER.fullmatch(node.text):
            field.note(
                f"{node.text} is read as the number {yaml_text(node.value)}; quote it to keep the text, '{node.text}'"
            )
    return values


_LOSSY_NUMBER = re.compile(r"[-+]?0[0-9]+|[1-9][0-9]*\.[0-9]*[1-9]0+")
"""numbers with digits that parsing drops, as in `3.10` and `007`: probably meant as names"""
VALUES = _VALUE_LIST.read_by(_read_values)


def _categorical(choices: tuple[Value, ...]) -> Parameter:
    if len(choices) == 2 and {type(choice) for choice in choices} == {bool} and choices[0] != choices[1]:
        return Parameter("", "bool", choices=(False, True))
    return Parameter("", "categorical", choices=choices)


def _read_short(field: Field) -> Parameter | None:
    assert isinstance(field.node, ScalarNode)
    text = field.node.text.strip()
    if text == "bool":
        return Parameter("", "bool", choices=(False, True))
    if ".." not in text or len(text) > 200:
        if isinstance(field.node.value, str):
            field.expected(f"{_RANGE_WORDS}, a list of values, or bool", _range_suggestion(text))
            return None
        field.expected(f"{_RANGE_WORDS}, or a list of values", f"for a constant write [{text[:40]}]")
        return None
    if "..." in text:
        field.reject(f"found {quoted(text)}, expected {_RANGE_WORDS}", "a range has two dots")
        return None
    low_text, _, rest = text.partition("..")
    high_text, *words = re.split(r"[\s:]+|(?<=step)=", rest.strip()) or [""]
    low, high = _bound(field, low_text.strip()), _bound(field, high_text)
    log, step, kind = False, None, None
    while words:
        word = words.pop(0)
        if word == "log":
            log = True
        elif (word == "step" and step is not None) or (word in ("int", "float") and kind not in (None, word)):
            reason = "step is repeated" if word == "step" else "int and float exclude each other"
            field.reject(f"found {quoted(text)}, where {reason}", "remove one of them")
            return None
        elif word in ("int", "float"):
            kind = word
        elif word == "step" and words:
            step = _bound(field, words.pop(0))
        else:
            field.reject(f"found {quoted(word)} after the range, expected log, int, float or step N",
                        did_you_mean(word, ["log", "step", "int", "float"], _SCALES))  # fmt: skip
            return None
    if low is None or high is None:
        return None
    return _numeric(field, kind, low, high, log, step)


def _range_suggestion(text: str) -> str:
    bounds = re.fullmatch(rf"({_NUMBER})\s*(?:[:\-–]|to|\.)\s*({_NUMBER})((?:[\s:]+.*)?)", text)
    if bounds:
        return f"did you mean {bounds[1]}..{bounds[2]}{bounds[3]}?"
    call = re.fullmatch(rf"(?:\w+\.)*(log_?)?(uniform|rand_?int)\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)", text)
    if call:
        words = (" log" if call[1] else "") + (" float" if call[2] == "uniform" and call[3].isdigit() else "")
        return f"did you mean {call[3]}..{call[4]}{words}?"
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


def _bound(field: Field, text: str) -> float | None:
    value = resolve(text)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
        return value
    huge = isinstance(value, (int, float)) and abs(value) > MAX_NUMBER
    allowed = NUMBER.words if huge else _RANGE_WORDS
    field.reject(f"found {quoted(text)} in the range {quoted(_text(field))}, expected {allowed}")
    return None


def _text(field: Field) -> str:
    return field.node.text if isinstance(field.node, ScalarNode) else ""


def _numeric(
    field: Field, kind: str | None, low: float, high: float, log: bool, step: float | None
) -> Parameter | None:
    numbers = [number for number in (low, high, step) if number is not None]
    if kind is None:
        kind = "int" if all(isinstance(number, int) for number in numbers) else "float"
        if kind == "int" and (low, high) == (0, 1):
            field.note("takes 0 or 1; for a number between them write 0.0..1.0 (type: float)")
    if kind == "int" and any(number != int(number) for number in numbers):
        field.reject("an int needs integer bounds and an integer step", "write type: float, or integers")
        return None
    if kind == "int" and any(abs(number) > MAX_INTEGER for number in numbers):
        field.reject(f"integers up to {MAX_INTEGER} are allowed", "write the bounds as floats")
        return None
    if step is not None and step > 0 and low < high and (high - low) / step > MAX_STEPS:
        field.reject(f"the step {step:g} gives more than {MAX_STEPS:,} values", "choose a larger step")
        return None
    if kind == "int":
        return Parameter("", "int", int(low), int(high), log, None if step is None else int(step))
    return Parameter("", "float", float(low), float(high), log, None if step is None else float(step))


_NAMES = NamedEntry(
    "a parameter",
    r"[A-Za-z_][A-Za-z0-9_.\-/]*",
    "use ASCII letters, digits and _ . - /, a letter or _ first",
    {name: f"{{{name}}} in `run` is replaced by all parameters" for name in ("args", "hydra")},
)
WHEN = mapping_of(
    NamedEntry("a parameter", _NAMES.pattern, _NAMES.words),
    either("a value or a list of values", scalar=converted(VALUE, lambda value: (value,)), listing=VALUES),
    "a mapping from another parameter to its value or a list of values",
    least=1,
)
_PRIOR_KEYS = (
    *(Key(name, NUMBER, about) for name, about in (
        ("mean", "Mean of a normal distribution."), ("std", "Its standard deviation."),
        ("median", "Median of a log-normal distribution."), ("factor", "Factor around it with 2/3 of the values."),
        ("a", "First shape parameter of a beta distribution over the range."), ("b", "Its second shape parameter."),
    )),
    Key("weights", list_of(NUMBER, "a list of numbers", most=MAX_CHOICES), "One for each listed value."),
)  # fmt: skip
_PRIOR = section(_PRIOR_KEYS, also={"sd": "std", "stddev": "std", "sigma": "std", "mu": "mean", "scale": "std"})


def _read_prior(field: Field) -> Prior | None:
    problem_count = len(field.report.problems)
    section = _PRIOR.read(field)
    if section is None or len(field.report.problems) > problem_count:
        return None
    if not any(set(section) == set(keys) for keys in PRIOR_KEYS.values()):
        field.expected("mean and std, median and factor, a and b, or weights")
        return None
    return Prior.from_json(section)


PRIOR = _PRIOR.read_by(_read_prior)
KEYS = (
    Key("type", one_of(("float", "int", "categorical", "bool"), _TYPES), "The type of the values.",
        "`categorical` with listed values, `int` with whole bounds, else `float`"),
    Key("min", NUMBER, "The smallest value."),
    Key("max", NUMBER, "The largest value."),
    Key("log", BOOLEAN, "Search on a logarithmic scale.", "false"),
    Key("step", NUMBER, "The distance between values, counted from `min`.", "none; 1 for an int"),
    Key("values", VALUES, "The values of a categorical parameter."),
    Key("choices", VALUES, "Alias of `values`."),
    Key("prior", PRIOR, "A prior belief about good values: `{mean: 0.9, std: 0.05}`, `{median: 1e-3, factor: 3}`"
        " (two thirds lie within that factor), `{a: 2, b: 5}` (beta over the range), or `{weights: [3, 1]}` for listed"
        " values (for `type: bool`, false comes first)."),
    Key("when", WHEN, "The parameter is active only if each named parameter (which may have conditions itself) has the"
        " value, or one of the listed values."),
)  # fmt: skip
_ALSO = {
    "low": "min", "high": "max", "lower": "min", "upper": "max", "bounds": "min and max", "options": "values",
    "condition": "when", "conditions": "when", "if": "when", "scale": "log", "log_scale": "log", "scalingtype": "log",
    "distribution": "log or prior", "dist": "log or prior", "q": "step", "quantum": "step", "value": "values",
    "vals": "values", "grid_search": "values", "categories": "values", "minval": "min", "maxval": "max",
    "minvalue": "min", "maxvalue": "max", "_type": "type", "_value": "min and max, or values",
}  # fmt: skip
_PARAMETER_SECTION = section(KEYS, also=_ALSO)


def _read_long(field: Field) -> Parameter | None:
    problem_count = len(field.report.problems)
    section = _PARAMETER_SECTION.read(field)
    if section is None or len(field.report.problems) > problem_count:
        return None
    when = tuple((parent, tuple(values)) for parent, values in (section.get("when") or {}).items())
    parameter = _from_long(field, section)
    prior: Prior | None = section.get("prior")
    if parameter is None:
        return None
    listed = section.get("values", section.get("choices", parameter.choices))
    if prior is not None and prior.kind == "weights" and listed[:1] == (True,) and parameter.choices[:1] == (False,):
        prior = replace(prior, numbers=prior.numbers[::-1])  # a bool has the values false and true, in this order
    return replace(parameter, when=when, prior=prior)


def _from_long(field: Field, section: Mapping[str, Any]) -> Parameter | None:
    kind = section.get("type")
    if "values" in section and "choices" in section:
        field.reject("has both `values` and `choices`", "remove one: they mean the same")
        return None
    choices: tuple[Value, ...] | None = section.get("values", section.get("choices"))
    bounds = [key for key in ("min", "max", "log", "step") if key in section]
    if kind == "bool":
        return (
            Parameter("", "bool", choices=(False, True))
            if _check_no_other_keys(field, "bool", bounds, choices)
            else None
        )
    if choices is not None or kind == "categorical":
        if kind in ("float", "int"):
            field.reject(f"has type {kind} and a list of values", "remove `type`: the list is enough")
            return None
        if choices is None:
            field.reject("a categorical parameter needs `values`")
            return None
        if not _check_no_other_keys(field, "categorical", bounds, None):
            return None
        return Parameter("", "categorical", choices=choices) if kind else _categorical(choices)
    missing = [key for key in ("min", "max") if key not in section]
    if missing:
        field.reject(f"needs {' and '.join(f'`{key}`' for key in missing)}", "or `values`, or type: bool")
        return None
    return _numeric(field, kind, section["min"], section["max"], section.get("log", False), section.get("step"))


def _check_no_other_keys(field: Field, kind: str, bounds: Sequence[str], choices: tuple[Value, ...] | None) -> bool:
    excess_keys = [*bounds, *(["values"] if choices is not None else [])]
    if excess_keys:
        field.reject(f"a parameter of type {kind} cannot have {' or '.join(f'`{key}`' for key in excess_keys)}")
    return not excess_keys


_SHORT_FORM = ValueKind[Parameter](
    _RANGE_WORDS, {"type": "string", "anyOf": [{"pattern": f"^{_RANGE}$"}, {"const": "bool"}]}, _read_short
)
PARAMETER = either(
    f"{_RANGE_WORDS}, a list of values, bool, or a mapping",
    scalar=_SHORT_FORM,
    listing=converted(VALUES, _categorical),
    mapping=_PARAMETER_SECTION.read_by(_read_long),
)


def _read_parameters(field: Field) -> tuple[Parameter, ...] | None:
    by_name = _MAPPING.read(field)
    if by_name is None:
        return None
    variables: dict[str, str] = {}
    for name, (key_node, value) in field.entries().items():
        first_name = variables.setdefault(variable(name), name)
        if first_name != name:
            Field(key_node, value.key, field.report).reject(
                f"{name} and {first_name} would both set the variable {variable(name)}", "rename one of them"
            )
    return tuple(replace(parameter, name=name) for name, parameter in by_name.items())


_MAPPING = mapping_of(_NAMES, PARAMETER, "a mapping from names to ranges or lists of values", least=1)
PARAMETERS = _MAPPING.read_by(_read_parameters)
