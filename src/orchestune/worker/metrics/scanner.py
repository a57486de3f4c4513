"""Parses metrics from the output of a command and from lines of `$ORCHESTUNE_METRICS`.

Output is text that was written for people, so there is no grammar. A value is a name, `=` or `:`, and a number that
ends where a number may end. The rules rather miss a value than invent one:

- Any name counts before `=`, but before `:` only a declared one: `Files: 3` is usually not a metric.
- A number followed by a unit, a path, a date or a power of ten is not a value; `%` counts only for metrics whose
  declared name ends in `%`. A number with one comma before three digits is ambiguous (`1,234`): for a declared metric
  it gives NaN, so that the trial fails instead of reporting a value that is wrong by a factor of 1000.
- Lines of tracebacks and warnings give values of declared names only.
- The step of a line is that of all its values.

Chunks end anywhere, so the bytes after the last line end are kept until the line is complete; `\\r` ends a line too,
since progress bars use it. A line over MAX_LINE_BYTES is skipped up to its end.

Cost: this runs in the worker's loop for every byte that a trial prints, so the expressions are compiled once per job
revision, and `_candidates` first selects the few lines that contain a `=`, a `{` or a word of a declared name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, NamedTuple

from orchestune.worker.metrics import grammar
from orchestune.worker.metrics.expressions import Expressions

MAX_EXTRA_NAMES = 50
"""maximum number of undeclared metrics that are kept per attempt"""
MAX_LINE_BYTES = 64 * 1024
"""longer lines of output are ignored"""
MAX_EXPRESSION_LINE_BYTES = 4096
"""bytes of a line to which a user's regular expression is applied, which bounds the time of a slow one"""
MAX_SHOWN_CHARACTERS = 60
"""characters shown of a value that is not a number"""

_TRACEBACK = b"Traceback (most recent call last):"
_WARNING = re.compile(rb"\s*\S+:\d+: \w*Warning: ")
"""start of a Python warning: `model.py:3: ConvergenceWarning: no end was found (status=1)`"""
_STEP_ORDER = (b"global_step", b"step", b"iteration", b"iter", b"epoch")
STEP_NAMES = frozenset(name.decode() for name in _STEP_ORDER)
_OF_A_NAME = frozenset(("name", "value", "stddev"))
"""keys of the form `{"name": …, "value": …}`; metrics may also have these names"""
_NOT_FINITE = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)


class Reported(NamedTuple):
    """One reported value."""

    name: str
    value: float
    step: float | None
    stddev: float | None


def names(output: bytes) -> list[str]:
    """Return all names in the output that could be declared as metrics, in order of appearance.

    `Val Loss: 0.3` gives `val_loss`, and `accuracy: 93.1%` gives `accuracy%`.
    """
    names_in_order: dict[str, None] = {}
    for match in grammar.CANDIDATE.finditer(grammar.COLOUR.sub(b"", output)):
        name = match.group(1).decode("utf-8", "replace")
        if " " in name:
            name = name.replace(" ", "_").lower()
        if name.lower() not in STEP_NAMES and len(name) < 100:
            names_in_order[f"{name}%" if match.group(2) else name] = None
    return list(names_in_order)


class Declared:
    """The declared metrics of an experiment, compiled to regular expressions once for all attempts."""

    def __init__(self, names: Iterable[str], expressions: Iterable[str] = (), parameters: Iterable[str] = ()) -> None:
        self.names = tuple(names)
        self.parameters = {folded(name) for name in parameters}
        """names of parameters: a printed parameter is no metric, unless a metric of that name is declared"""
        self.expressions = [re.compile(expression.encode()) for expression in expressions]
        """the user's expressions, whose named groups are metrics"""
        self.by_group = {
            re.sub(r"\W", "_", name).lower(): name for name in sorted(self.names, key=lambda name: name.isidentifier())
        }
        """group name → metric: group names allow fewer characters; a metric with exactly that name takes precedence"""
        self.by_lower = {name.lower(): name for name in self.names}
        self.bases = {_base(name.lower()): _base(name) for name in self.names}
        """names without the `%` of percentages, by their lower-case form"""
        known = grammar.any_of(name.lower().encode() for name in self.names)
        self.pair, self.sentence = grammar.pair(known), grammar.sentence(known)
        self.percent = grammar.percent(grammar.any_of(name.encode() for name in self.bases))
        self.needles = [max(name.split("_"), key=len).encode() or name.encode() for name in self.bases]
        """for each metric, a lower-case word that every line with its name contains: a cheap prefilter"""


