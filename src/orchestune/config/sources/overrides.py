"""`--set KEY=VALUE`: values from the command line in the place of those of the file."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.config.document.compose import compose_value
from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, mapping, printable
from orchestune.config.document.report import ProblemReport
from orchestune.config.keys import KEYS as EXPERIMENT_KEYS
from orchestune.config.keys import USER_NAMED
from orchestune.config.sections.metrics import KEYS as METRIC_KEYS
from orchestune.config.sections.parameters import KEYS as PARAMETER_KEYS

_KNOWN = frozenset(key.name for key in EXPERIMENT_KEYS)
_OF_METRIC = frozenset(key.name for key in METRIC_KEYS)
_OF_PARAMETER = frozenset(key.name for key in PARAMETER_KEYS)


def apply(root: Entries, overrides: Sequence[str], report: ProblemReport) -> Entries:
    """The tree with each `KEY=VALUE` set in turn; what cannot be set is reported.

    KEY is a path with dots; where names have dots themselves, the longest one that exists wins. VALUE is YAML; `null`
    takes the key away, and changes nothing where there is none.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        place = SourcePosition(f"--set {printable(key[:120])}")
        if not equals or not key or not all(key.split(".")):
            report.add(place, "", "is not of the form KEY=VALUE", "for example --set budget=10 or --set stop.time=1h")
            continue
        value = compose_value(text, place.file, report)
        if value is None:
            continue
        changed = put(root, key, value, place, report)
        report.notes += _added(root, changed, place)
        root = changed
    return root


def _added(before: Entries, after: Entries, place: SourcePosition) -> list[str]:
    """What is to be said of a parameter or a metric that is set in a file without it: it may be a slip."""
    notes = []
    for section in ("parameters", "metrics"):
        known, now = before.get(section), after.get(section)
        if isinstance(known, Entries) and isinstance(now, Entries) and place.file.startswith(f"--set {section}."):
            names = [key.text for key, _ in known.entries]
            new = [key.text for key, _ in now.entries if key.text not in names]
            notes += [f"{place.file}: {name} is added; the file has {', '.join(names)}" for name in new]
    return notes


def put(root: Entries, key: str, value: Node, place: SourcePosition, report: ProblemReport) -> Entries:
    """The tree with `value` at one path with dots; `place` is what messages call it."""
    changed = _set(root, key.split("."), value, place, [], report)
    return changed if isinstance(changed, Entries) else root


def _set(
    node: Node, path: list[str], value: Node, place: SourcePosition, above: list[str], report: ProblemReport
) -> Node:
    if not path:
        return value
    if isinstance(node, Items):
        return _set_item(node, path, value, place, above, report)
    if not isinstance(node, Entries):
        report.add(place, ".".join(above), "is no mapping in the file", "set it as a whole")
        return node
    short = _in_short(node, path) if above == ["parameters"] else ""
    if short:
        report.add(place, f"parameters.{short}", "is written in short", "set it as a whole")
        return node
    taken, name = _name(node, path, above)
    rest, child = path[taken:], node.get(name)
    if isinstance(value, ScalarNode) and value.value is None and value.text:
        if child is None:  # which is no mistake of a key that there could be
            return node if above or name in _KNOWN else node.with_entry(ScalarNode(place, name, name), value)
        if not rest:
            return node.without(name)
        if isinstance(child, ScalarNode) and child.value is None:
            return node
    if child is None or (isinstance(child, ScalarNode) and child.value is None):
        child = Entries(place, ())
    elif _is_goal(child, rest, above):
        child = mapping({"goal": child}, child.place)
    below = _set(child, rest, value, place, [*above, name], report)
    return node.with_entry(ScalarNode(place, name, name), below)


def _set_item(
    node: Items, path: list[str], value: Node, place: SourcePosition, above: list[str], report: ProblemReport
) -> Node:
    if not path[0].isdecimal() or len(path[0]) > 6 or int(path[0]) >= len(node.items):
        report.add(
            place, ".".join(above), f"is a list of {len(node.items)} in the file", "name an entry by its number, from 0"
        )
        return node
    index = int(path[0])
    below = _set(node.items[index], path[1:], value, place, [*above, path[0]], report)
    return Items(node.place, (*node.items[:index], below, *node.items[index + 1 :]), node.size)


def _name(node: Entries, path: list[str], above: list[str]) -> tuple[int, str]:
    """How many parts of the path make the next name, and that name."""
    named = len(above) == 1 and above[0] in USER_NAMED
    for taken in range(len(path), 0, -1):
        name = ".".join(path[:taken])
        child = node.get(name)
        if child is None:
            continue
        if taken == len(path) or not named or isinstance(child, Entries) or _is_goal(child, path[taken:], above):
            return taken, name
    return (len(path), ".".join(path)) if named else (1, path[0])


def _in_short(node: Entries, path: list[str]) -> str:
    """The parameter, a range or a list, of which the path would name a key; empty where it names none."""
    for taken in range(len(path), 0, -1):
        child = node.get(".".join(path[:taken]))
        if child is not None:
            below = path[taken : taken + 1]
            named = not isinstance(child, Entries) and below and (below[0] in _OF_PARAMETER or below[0].isdecimal())
            return ".".join(path[:taken]) if named else ""
    return ""


def _is_goal(child: Node, rest: list[str], above: list[str]) -> bool:
    """Whether it is the word of a metric, short for `{goal: …}`, of which `rest` names another key."""
    return above == ["metrics"] and isinstance(child, ScalarNode) and len(rest) == 1 and rest[0] in _OF_METRIC
