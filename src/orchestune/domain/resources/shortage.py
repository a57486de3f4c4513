"""Why no further trial fits: per resource what a trial needs, what is free, and who holds the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestune.domain.resources.resources import AMOUNTS, Resources

_MAX_HOLDERS = 4
OTHERS = ""
"""key of the resources held by workloads that are not Orchestune's"""


@dataclass(frozen=True)
class NodeUse:
    """Resources of one node for trials, held or not, and the part of them that is free."""

    name: str
    total: Resources
    free: Resources


def shortage(
    each: Resources,
    nodes: Sequence[NodeUse],
    holders: Mapping[str, Resources],
    is_suspect: Callable[[str], bool] = lambda _: True,
) -> str:
    """Return which resources a trial lacks on every node: `needs 1 cpu and 0.2 of 8 are free; ada holds 5, bob 2`.

    `holders`: amounts by name. `is_suspect`: False for the kinds (`cpu`, `GiB memory`, `gpu`) that another source
    excludes. Empty if no single resource explains it.
    """
    parts = []
    for name, unit, amount in AMOUNTS:
        requested = amount(each) / unit
        having = [node for node in nodes if amount(node.total)]
        if not requested or not having or not is_suspect(name):
            continue
        best = max(having, key=lambda node: amount(node.free))
        if amount(best.free) / unit >= requested - 1e-9:
            continue
        total, free = (sum(amount(part) for part in parts_) / unit for parts_ in _columns(having))
        text = f"needs {_short(requested)} {name} and {_short(free)} of {_short(total)} {_be(free)} free"
        if len(having) > 1 and free:
            text += f", at most {_short(amount(best.free) / unit)} on one node ({best.name})"
        held_by = _holders({holder: amount(held) / unit for holder, held in holders.items()})
        parts.append(f"{text}; {held_by}" if held_by else text)
    return "; it ".join(parts)


def _columns(nodes: Sequence[NodeUse]) -> tuple[list[Resources], list[Resources]]:
    return [node.total for node in nodes], [node.free for node in nodes]


def _holders(held_by: Mapping[str, float]) -> str:
    """Return the holders, largest first: `ada holds 5, bob 2, others 1`."""
    ranked = sorted((holder for holder in held_by if held_by[holder] > 0), key=lambda holder: -held_by[holder])
    names = [(holder or "others", _short(held_by[holder])) for holder in ranked[:_MAX_HOLDERS]]
    if not names:
        return ""
    (first, amount), *rest = names
    verb = "hold" if first == "others" else "holds"
    return ", ".join([f"{first} {verb} {amount}", *(f"{name} {amount}" for name, amount in rest)])


def _be(number: float) -> str:
    return "is" if _short(number) == "1" else "are"


def _short(number: float) -> str:
    """Format a number: `0.25`, `12.5`, `9600`."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"
