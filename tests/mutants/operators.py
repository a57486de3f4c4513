"""Mutation operators for tables and type annotations, which the operators of Cosmic Ray do not change."""

from __future__ import annotations

from collections.abc import Iterator

from parso.python.tree import Name, PythonNode, String
from parso.tree import BaseNode, NodeOrLeaf

Position = tuple[int, int]


def _is_table(node: NodeOrLeaf) -> bool:
    return isinstance(node, BaseNode) and node.type == "dictorsetmaker" and node.children[1] == ":"


def _function(node: NodeOrLeaf) -> str:
    """Return the name of the function in whose call a node stands; empty if it stands in none."""
    call = node.search_ancestor("atom_expr")
    return "" if call is None else call.children[0].get_code(include_prefix=False)


class Operator:
    """Changes a node in zero or more ways. Cosmic Ray calls `mutate` on a fresh tree with one index each."""

    @staticmethod
    def arguments() -> tuple[()]:
        """Return the options of the operator."""
        return ()

    def count(self, node: NodeOrLeaf) -> int:
        """Return the number of ways in which `mutate` can change the node."""
        raise NotImplementedError

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Return the node, changed in the way `index`."""
        raise NotImplementedError

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[Position, Position]]:
        """Yield the start and end of each mutation."""
        for _ in range(self.count(node)):
            yield node.start_pos, node.end_pos


class Removal(Operator):
    """Removes some children of a node."""

    def parts(self, node: BaseNode) -> list[slice]:
        """Return the ranges of children of which each can be removed alone."""
        raise NotImplementedError

    def count(self, node: NodeOrLeaf) -> int:
        return len(self.parts(node)) if isinstance(node, BaseNode) else 0

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        assert isinstance(node, BaseNode)
        del node.children[self.parts(node)[index]]
        return node


class RemoveRow(Removal):
    """`{a: b, c: d}` → `{a: b}`."""

    def parts(self, node: BaseNode) -> list[slice]:
        return [slice(start, start + 4) for start in range(0, len(node.children), 4)] if _is_table(node) else []


class RemoveConstraint(Removal):
    """`Meta(ge=0, le=9)` → `Meta(ge=0)`."""

    def parts(self, node: BaseNode) -> list[slice]:
        if _function(node) != "Meta":
            return []
        if node.type == "arglist":
            return [slice(start, start + 2) for start in range(0, len(node.children), 2)]
        return [slice(1, 2)] if node.type == "trailer" and node.children[1].type == "argument" else []


class RemoveAlternative(Removal):
    """`field: int | None` → `field: int`; not in signatures of functions, which are never evaluated."""

    def parts(self, node: BaseNode) -> list[slice]:
        if node.type != "expr" or node.children[1] != "|" or node.search_ancestor("annassign") is None:
            return []
        return [slice(0, 2)] + [slice(start, start + 2) for start in range(1, len(node.children), 2)]


class ReplaceTarget(Operator):
    """`{a: b, c: d}` → `{a: d, c: d}`."""

    def count(self, node: NodeOrLeaf) -> int:
        return len(node.children[2::4]) if isinstance(node, BaseNode) and _is_table(node) else 0

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        assert isinstance(node, BaseNode)
        targets = node.children[2::4]
        later = targets[index + 1 :] + targets[:index]
        code = targets[index].get_code()
        node.children[4 * index + 2] = next(target for target in later if target.get_code() != code)
        return node


class ReplaceString(Operator):
    """`"a"` → `"XXa"`; not in docstrings, nor in the name of a `TypeVar`."""

    def count(self, node: NodeOrLeaf) -> int:
        is_text = isinstance(node, String) and node.parent is not None and node.parent.type != "simple_stmt"
        return int(is_text and _function(node) != "TypeVar")

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        assert isinstance(node, String)
        quote = node.value.index(node.value[-1])
        node.value = f"{node.value[: quote + 1]}XX{node.value[quote + 1 :]}"
        return node


class RemoveCall(Operator):
    """`f(x)` on a line of its own → `pass`."""

    def count(self, node: NodeOrLeaf) -> int:
        return int(isinstance(node, PythonNode) and node.type == "simple_stmt" and node.children[0].type == "atom_expr")

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        assert isinstance(node, PythonNode)
        call = node.children[0]
        assert isinstance(call, PythonNode) and isinstance(call.children[0], Name)
        call.children[0].value = "pass"
        del call.children[1:]
        return node


OPERATORS = {
    operator.__name__: operator
    for operator in (RemoveRow, RemoveConstraint, RemoveAlternative, ReplaceTarget, ReplaceString, RemoveCall)
}
