"""Loops that add options: `for name in ("alpha", "beta"): parser.add_argument(f"--{name}")`, turn by turn."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from orchestune.config.scripts.scope import ModuleScope, calls, keywords

_MOST = 200
"""turns of one loop"""
_FIELD = "a field"
"""no name that a script can have"""


def unrolled(tree: ast.Module, scope: ModuleScope) -> ast.Module:
    """The same with each loop that adds options, over what is written down in the script, in the place of its turns."""
    changed: ast.Module = _Unrolling(scope).visit(copy.deepcopy(tree))
    return changed


class _Unrolling(ast.NodeTransformer):
    def __init__(self, scope: ModuleScope) -> None:
        self.scope = scope

    def visit_For(self, node: ast.For) -> Any:
        """The statements of each turn; the loop itself where its turns are not known."""
        items = _items(node.iter, self.scope) if _adds(node) else None
        turns = [_bound(node.target, item) for item in items or ()]
        if not turns or len(turns) > _MOST or None in turns:
            return self.generic_visit(node)
        made = [one for turn in turns for one in _turn(node.body, turn or {})]
        return [one for statement in made for one in _listed(self.visit(statement))]


class _Putting(ast.NodeTransformer):
    """Puts what names stand for in their place."""

    def __init__(self, bound: Mapping[str, ast.expr]) -> None:
        self.bound = bound

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """What it stands for."""
        found = self.bound.get(node.id) if isinstance(node.ctx, ast.Load) else None
        return node if found is None else ast.copy_location(copy.deepcopy(found), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """What a field of a data class says of itself: `one.default`."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == _FIELD:
            return keywords(node.value).get(node.attr, node)
        return node

    def visit_If(self, node: ast.If) -> Any:
        """The branch that is taken, where a type decides."""
        self.generic_visit(node)
        taken = _decided(node.test)
        return node if taken is None else node.body if taken else node.orelse


def _turn(body: list[ast.stmt], bound: Mapping[str, ast.expr]) -> list[ast.stmt]:
    """The statements of one turn, up to a `continue` that is known to be reached."""
    made = [one for item in body for one in _listed(_Putting(bound).visit(copy.deepcopy(item)))]
    ends = [place for place, one in enumerate(made) if isinstance(one, ast.Continue)]
    return made[: ends[0]] if ends else made


def _adds(node: ast.For) -> bool:
    names = {call.func.attr if isinstance(call.func, ast.Attribute) else "" for call in calls(node)}
    return "add_argument" in names


def _decided(test: ast.expr) -> bool | None:
    """What a comparison of types comes to: `one.type is bool`, `isinstance(value, bool)`; None for anything else."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _decided(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        sides = _type(test.left), _type(test.comparators[0])
        if None in sides or not isinstance(test.ops[0], (ast.Is, ast.Eq, ast.IsNot, ast.NotEq)):
            return None
        return (sides[0] == sides[1]) is isinstance(test.ops[0], (ast.Is, ast.Eq))
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance":
        value, kinds = test.args if len(test.args) == 2 else (test, test)
        names = [_type(kind) for kind in (kinds.elts if isinstance(kinds, ast.Tuple) else [kinds])]
        if None not in names and isinstance(value, (ast.Constant, ast.UnaryOp, ast.List, ast.Tuple, ast.Dict)):
            with suppress(ValueError, TypeError):  # it holds what is known only once the script runs
                return bool({kind.__name__ for kind in type(ast.literal_eval(value)).__mro__} & set(names))
    return None


def _type(node: ast.expr) -> str | None:
    """A type as it is written: `bool`, `list[int]`, `type(1)`; None for what is none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type" and node.args:
        return type(node.args[0].value).__name__ if isinstance(node.args[0], ast.Constant) else None
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp)) else None


def _items(node: ast.expr, scope: ModuleScope) -> list[ast.expr] | None:
    """What the loop goes over, each as it is written; None where that is not known."""
    held = scope.held(node)
    if isinstance(held, (ast.List, ast.Tuple, ast.Set)):
        return None if any(isinstance(item, ast.Starred) for item in held.elts) else held.elts
    if isinstance(held, ast.Call) and scope.named(held.func) == "dataclasses.fields" and held.args:
        return [one for _, one in _fields(_class(held.args[0], scope), scope)] or None
    if isinstance(held, ast.Call) and isinstance(held.func, ast.Attribute) and not held.args:
        pairs = _pairs(scope.held(held.func.value), scope)
        if pairs is not None:
            if held.func.attr == "items":
                return [ast.Tuple([key, value], ast.Load()) for key, value in pairs]
            if held.func.attr == "values":
                return [value for _, value in pairs]
    values = scope.or_none(node)
    return [_written(value) for value in values] if isinstance(values, list) else None


def _pairs(table: ast.expr, scope: ModuleScope) -> list[tuple[ast.expr, ast.expr]] | None:
    """What a dictionary holds that is written down: `{"lr": 0.1}` or `dict(lr=0.1)`; None for anything else."""
    if isinstance(table, ast.Dict) and None not in table.keys:
        return [(key, value) for key, value in zip(table.keys, table.values, strict=True) if key is not None]
    if isinstance(table, ast.Call) and scope.named(table.func) == "dict" and not table.args:
        return [(ast.Constant(name), value) for name, value in keywords(table).items()]
    if isinstance(table, ast.Call) and scope.named(table.func) in ("dataclasses.asdict", "vars") and table.args:
        found = _fields(_class(table.args[0], scope), scope)
        return [(ast.Constant(name), keywords(one).get("default", ast.Constant(None))) for name, one in found] or None
    if isinstance(table, ast.Attribute) and table.attr in ("__dataclass_fields__", "__annotations__"):
        found = _fields(_class(table.value, scope), scope)
        types = table.attr == "__annotations__"
        return [(ast.Constant(name), keywords(one)["type"] if types else one) for name, one in found] or None
    return None


def _class(node: ast.expr, scope: ModuleScope) -> ast.ClassDef | None:
    """The class that is named, or of which something is made: `Config`, `Config()`, `config`."""
    held = scope.held(node)
    return scope.class_of(held.func if isinstance(held, ast.Call) else held)


def _fields(node: ast.ClassDef | None, scope: ModuleScope, depth: int = 0) -> list[tuple[str, ast.Call]]:
    """Each field of a data class, inherited ones first: its name, and a call whose arguments are what it says."""
    found: dict[str, ast.Call] = {}
    for base in node.bases if node is not None and depth < 20 else ():
        found |= _fields(_class(base, scope), scope, depth + 1)
    for item in node.body if node is not None else ():
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            said = {"default": item.value} if item.value is not None else {}
            if isinstance(item.value, ast.Call) and scope.named(item.value.func).rpartition(".")[2] == "field":
                said = {name: one for name, one in keywords(item.value).items() if name in ("default", "metadata")}
            said |= {"name": ast.Constant(item.target.id), "type": item.annotation}
            given = [ast.keyword(name, value) for name, value in said.items()]
            found[item.target.id] = ast.Call(ast.Name(_FIELD, ast.Load()), [], given)
    return list(found.items())


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
