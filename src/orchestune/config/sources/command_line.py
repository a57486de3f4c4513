"""An experiment that is described by words of a command line: turned into the document that a file would hold."""

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
NO_PLACEHOLDER = "the command has no {args} or other placeholder: parameters reach it in its environment alone"
_VALUE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^,]*?))\s*,""")
_FILE = re.compile(r"\.ya?ml$")
_SCRIPT = re.compile(r"\.(?:py|sh|js|pl|R|jl)$")
_EXAMPLE = "for example lr=1e-5..1e-1:log, layers=2..8 or opt=adam,sgd"
_CALL = "a range is 0.1..1.0, or 1e-5..1e-1:log; a text with a comma stands in quotes within its commas"
_NEEDED = {
    "run": "end with the command, for example -- python train.py {args}",
    "parameters": _EXAMPLE,
    "metrics": "say what your program prints: --minimize loss, or --maximize accuracy",
    "budget": "say how many trials to run, for example --budget 40",
}


def describe(described: Description, root: Entries, report: ProblemReport) -> Entries:
    """`root`, an empty document or that of a file, with what the words say put over it."""
    if described.command:
        root = root.with_entry(_word("run", SourcePosition("the command")), _run(described.command))
    root = _spaces(described.spaces, root, report)
    if described.goals:
        found: dict[str, tuple[ScalarNode, Node]] = {}
        for goal in described.goals:
            place = SourcePosition(f"{goal.option} {printable(goal.name[:120])}")
            if goal.name in found:
                report.add(place, "", "stands here twice", "remove one of them")
            found[goal.name] = (_word(goal.name, place), _word(goal.goal, place))
        root = root.with_entry(_word("metrics", COMMAND_LINE), Entries(COMMAND_LINE, tuple(found.values())))
    for setting in described.settings:
        root = _set(setting, root, report)
    return root


def complain(root: Entries, report: ProblemReport) -> None:
    """Report what an experiment without a file lacks, in the words of the command line."""
    needed = dict(_NEEDED)
    engine = root.get("engine")
    if isinstance(engine, Entries):
        engine = engine.get("name")
    if isinstance(engine, ScalarNode) and engine.text == "grid":
        del needed["budget"]  # the size of the grid
    for key, hint in needed.items():
        if root.get(key) is None and key not in report.meant:
            report.meant.add(key)
            report.add(COMMAND_LINE, key, MISSING, hint)
    run = root.get("run")
    words = [word.text for word in (run.items if isinstance(run, Items) else (run,)) if isinstance(word, ScalarNode)]
    arrive = placeholders(words) or root.get("stdin") is not None or any("ORCHESTUNE_PARAM" in word for word in words)
    if run is not None and not arrive:
        report.notes.append(NO_PLACEHOLDER)


def _spaces(words: Sequence[str], root: Entries, report: ProblemReport) -> Entries:
    if not words:
        return root
    known = root.get("parameters")
    before: Entries = known if isinstance(known, Entries) else Entries(COMMAND_LINE, ())
    seen: set[str] = set()
    for word in words:
        name, equals, text = word.partition("=")
        place = SourcePosition(f"argument {printable(word[:120])}")
        if not equals or not name:
            report.add(place, "", "is not of the form NAME=RANGE", _no_space(word))
            whole = _FILE.search(word) or _SCRIPT.search(word)  # in the file that is meant, or that `init` writes
            report.meant |= _NEEDED.keys() if whole else {"parameters"}
            continue
        if name in seen:
            report.add(place, "", f"sets {quoted(name)} a second time", "remove one of them")
        seen.add(name)
        node = _space(text, place, report)
        if node is not None:
            before = before.with_entry(_word(name, place), node)
    if not before.entries:
        report.meant.add("parameters")
        return root
    return root.with_entry(_word("parameters", COMMAND_LINE), before)


def _no_space(word: str) -> str:
    if _FILE.search(word):
        return f"a file is named with -f: -f {shlex.quote(word)}"
    if _SCRIPT.search(word):
        return f"`orchestune init {shlex.quote(word)}` writes the file for a script; a command comes last, after --"
    kinds = did_you_mean(word, ["--minimize", "--maximize", "--budget", "--parallel"])
    return kinds or f"{_EXAMPLE}; the command comes last, after --"


def _space(text: str, place: SourcePosition, report: ProblemReport) -> Node | None:
    """A range as a word, values with commas as a list; what stands in the brackets or braces of YAML as that."""
    if text.startswith(("[", "{")):
        return compose_value(text, place.file, report)
    if "," not in text:
        return ScalarNode(place, text, resolve(text))
    items: list[Node] = []
    for match in _VALUE.finditer(text + ","):
        plain = match[3]
        if plain is None:
            items.append(_word(match[1] if match[2] is None else match[2], place))
        elif is_range(plain):
            report.add(place, "", "has a range among its values", "a range stands alone, and has points in its numbers")
            return None
        elif plain.count("(") != plain.count(")"):
            report.add(place, "", f"has a comma within the parentheses at {quoted(plain)}", _CALL)
            return None
        elif plain:
            items.append(ScalarNode(place, plain, resolve(plain)))
        else:
            report.add(place, "", "has a comma too many", "an empty text is written '' within its commas")
            return None
    return Items(place, tuple(items), 1 + len(items))


def _set(setting: DescribedOption, root: Entries, report: ProblemReport) -> Entries:
    place = SourcePosition(setting.option)
    if setting.text:
        return put(root, setting.key, ScalarNode(place, setting.value, setting.value), place, report)
    node = compose_value(setting.value, place.file, report)
    return root if node is None else put(root, setting.key, node, place, report)


def command(words: Sequence[str]) -> str | tuple[str, ...]:
    """One word with spaces is a text, as for `sh -c`; several are text where that reads the same, else a list."""
    text = " ".join(words)
    spaced = len(words) == 1 and re.search(r"\s", text)
    return text if spaced or (resolve(text) == text and split(text) == tuple(words)) else tuple(words)


def _run(words: Sequence[str]) -> Node:
    place, run = SourcePosition("the command"), command(words)
    if isinstance(run, str):
        return _word(run, place)
    return Items(place, tuple(_word(word, place) for word in run), 1 + len(run))


def _word(text: str, place: SourcePosition) -> ScalarNode:
    return ScalarNode(place, text, text)
