"""The older format: converts files of SigOpt Orchestrate to the current format before they are parsed.

Keys for services or clusters that have no effect are listed in a note. Nodes keep their positions, so that messages
show lines of the old file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, SourcePosition, plain, quoted
from orchestune.config.document.report import ProblemReport

_MARKS = ("optimization", "observation_budget", "parallel_bandwidth", "resources_per_model")
_RENAMED = {
    "observation_budget": "budget", "parallel_bandwidth": "parallelism", "resources_per_model": "resources",
    "linear_constraints": "constraints", "metadata": "labels",
}  # fmt: skip
_WITHOUT_EFFECT = (
    "image", "framework", "language", "pythonpath", "build_image", "job_spec_patch", "aws", "sigopt", "project",
    "tasks", "provider", "cloud_provider", "cluster_name", "kubernetes_version", "num_solutions",
)  # fmt: skip
"""`image` named the image that was built; its build steps are now `install` or a Dockerfile"""
RUN_FILE = "run.yml"
"""file with the command of the experiment beside it, in the format of the later client"""


def converted(root: Entries, report: ProblemReport) -> Entries:
    """Convert an older file to the current format; other files are returned unchanged."""
    if not is_older(root):
        return root
    top = {key.text: (key, node) for key, node in root.entries if key.text != "optimization"}
    inner = root.get("optimization")
    if isinstance(inner, Entries):
        top = {key.text: (key, node) for key, node in inner.entries} | top
    unused = [name for name in _WITHOUT_EFFECT if top.pop(name, None)]
    report.notes.append("file in the format of SigOpt Orchestrate; converted to the current format")
    if unused:
        report.notes.append(f"no effect: {', '.join(unused)}")
    for old, new in _RENAMED.items():
        if old in top:
            key, node = top.pop(old)
            top.setdefault(new, (_word(new, key.position), node))
    return Entries(root.position, tuple(_sections(top, report).values()), root.size)


def with_run_file(root: Entries, run: Entries, dockerfile: bool, report: ProblemReport) -> Entries:
    """Add the command and resources of the run file to an experiment without a command.

    `dockerfile` is True if the folder has a Dockerfile, from which that client built the image.
    """
    unused = []
    if dockerfile and root.get("dockerfile") is None:
        root = root.with_entry(_word("dockerfile", run.position), _word("Dockerfile", run.position))
    for key, node in run.entries:
        if key.text == "resources":
            root = root.with_entry(key, _resources(node)) if root.get(key.text) is None else root
        elif key.text == "run":
            root = root.with_entry(key, node)
        else:
            unused.append(key.text)
    report.notes.append(f"the command comes from {RUN_FILE}")
    if unused:
        report.notes.append(f"no effect: {', '.join(unused)} of {RUN_FILE}")
    return root


def is_older(root: Entries) -> bool:
    """Return True if the file has the older format."""
    metrics = root.get("metrics")
    listed = isinstance(metrics, Items) and any(isinstance(item, Entries) for item in metrics.items)
    return listed or isinstance(root.get("parameters"), Items) or any(root.get(mark) is not None for mark in _MARKS)


def _sections(top: dict[str, tuple[ScalarNode, Node]], report: ProblemReport) -> dict[str, tuple[ScalarNode, Node]]:
    if "type" in top:
        key, node = top.pop("type")
        if isinstance(node, ScalarNode) and node.text in ("random", "grid"):
            top.setdefault("engine", (_word("engine", key.position), node))
    conditionals = top.pop("conditionals", None)
    if "parameters" in top:
        key, node = top["parameters"]
        listed = [*(node.items if isinstance(node, Items) else ())]
        if conditionals and isinstance(conditionals[1], Items):
            listed += conditionals[1].items
        if listed:
            top["parameters"] = (key, _named(Items(node.position, tuple(listed)), "parameters", report, _parameter))
    if "metrics" in top:
        key, node = top["metrics"]
        if isinstance(node, Items):
            top["metrics"] = (key, _named(node, "metrics", report, _metric))
    if "constraints" in top:
        key, node = top["constraints"]
        if isinstance(node, Items):
            top["constraints"] = (key, Items(node.position, tuple(_constraint(item) for item in node.items), node.size))
    if "resources" in top:
        key, node = top["resources"]
        top["resources"] = (key, _resources(node))
    return top


def _constraint(node: Node) -> Node:
    """Convert a comparison of linear terms to an expression; return other nodes unchanged.

    `{type: less_than, threshold: 1, terms: [{name: a, weight: 2}]}` becomes `2 * {a} <= 1`.
    """
    if not isinstance(node, Entries):
        return node
    constraint: Any = plain(node)
    sign = {"less_than": "<=", "greater_than": ">="}.get(str(constraint.get("type")))
    terms = constraint.get("terms")
    if sign is None or not isinstance(terms, list) or not all(isinstance(term, dict) for term in terms):
        return node
    total = " + ".join(f"{term.get('weight', 1)} * {{{term.get('name')}}}" for term in terms)
    return _word(f"{total} {sign} {constraint.get('threshold', 0)}", node.position)


_Convert = Callable[[str, Entries, ProblemReport], Node | None]


def _named(listed: Items, section: str, report: ProblemReport, convert: _Convert) -> Node:
    """Convert a list of mappings with a name to a mapping by name."""
    entries: dict[str, tuple[ScalarNode, Node]] = {}
    for item in listed.items:
        name = item.get("name") if isinstance(item, Entries) else None
        if not isinstance(item, Entries) or not isinstance(name, ScalarNode) or not name.text:
            report.add(item.position, section, "expected a mapping with a name")
        elif name.text in entries:
            report.add(name.position, f"{section}.{name.text}", "is repeated", "remove one of them")
        else:
            node = convert(name.text, item.without("name"), report)
            if node is not None:
                entries[name.text] = (_word(name.text, name.position), node)
    return Entries(listed.position, tuple(entries.values()), listed.size)


def _parameter(name: str, item: Entries, report: ProblemReport) -> Node:
    entries = {key.text: (key, node) for key, node in item.entries}
    if "prior" in entries:
        entries["prior"] = (entries["prior"][0], _prior(entries["prior"][1]))
    if "bounds" in entries:
        bounds = entries["bounds"][1]
        if isinstance(bounds, Entries):
            entries.pop("bounds")
            entries |= {key.text: (key, node) for key, node in bounds.entries}
    _rename(entries, {"categorical_values": "values", "grid": "values", "conditions": "when"})
    if "transformation" in entries:
        key, node = entries.pop("transformation")
        log = isinstance(node, ScalarNode) and node.text == "log"
        entries["log"] = (_word("log", key.position), ScalarNode(node.position, "true", True) if log else node)
    kind = entries.get("type")
    if kind and isinstance(kind[1], ScalarNode) and kind[1].text == "double":
        entries["type"] = (kind[0], _word("float", kind[1].position))
    if "values" in entries:
        key, node = entries["values"]
        entries["values"] = (key, _values(node))
        if kind and isinstance(kind[1], ScalarNode) and kind[1].text != "categorical":
            if "prior" in entries:
                report.notes.append(f"parameters.{name}: a prior has no effect on a grid")
            entries = {key: entries[key] for key in ("values", "when") if key in entries}
    return Entries(item.position, tuple(entries.values()), item.size)


_PRIORS = {"normal": {"mean": "mean", "scale": "std"}, "beta": {"shape_a": "a", "shape_b": "b"}}


def _prior(node: Node) -> Node:
    """Convert `{name: normal, mean: 3, scale: 1}` to `{mean: 3, std: 1}`; other nodes are returned unchanged."""
    name = node.get("name") if isinstance(node, Entries) else None
    if not isinstance(node, Entries) or not isinstance(name, ScalarNode) or name.text not in _PRIORS:
        return node
    entries = {key.text: (key, value) for key, value in node.without("name").entries}
    _rename(entries, _PRIORS[name.text])
    return Entries(node.position, tuple(entries.values()), node.size)


def _values(node: Node) -> Node:
    """Convert `[{name: a}, {name: b}]` to `[a, b]`."""
    if not isinstance(node, Items):
        return node
    return Items(node.position, tuple(_value(item) for item in node.items), node.size)


def _value(item: Node) -> Node:
    name = item.get("name") if isinstance(item, Entries) else None
    return item if name is None else name


def _metric(name: str, item: Entries, report: ProblemReport) -> Node | None:
    entries = {key.text: (key, node) for key, node in item.entries}
    strategy = entries.pop("strategy", None)
    if strategy and isinstance(strategy[1], ScalarNode) and strategy[1].text == "constraint" and "threshold" in entries:
        key, node = entries.pop("threshold")
        goal = entries.pop("objective", entries.pop("goal", None))
        sign = "<=" if goal and isinstance(goal[1], ScalarNode) and goal[1].text == "minimize" else ">="
        entries["constraint"] = (
            _word("constraint", key.position),
            _word(f"{sign} {node.text if isinstance(node, ScalarNode) else ''}", node.position),
        )  # fmt: skip
        return Entries(item.position, tuple(entries.values()), item.size)
    if strategy and isinstance(strategy[1], ScalarNode) and strategy[1].text != "optimize":
        if strategy[1].text == "store":
            report.notes.append(f"metrics.{name}: need not be declared; all reported values are recorded")
            return None
        if strategy[1].text == "constraint":
            report.add(strategy[1].position, f"metrics.{name}.strategy", "a constraint needs a threshold")
            return None
        message = f"the strategy {quoted(strategy[1].text)} is not supported in this version"
        report.add(strategy[1].position, f"metrics.{name}.strategy", message, "use optimize, store or constraint")
    _rename(entries, {"objective": "goal"})
    entries.setdefault("goal", (_word("goal", item.position), _word("maximize", item.position)))
    return Entries(item.position, tuple(entries.values()), item.size)


def _resources(node: Node) -> Node:
    """Convert `{gpus, requests: {cpu, memory}, limits: {cpu, memory}}` to `{gpu, cpu, memory}`.

    Requests take precedence over limits.
    """
    if not isinstance(node, Entries):
        return node
    entries = {key.text: (key, value) for key, value in node.entries}
    for name in ("requests", "limits"):
        inner = entries.get(name)
        if inner and isinstance(inner[1], Entries):
            entries.pop(name)
            for key, value in inner[1].entries:
                entries.setdefault(key.text, (key, value))
    _rename(entries, {"gpus": "gpu"})
    return Entries(node.position, tuple(entries.values()), node.size)


def _rename(entries: dict[str, tuple[ScalarNode, Node]], names: Mapping[str, str]) -> None:
    for old, new in names.items():
        if old in entries:
            key, node = entries.pop(old)
            entries.setdefault(new, (_word(new, key.position), node))


def _word(text: str, position: SourcePosition) -> ScalarNode:
    return ScalarNode(position, text, text)
