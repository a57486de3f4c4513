"""Loops that add options: `for name in ("alpha", "beta"): parser.add_argument(f"--{name}")`, turn by turn."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from typing import Any

from orchestune.config.scripts.scope import Scope, calls, keywords

_MOST = 200
"""turns of one loop"""


def unrolled(tree: ast.Module, scope: Scope) -> ast.Module:
    """The same with each loop that adds options, over what is written down in the script, in the place of its turns."""
    changed: ast.Module = _Unrolling(scope).visit(copy.deepcopy(tree))
    return changed


class _Unrolling(ast.NodeTransformer):
    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def visit_For(self, node: ast.For) -> Any:
        """The statements of each turn; the loop itself where its turns are not known."""
        items = _items(node.iter, self.scope) if _adds(node) else None
        turns = [_bound(node.target, item) for item in items or ()]
        if not turns or len(turns) > _MOST or None in turns:
            return self.generic_visit(node)
        made = [_Putting(turn or {}).visit(copy.deepcopy(statement)) for turn in turns for statement in node.body]
        return [one for statement in made for one in _listed(self.visit(statement))]


class _Putting(ast.NodeTransformer):
    """Puts what names stand for in their place."""

    def __init__(self, bound: Mapping[str, ast.expr]) -> None:
        self.bound = bound

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """What it stands for."""
        found = self.bound.get(node.id) if isinstance(node.ctx, ast.Load) else None
        return node if found is None else ast.copy_location(copy.deepcopy(found), node)


def _adds(node: ast.For) -> bool:
    names = {call.func.attr if isinstance(call.func, ast.Attribute) else "" for call in calls(node)}
    return "add_argument" in names


def _items(node: ast.expr, scope: Scope) -> list[ast.expr] | None:
    """What the loop goes over, each as it is written; None where that is not known."""
    held = scope.constants.get(node.id, node) if isinstance(node, ast.Name) else node
    if isinstance(held, (ast.List, ast.Tuple, ast.Set)):
        return None if any(isinstance(item, ast.Starred) for item in held.elts) else held.elts
    if isinstance(held, ast.Call) and isinstance(held.func, ast.Attribute) and not held.args:
        table = held.func.value
        table = scope.constants.get(table.id, table) if isinstance(table, ast.Name) else table
        pairs = _pairs(table, scope)
        if pairs is not None:
            if held.func.attr == "items":
                return [ast.Tuple([key, value], ast.Load()) for key, value in pairs]
            if held.func.attr == "values":
                return [value for _, value in pairs]
    values = scope.or_none(node)
    return [_written(value) for value in values] if isinstance(values, list) else None


def _pairs(table: ast.expr, scope: Scope) -> list[tuple[ast.expr, ast.expr]] | None:
    """What a dictionary holds that is written down: `{"lr": 0.1}` or `dict(lr=0.1)`; None for anything else."""
    if isinstance(table, ast.Dict) and None not in table.keys:
        return [(key, value) for key, value in zip(table.keys, table.values, strict=True) if key is not None]
    if isinstance(table, ast.Call) and scope.named(table.func) == "dict" and not table.args:
        return [(ast.Constant(name), value) for name, value in keywords(table).items()]
    return None


def _written(value: Any) -> ast.expr:
    return ast.List([_written(item) for item in value], ast.Load()) if isinstance(value, list) else ast.Constant(value)


def _bound(target: ast.expr, item: ast.expr) -> dict[str, ast.expr] | None:
    """What the names of one turn stand for; None where they cannot be told apart."""
    if isinstance(target, ast.Name):
        return {target.id: item}
    if not isinstance(target, (ast.Tuple, ast.List)) or not isinstance(item, (ast.Tuple, ast.List)):
        return None
    if len(target.elts) != len(item.elts):
        return None
    found: dict[str, ast.expr] = {}
    for one, own in zip(target.elts, item.elts, strict=True):
        inner = _bound(one, own)
        if inner is None:
            return None
        found |= inner
    return found


def _listed(made: Any) -> list[ast.stmt]:
    return made if isinstance(made, list) else [made]
