"""Unrolling of loops that add options: `for name in ("alpha", "beta"): parser.add_argument(f"--{name}")`."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from orchestune.config.scripts.scope import ModuleScope, calls, keywords

_MAX_ITERATIONS = 200
"""maximum iterations of one loop"""
_FIELD = "a field"
"""not a valid Python name, so no conflict with names of a script"""


def unrolled(tree: ast.Module, scope: ModuleScope) -> ast.Module:
    """Return a copy in which each loop over constants that adds options is replaced by its iterations."""
    changed: ast.Module = _Unrolling(scope).visit(copy.deepcopy(tree))
    return changed


class _Unrolling(ast.NodeTransformer):
    def __init__(self, scope: ModuleScope) -> None:
        self.scope = scope

    def visit_For(self, node: ast.For) -> Any:
        """Return the statements of all iterations, or the loop if they are unknown."""
        items = _items(node.iter, self.scope) if _adds(node) else None
        iterations = [_loop_values(node.target, item) for item in items or ()]
        if not iterations or len(iterations) > _MAX_ITERATIONS or None in iterations:
            return self.generic_visit(node)
        statements = [one for iteration in iterations for one in _iteration(node.body, iteration or {})]
        return [one for statement in statements for one in _as_list(self.visit(statement))]


class _NameReplacer(ast.NodeTransformer):
    """Replaces names by their values."""

    def __init__(self, bound: Mapping[str, ast.expr]) -> None:
        self.bound = bound

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return the value of the name."""
        value = self.bound.get(node.id) if isinstance(node.ctx, ast.Load) else None
        return node if value is None else ast.copy_location(copy.deepcopy(value), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Return an attribute of a data class field: `one.default`."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == _FIELD:
            return keywords(node.value).get(node.attr, node)
        return node

    def visit_If(self, node: ast.If) -> Any:
        """Return the branch that runs, if a type comparison decides."""
        self.generic_visit(node)
        outcome = _type_test(node.test)
        return node if outcome is None else node.body if outcome else node.orelse


def _iteration(body: list[ast.stmt], bound: Mapping[str, ast.expr]) -> list[ast.stmt]:
    """Return the statements of one iteration, up to an unconditional `continue`."""
    statements = [one for item in body for one in _as_list(_NameReplacer(bound).visit(copy.deepcopy(item)))]
    ends = [index for index, one in enumerate(statements) if isinstance(one, ast.Continue)]
    return statements[: ends[0]] if ends else statements


def _adds(node: ast.For) -> bool:
    names = {call.func.attr if isinstance(call.func, ast.Attribute) else "" for call in calls(node)}
    return "add_argument" in names


def _type_test(test: ast.expr) -> bool | None:
    """Evaluate a type comparison: `one.type is bool`, `isinstance(value, bool)`; None for anything else."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _type_test(test.operand)
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
            with suppress(ValueError, TypeError):  # its value is only known at run time
                return bool({kind.__name__ for kind in type(ast.literal_eval(value)).__mro__} & set(names))
    return None


def _type(node: ast.expr) -> str | None:
    """Return a type's source text: `bool`, `list[int]`, `type(1)`; None for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type" and node.args:
        return type(node.args[0].value).__name__ if isinstance(node.args[0], ast.Constant) else None
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp)) else None


def _items(node: ast.expr, scope: ModuleScope) -> list[ast.expr] | None:
    """Return the expressions that a loop iterates over, or None if unknown."""
    iterable = scope.resolve(node)
    if isinstance(iterable, (ast.List, ast.Tuple, ast.Set)):
        return None if any(isinstance(item, ast.Starred) for item in iterable.elts) else iterable.elts
    if isinstance(iterable, ast.Call) and scope.named(iterable.func) == "dataclasses.fields" and iterable.args:
        return [one for _, one in _fields(_class(iterable.args[0], scope), scope)] or None
    if isinstance(iterable, ast.Call) and isinstance(iterable.func, ast.Attribute) and not iterable.args:
        pairs = _pairs(scope.resolve(iterable.func.value), scope)
        if pairs is not None:
            if iterable.func.attr == "items":
                return [ast.Tuple([key, value], ast.Load()) for key, value in pairs]
            if iterable.func.attr == "values":
                return [value for _, value in pairs]
    values = scope.or_none(node)
    return [_literal(value) for value in values] if isinstance(values, list) else None


