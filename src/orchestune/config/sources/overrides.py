"""`--set KEY=VALUE`: values from the command line that override those of the file."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.config.document.compose import compose_value
from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, mapping, printable
from orchestune.config.document.report import ProblemReport
from orchestune.config.keys import KEYS as EXPERIMENT_KEYS
from orchestune.config.keys import USER_NAMED
from orchestune.config.sections.metrics import KEYS as METRIC_KEYS
from orchestune.config.sections.parameters import KEYS as PARAMETER_KEYS

_KEY_NAMES = frozenset(key.name for key in EXPERIMENT_KEYS)
_METRIC_KEY_NAMES = frozenset(key.name for key in METRIC_KEYS)
_PARAMETER_KEY_NAMES = frozenset(key.name for key in PARAMETER_KEYS)


def apply(root: Entries, overrides: Sequence[str], report: ProblemReport) -> Entries:
    """Apply each `KEY=VALUE` in order; problems are reported.

    KEY is a dotted path; if names contain dots themselves, the longest existing one wins. VALUE is YAML; `null` removes
    the key if it exists.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        position = SourcePosition(f"--set {printable(key[:120])}")
        if not equals or not key or not all(key.split(".")):
            report.add(position, "", "not of the form KEY=VALUE", "for example --set budget=10 or --set stop.time=1h")
            continue
        value = compose_value(text, position.file, report)
        if value is None:
            continue
        changed = put(root, key, value, position, report)
        report.notes += _added(root, changed, position)
        root = changed
    return root


def _added(old_root: Entries, new_root: Entries, position: SourcePosition) -> list[str]:
    """Return notes about parameters or metrics that the file does not have: they may be typos."""
    notes = []
    for section in ("parameters", "metrics"):
        old_section, new_section = old_root.get(section), new_root.get(section)
        if (
            isinstance(old_section, Entries)
            and isinstance(new_section, Entries)
            and position.file.startswith(f"--set {section}.")
        ):
            names = [key.text for key, _ in old_section.entries]
            new = [key.text for key, _ in new_section.entries if key.text not in names]
            notes += [f"{position.file}: {name} is added; the file has {', '.join(names)}" for name in new]
    return notes


def put(root: Entries, key: str, value: Node, position: SourcePosition, report: ProblemReport) -> Entries:
    """Return the tree with `value` at a dotted path; `position` names it in messages."""
    changed = _set(root, key.split("."), value, position, [], report)
    return changed if isinstance(changed, Entries) else root


def _set(
    node: Node, path: list[str], value: Node, position: SourcePosition, parents: list[str], report: ProblemReport
) -> Node:
    if not path:
        return value
    if isinstance(node, Items):
        return _set_item(node, path, value, position, parents, report)
    if not isinstance(node, Entries):
        report.add(position, ".".join(parents), "not a mapping in the file", "set it as a whole")
        return node
    short = _short_parameter(node, path) if parents == ["parameters"] else ""
    if short:
        report.add(position, f"parameters.{short}", "has the short form in the file", "set it as a whole")
        return node
    count, name = _name(node, path, parents)
    rest, child = path[count:], node.get(name)
    if isinstance(value, ScalarNode) and value.value is None and value.text:
        if child is None:  # removing a known key that is absent is no problem
            return node if parents or name in _KEY_NAMES else node.with_entry(ScalarNode(position, name, name), value)
        if not rest:
            return node.without(name)
        if isinstance(child, ScalarNode) and child.value is None:
            return node
    if child is None or (isinstance(child, ScalarNode) and child.value is None):
        child = Entries(position, ())
    elif _is_short_metric(child, rest, parents):
        child = mapping({"goal": child}, child.position)
    new_child = _set(child, rest, value, position, [*parents, name], report)
    return node.with_entry(ScalarNode(position, name, name), new_child)


def _set_item(
    node: Items, path: list[str], value: Node, position: SourcePosition, parents: list[str], report: ProblemReport
) -> Node:
    if not path[0].isdecimal() or len(path[0]) > 6 or int(path[0]) >= len(node.items):
        report.add(
            position,
            ".".join(parents),
            f"is a list of {len(node.items)} in the file",
            "use the index of an entry, from 0",
        )
        return node
    index = int(path[0])
    new_child = _set(node.items[index], path[1:], value, position, [*parents, path[0]], report)
    return Items(node.position, (*node.items[:index], new_child, *node.items[index + 1 :]), node.size)


def _name(node: Entries, path: list[str], parents: list[str]) -> tuple[int, str]:
    """Return the number of path parts that form the next name, and that name."""
    user_named = len(parents) == 1 and parents[0] in USER_NAMED
    for count in range(len(path), 0, -1):
        name = ".".join(path[:count])
        child = node.get(name)
        if child is None:
            continue
        if (
            count == len(path)
            or not user_named
            or isinstance(child, Entries)
            or _is_short_metric(child, path[count:], parents)
        ):
            return count, name
    return (len(path), ".".join(path)) if user_named else (1, path[0])


def _short_parameter(node: Entries, path: list[str]) -> str:
    """Return the parameter in short form of which the path names a key; empty if there is none."""
    for count in range(len(path), 0, -1):
        child = node.get(".".join(path[:count]))
        if child is not None:
            next_part = path[count : count + 1]
            names_key = (
                not isinstance(child, Entries)
                and next_part
                and (next_part[0] in _PARAMETER_KEY_NAMES or next_part[0].isdecimal())
            )
            return ".".join(path[:count]) if names_key else ""
    return ""


def _is_short_metric(child: Node, rest: list[str], parents: list[str]) -> bool:
    """Return True if `child` is a metric in short form and `rest` names another key of it."""
    return parents == ["metrics"] and isinstance(child, ScalarNode) and len(rest) == 1 and rest[0] in _METRIC_KEY_NAMES