class Scanner:
    """Parser of the output of one attempt: takes chunks of bytes and returns the reported values in order.

    `say` is called with a message for the user when one of their expressions is too slow and is disabled. `hide`
    masks secrets in names that were not declared.
    """

    def __init__(
        self,
        declared: Declared,
        say: Callable[[str], None] = lambda text: None,
        hide: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._declared = declared
        self._expressions = Expressions(declared.expressions, say) if declared.expressions else None
        self._incomplete = b""
        self._skipping = False
        self._extra: dict[str, str] = {}
        """undeclared names, each with its masked form"""
        self._hide = hide
        self._non_training: set[str] = set()
        """declared metrics that appeared without `train` before them: with it, the name is then another metric"""
        self._not_numbers: dict[str, Any] = {}
        """declared metric → the last value that was not a number"""
        self._ambiguous: dict[str, str] = {}
        """declared metric → the last ambiguous number"""
        self._in_trace = False
        """the last line was inside a traceback, before its final line"""

    def feed(self, data: bytes) -> list[Reported]:
        """Return the values of lines that `data` completes. `\\r` ends a line too."""
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not cut:
            self._keep_incomplete(data)
            return []
        block = self._incomplete + data[:cut] if self._incomplete else data[:cut]
        if self._skipping:
            block = block[min(p for p in (block.find(b"\n"), block.find(b"\r")) if p >= 0) :]
            self._skipping = False
        self._incomplete = b""
        self._keep_incomplete(data[cut:])
        return self._scan(block)

    def flush(self) -> list[Reported]:
        """Return the values of a last line without a newline."""
        rest, self._incomplete = self._incomplete, b""
        return self._scan(rest) if rest and not self._skipping else []

    def document(self, line: bytes) -> list[Reported]:
        """Return the values of one line of JSON, in either form; empty if it is not a JSON object."""
        try:
            document = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            return []
        return self._from_json(document) if isinstance(document, dict) else []

    def values(self, values: Mapping[str, Any], step: float | None = None) -> list[Reported]:
        """Return the numbers among `values`. A step name sets the step of the others; non-numbers are noted."""
        return self._from_json(values if step is None else {"step": step, **values})

    def texts(self, texts: Mapping[str, bytes]) -> list[Reported]:
        """Parse numbers from texts and return them as `values` does; texts that are not numbers are noted."""
        numbers: dict[str, float] = {}
        for name, text in texts.items():
            stripped = text.strip().rstrip(b",")
            is_ambiguous = _is_ambiguous(stripped) and name.lower() not in STEP_NAMES
            value = self._ambiguous_value(name, stripped) if is_ambiguous else _float(stripped)
            if value is not None:
                numbers[name] = value
            elif stripped:
                self._note_no_number(name, text.decode("utf-8", "replace"))
        return self.values(numbers)

    def declared(self, name: str) -> bool:
        """Return True if the experiment declares a metric of that name."""
        return folded(name) in self._declared.by_lower

    def no_numbers(self, reported: Container[str]) -> list[str]:
        """Return messages for the user about declared metrics without a usable value.

        They are those that are not in `reported` and came as something else than a number, and those with an ambiguous
        number.
        """
        messages = [
            f"{name} came as {_described(value)}, which is not a number"
            for name, value in self._not_numbers.items()
            if name not in reported
        ]
        return messages + [
            f"{name} came as {text}, which may be {text.replace(',', '')} or {text.replace(',', '.')}"
            for name, text in self._ambiguous.items()
        ]

    def _keep_incomplete(self, data: bytes) -> None:
        if self._skipping:
            return
        self._incomplete = self._incomplete + data if self._incomplete else data
        if len(self._incomplete) > MAX_LINE_BYTES:
            self._incomplete, self._skipping = b"", True

    def _scan(self, block: bytes) -> list[Reported]:
        reported: list[Reported] = []
        if self._in_trace or _TRACEBACK in block:
            for line in re.split(rb"[\r\n]+", block):
                in_traceback = self._in_traceback(line)
                reported += self._line(line, extras=not in_traceback) if len(line) <= MAX_LINE_BYTES else []
        else:
            for line in _candidates(block, self._declared.needles):
                reported += self._line(line)
        if self._expressions is not None:
            lines = [grammar.COLOUR.sub(b"", line[:MAX_EXPRESSION_LINE_BYTES]) for line in re.split(rb"[\r\n]+", block)]
            for groups in self._expressions.find(lines):
                reported += self._grouped(groups)
        return reported

    def _in_traceback(self, line: bytes) -> bool:
        """Return True if a line belongs to a Python traceback, including the error at its end."""
        was_inside, begins = self._in_trace, line.lstrip().startswith(_TRACEBACK)
        self._in_trace = begins or (was_inside and line[:1] in (b" ", b"\t", b""))
        return was_inside or begins

    def _grouped(self, groups: Mapping[str, bytes | None]) -> list[Reported]:
        """Return the values of the named groups of one match."""
        return self.texts(
            {self._declared.by_group.get(name.lower(), name): text for name, text in groups.items() if text is not None}
        )

    def _line(self, line: bytes, extras: bool = True) -> list[Reported]:
        """Return the values of a line. Without `extras` only declared names count, as in lines of error messages."""
        if b"\x1b" in line:
            line = grammar.COLOUR.sub(b"", line)
        stripped = line.strip()
        if stripped[:1] == b"{" and stripped[-1:] == b"}":
            values = self.document(stripped)
            if values:
                return values
        pairs = self._counted(line, self._pairs(line))
        percents = self._counted(line, self._declared.percent.finditer(line), "%") if b"%" in line else []
        if not pairs and not percents:
            return []
        steps = {
            name.lower(): _plain(text)
            for name, text in grammar.STEP.findall(line)
            if b"." not in text or b"e" in text.lower() or name.lower() == b"epoch"
        }
        step = next((steps[name] for name in _STEP_ORDER if name in steps), None)
        values, extras = [], extras and not _WARNING.match(line)
        for declared_name, other_name, value, spread in (match.groups() for match in pairs):
            text = (declared_name or other_name).decode("utf-8", "replace")
            reported = self._printed(text, value, step, spread) if extras or self.declared(text) else None
            if reported is not None:
                values.append(reported)
        for base, _, value, spread in (match.groups() for match in percents):
            text = f"{self._declared.bases[folded(base.decode('utf-8', 'replace'))]}%"
            reported = self._printed(text, value, step, spread)
            if reported is not None:
                values.append(reported)
        return values

    def _pairs(self, line: bytes) -> Iterable[re.Match[bytes]]:
        """Return the matches of names with values, also with words between them, in the order of the line."""
        pairs = self._declared.pair.finditer(line)
        if not grammar.MAY_BE_SENTENCE.search(line):
            return pairs
        sentences = list(self._declared.sentence.finditer(line))
        others = [match for match in pairs if not any(s.start() <= match.start() < s.end() for s in sentences)]
        return sorted([*sentences, *others], key=lambda match: match.start())

    def _printed(self, text: str, printed: bytes, step: float | None, spread: bytes | None) -> Reported | None:
        """Return the printed value of a name; None if it does not count."""
        value = self._ambiguous_value(text, printed) if _is_ambiguous(printed) else _plain(printed)
        name = None if value is None else self._name(text)
        if value is None or name is None:
            return None
        return Reported(name, value, step, None if spread is None or _is_ambiguous(spread) else _plain(spread))

    def _ambiguous_value(self, name: str, printed: bytes) -> float | None:
        """Return the value of an ambiguous number.

        It is NaN for a declared metric, so that the trial fails if it is the last value; None for other names.
        """
        if not self.declared(name):
            return None
        self._ambiguous[self._declared.by_lower[folded(name)]] = printed.decode("ascii").rstrip(".")
        return math.nan

    def _counted(self, line: bytes, matches: Iterable[re.Match[bytes]], unit: str = "") -> list[re.Match[bytes]]:
        """Return the matches of a line that count. A declared name is in the first group.

        `train loss: 0.1` is not a value of `loss` if `loss` also appears without `train`; nor is `loss on train: 0.1`.
        """
        counted, training = [], []
        for match in matches:
            name = folded(match[1].decode("utf-8", "replace")) + unit if match[1] else ""
            before = line[max(match.start() - 24, 0) : match.start()]
            if name and (grammar.TRAINING.search(before) or b"train" in (match[2] or b"").lower()):
                training.append((name, match))
                continue
            self._non_training.add(name)
            counted.append(match)
        counted += [match for name, match in training if name not in self._non_training]
        return sorted(counted, key=lambda match: match.start()) if training else counted

    def _name(self, text: str) -> str | None:
        """Return the declared spelling of a name, or the masked name if it is kept as an extra; otherwise None."""
        name = folded(text)
        if name in self._declared.by_lower:
            return self._declared.by_lower[name]
        if name in STEP_NAMES or name in self._declared.parameters or len(text) > 100 or not text.strip():
            return None
        if text not in self._extra:
            if len(self._extra) >= MAX_EXTRA_NAMES:
                return None
            self._extra[text] = self._hide(text)
        return self._extra[text]

    def _from_json(self, document: Mapping[str, Any]) -> list[Reported]:
        step = step_of(document)
        name, value = document.get("name"), number(document.get("value"))
        is_named_value = not any(map(self.declared, document.keys() - _OF_A_NAME))  # else `name` names something else
        if isinstance(name, str) and is_named_value and value is not None:
            reported_name = self._name(name)
            spread = number(document.get("stddev"))
            return [] if reported_name is None else [Reported(reported_name, value, step, spread)]
        if isinstance(name, str) and is_named_value and "value" in document:
            self._note_no_number(name, document["value"])
        reported, stddev_owner = [], self._metric_of_stddev(document)
        for key, raw in document.items():
            value = number(raw)
            if value is None:
                self._note_no_number(key, raw)
            reported_name = self._name(key) if value is not None and not (stddev_owner and key == "stddev") else None
            if value is not None and reported_name is not None:
                spread = number(document.get("stddev" if key == stddev_owner else f"{key}_stddev"))
                reported.append(Reported(reported_name, value, step, spread))
        return reported

    def _note_no_number(self, name: str, value: Any) -> None:
        if self.declared(name):
            self._not_numbers[self._declared.by_lower[folded(name)]] = value

    def _metric_of_stddev(self, document: Mapping[str, Any]) -> str | None:
        """Return the metric that `stddev` belongs to; None unless there is exactly one, or if `stddev` is a metric."""
        if number(document.get("stddev")) is None or "stddev" in self._declared.by_lower:
            return None
        others = [key for key in document if key != "stddev" and key.lower() not in STEP_NAMES]
        metrics = [key for key in others if number(document[key]) is not None]
        return metrics[0] if len(metrics) == 1 else None


def _base(name: str) -> str:
    return name[:-1] if name.endswith("%") else name


def folded(name: str) -> str:
    """Return the normalized name for comparison: `val_loss` for `Val Loss`."""
    return name.lower().replace(" ", "_")


def step_of(document: Mapping[str, Any]) -> float | None:
    """Return the step of all values in a JSON object; None if absent."""
    steps = (number(value) for name, value in document.items() if name.lower() in STEP_NAMES)
    return next((step for step in steps if step is not None), None)


def number(value: Any) -> float | None:
    """Convert a JSON value to a number, also the strings `nan`, `inf` and `-inf`. None if it is not a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str) and _NOT_FINITE.fullmatch(value.strip()):
        return float(value)
    return None


def _described(value: Any) -> str:
    """Describe a JSON value that is not a number by type and content: `the text "0.5"`."""
    kinds: dict[type, str] = {str: "the text ", list: "the list ", dict: "the object "}
    kind = kinds.get(type(value), "")
    text = json.dumps(value, ensure_ascii=False)
    return kind + (text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…")


def _is_ambiguous(text: bytes) -> bool:
    return b"," in text and grammar.AMBIGUOUS.fullmatch(text) is not None


def _plain(text: bytes) -> float:
    """Parse a number that may have thousands separators: `1,234.5`."""
    return float(text.replace(b",", b"") if b"," in text else text)


def _float(text: bytes) -> float | None:
    try:
        return _plain(text) if b"," not in text or grammar.APART_BY_COMMAS.fullmatch(text) else None
    except ValueError:
        return None


def _candidates(block: bytes, words: list[bytes]) -> Iterable[bytes]:
    """Yield the lines that may contain a value: a cheap prefilter for the expensive expressions."""
    if b"\r" in block:
        block = block.replace(b"\r", b"\n")
    lower = block.lower()
    needles = [b"=", b"{", *words]
    next_matches = [lower.find(needle) for needle in needles]
    position = 0
    while True:
        first = min((at for at in next_matches if at >= 0), default=-1)
        if first < 0:
            return
        start = block.rfind(b"\n", position, first) + 1 or position
        end = block.find(b"\n", first)
        end = len(block) if end < 0 else end
        if end - start <= MAX_LINE_BYTES:
            yield block[start:end]
        position = end
        next_matches = [
            lower.find(needle, position) if 0 <= at < position else at for needle, at in zip(needles, next_matches)
        ]