def _pairs(table: ast.expr, scope: ModuleScope) -> list[tuple[ast.expr, ast.expr]] | None:
    """Return the items of a dictionary literal, `{"lr": 0.1}` or `dict(lr=0.1)`; None for anything else."""
    if isinstance(table, ast.Dict) and None not in table.keys:
        return [(key, value) for key, value in zip(table.keys, table.values, strict=True) if key is not None]
    if isinstance(table, ast.Call) and scope.named(table.func) == "dict" and not table.args:
        return [(ast.Constant(name), value) for name, value in keywords(table).items()]
    if isinstance(table, ast.Call) and scope.named(table.func) in ("dataclasses.asdict", "vars") and table.args:
        fields = _fields(_class(table.args[0], scope), scope)
        return [(ast.Constant(name), keywords(one).get("default", ast.Constant(None))) for name, one in fields] or None
    if isinstance(table, ast.Attribute) and table.attr in ("__dataclass_fields__", "__annotations__"):
        fields = _fields(_class(table.value, scope), scope)
        types = table.attr == "__annotations__"
        return [(ast.Constant(name), keywords(one)["type"] if types else one) for name, one in fields] or None
    return None


def _class(node: ast.expr, scope: ModuleScope) -> ast.ClassDef | None:
    """Return the class of a name or an instance: `Config`, `Config()`, `config`."""
    value = scope.resolve(node)
    return scope.class_of(value.func if isinstance(value, ast.Call) else value)


def _fields(node: ast.ClassDef | None, scope: ModuleScope, depth: int = 0) -> list[tuple[str, ast.Call]]:
    """Return the fields of a data class, inherited ones first: name, and a call with its attributes as arguments."""
    fields: dict[str, ast.Call] = {}
    for base in node.bases if node is not None and depth < 20 else ():
        fields |= _fields(_class(base, scope), scope, depth + 1)
    for item in node.body if node is not None else ():
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            attributes = {"default": item.value} if item.value is not None else {}
            if isinstance(item.value, ast.Call) and scope.named(item.value.func).rpartition(".")[2] == "field":
                attributes = {
                    name: one for name, one in keywords(item.value).items() if name in ("default", "metadata")
                }
            attributes |= {"name": ast.Constant(item.target.id), "type": item.annotation}
            arguments = [ast.keyword(name, value) for name, value in attributes.items()]
            fields[item.target.id] = ast.Call(ast.Name(_FIELD, ast.Load()), [], arguments)
    return list(fields.items())


def _literal(value: Any) -> ast.expr:
    return ast.List([_literal(item) for item in value], ast.Load()) if isinstance(value, list) else ast.Constant(value)


def _loop_values(target: ast.expr, item: ast.expr) -> dict[str, ast.expr] | None:
    """Return the values of the loop variables in one iteration, or None if the target cannot be unpacked."""
    if isinstance(target, ast.Name):
        return {target.id: item}
    if not isinstance(target, (ast.Tuple, ast.List)) or not isinstance(item, (ast.Tuple, ast.List)):
        return None
    if len(target.elts) != len(item.elts):
        return None
    values: dict[str, ast.expr] = {}
    for one, element in zip(target.elts, item.elts, strict=True):
        inner_values = _loop_values(one, element)
        if inner_values is None:
            return None
        values |= inner_values
    return values


def _as_list(statements: Any) -> list[ast.stmt]:
    return statements if isinstance(statements, list) else [statements]
