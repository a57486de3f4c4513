"""Converts an experiment described on the command line to the document of an experiment file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from orchestune.config.document.compose import compose_value
from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, printable, quoted
from orchestune.config.document.report import ProblemReport
from orchestune.config.document.scalars import resolve
from orchestune.config.sections.parameters import is_range
from orchestune.config.sources.description import DescribedOption, Description
from orchestune.config.sources.overrides import put
from orchestune.domain.words import did_you_mean
from orchestune.worker.command import placeholders, split

COMMAND_LINE = SourcePosition("command line")
MISSING = "is missing"
NO_PLACEHOLDER = "the command has no {args} or other placeholder: parameters are only passed as environment variables"
_VALUE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^,]*?))\s*,""")
_FILE = re.compile(r"\.ya?ml$")
_SCRIPT = re.compile(r"\.(?:py|sh|js|pl|R|jl)$")
_EXAMPLE = "for example lr=1e-5..1e-1:log, layers=2..8 or opt=adam,sgd"
_COMMA_HINT = "write a range as 0.1..1.0 or 1e-5..1e-1:log; quote text that contains a comma"
_REQUIRED = {
    "run": "end with the command, for example -- python train.py {args}",
    "parameters": _EXAMPLE,
    "metrics": "name a metric that your program prints: --minimize loss, or --maximize accuracy",
    "budget": "set the number of trials, for example --budget 40",
}


def describe(described: Description, root: Entries, report: ProblemReport) -> Entries:
    """Apply the command-line description to `root`, an empty document or that of a file."""
    if described.command:
        root = root.with_entry(_word("run", SourcePosition("the command")), _run(described.command))
    root = _spaces(described.spaces, root, report)
    if described.goals:
        metrics: dict[str, tuple[ScalarNode, Node]] = {}
        for goal in described.goals:
            position = SourcePosition(f"{goal.option} {printable(goal.name[:120])}")
            if goal.name in metrics:
                report.add(position, "", "is repeated", "remove one of them")
            metrics[goal.name] = (_word(goal.name, position), _word(goal.goal, position))
        root = root.with_entry(_word("metrics", COMMAND_LINE), Entries(COMMAND_LINE, tuple(metrics.values())))
    for setting in described.settings:
        root = _set(setting, root, report)
    return root


def report_missing(root: Entries, report: ProblemReport, proposed: str = "") -> None:
    """Report the required keys that an experiment without a file lacks, in terms of the command line.

    `proposed` is a hint with parameters that the script has.
    """
    hints = _REQUIRED | ({"parameters": proposed} if proposed else {})
    engine = root.get("engine")
    if isinstance(engine, Entries):
        engine = engine.get("name")
    if isinstance(engine, ScalarNode) and engine.text == "grid":
        del hints["budget"]  # defaults to the size of the grid
    for key, hint in hints.items():
        if root.get(key) is None and key not in report.misspelled:
            report.misspelled.add(key)
            report.add(COMMAND_LINE, key, MISSING, hint)
    run = root.get("run")
    words = [word.text for word in (run.items if isinstance(run, Items) else (run,)) if isinstance(word, ScalarNode)]
    uses_parameters = (
        placeholders(words)
        or any(root.get(key) is not None for key in ("config", "constants", "stdin"))
        or any("ORCHESTUNE_PARAM" in word for word in words)
    )
    if run is not None and not uses_parameters:
        report.notes.append(NO_PLACEHOLDER)


def _spaces(words: Sequence[str], root: Entries, report: ProblemReport) -> Entries:
    if not words:
        return root
    parameters = root.get("parameters")
    updated: Entries = parameters if isinstance(parameters, Entries) else Entries(COMMAND_LINE, ())
    names_set: set[str] = set()
    for word in words:
        name, equals, text = word.partition("=")
        position = SourcePosition(f"argument {printable(word[:120])}")
        if not equals or not name:
            report.add(position, "", "not of the form NAME=RANGE", _no_space(word))
            names_file = _FILE.search(word) or _SCRIPT.search(word)  # that file sets all keys
            report.misspelled |= _REQUIRED.keys() if names_file else {"parameters"}
            continue
        if name in names_set:
            report.add(position, "", f"sets {quoted(name)} again", "remove one of them")
        names_set.add(name)
        node = _space(text, position, report)
        if node is not None:
            updated = updated.with_entry(_word(name, position), node)
    if not updated.entries:
        report.misspelled.add("parameters")
        return root
    return root.with_entry(_word("parameters", COMMAND_LINE), updated)


def _no_space(word: str) -> str:
    if _FILE.search(word):
        return f"name a file with -f: -f {shlex.quote(word)}"
    if _SCRIPT.search(word):
        return f"create the file of a script with `orchestune init {shlex.quote(word)}`; put a command last, after --"
    kinds = did_you_mean(word, ["--minimize", "--maximize", "--budget", "--parallel"])
    return kinds or f"{_EXAMPLE}; put the command last, after --"


def _space(text: str, position: SourcePosition, report: ProblemReport) -> Node | None:
    """Parse a range as a scalar, comma-separated values as a list, and text in brackets or braces as YAML."""
    if text.startswith(("[", "{")):
        return compose_value(text, position.file, report)
    if "," not in text:
        return ScalarNode(position, text, resolve(text))
    items: list[Node] = []
    for match in _VALUE.finditer(text + ","):
        plain = match[3]
        if plain is None:
            items.append(_word(match[1] if match[2] is None else match[2], position))
        elif is_range(plain):
            report.add(
                position, "", "mixes a range with values", "write a range alone, with decimal points in its numbers"
            )
            return None
        elif plain.count("(") != plain.count(")"):
            report.add(position, "", f"has a comma within parentheses at {quoted(plain)}", _COMMA_HINT)
            return None
        elif plain:
            items.append(ScalarNode(position, plain, resolve(plain)))
        else:
            report.add(position, "", "has an extra comma", "write an empty text as ''")
            return None
    return Items(position, tuple(items), 1 + len(items))


def _set(setting: DescribedOption, root: Entries, report: ProblemReport) -> Entries:
    position = SourcePosition(setting.option)
    if setting.text:
        return put(root, setting.key, ScalarNode(position, setting.value, setting.value), position, report)
    node = compose_value(setting.value, position.file, report)
    return root if node is None else put(root, setting.key, node, position, report)


def command(words: Sequence[str]) -> str | tuple[str, ...]:
    """Return the command as text or as a list.

    A single word with spaces is text for `sh -c`; several words are text if it splits into the same words, otherwise a
    list.
    """
    text = " ".join(words)
    spaced = len(words) == 1 and re.search(r"\s", text)
    return text if spaced or (resolve(text) == text and split(text) == tuple(words)) else tuple(words)


def _run(words: Sequence[str]) -> Node:
    position, run = SourcePosition("the command"), command(words)
    if isinstance(run, str):
        return _word(run, position)
    return Items(position, tuple(_word(word, position) for word in run), 1 + len(run))


def _word(text: str, position: SourcePosition) -> ScalarNode:
    return ScalarNode(position, text, text)
