"""Values of expressions that can be told without running anything."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Pow: operator.pow, ast.LShift: operator.lshift,
}  # fmt: skip
_LONGEST = 1000


class Unknown(Exception):
    """The value is known only once the script runs."""


class Scope:
    """The constants of one module: what names stand for that are assigned once."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.constants: dict[str, ast.expr] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.imports: dict[str, str] = {}
        """what a name was imported as: `tune` → `click.option`"""
        seen: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions[node.name] = node
            for name, value in _assigned(node):
                if name in seen:
                    self.constants.pop(name, None)
                else:
                    self.constants[name] = value
                seen.add(name)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                self.imports[alias.asname or alias.name.partition(".")[0]] = alias.name
            else:
                self.imports[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"

    def named(self, node: ast.expr) -> str:
        """A name with dots as it was imported: `click.option`; empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """The value: texts, numbers, truth values, None, and lists of them. Unknown for everything else."""
        if depth > 20:
            raise Unknown
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return [self.value(item, depth + 1) for item in node.elts]
        if isinstance(node, ast.Dict):
            return [self.value(key, depth + 1) for key in node.keys if key is not None]  # as it is iterated over
        if isinstance(node, ast.UnaryOp):
            return _signed(node, self.value(node.operand, depth + 1))
        if isinstance(node, ast.BinOp):
            return _computed(node, self.value(node.left, depth + 1), self.value(node.right, depth + 1))
        if isinstance(node, ast.Name):
            return self._named_value(node.id, depth)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        raise Unknown

    def _named_value(self, name: str, depth: int) -> Any:
        if name in self.constants:
            return self.value(self.constants[name], depth + 1)
        if name in self.classes:
            return members(self, self.classes[name])
        raise Unknown

    def _attribute(self, node: ast.Attribute) -> Any:
        whole = self.named(node)
        if whole in ("math.pi", "numpy.pi", "np.pi"):
            return math.pi
        if node.attr == "value" and isinstance(node.value, ast.Attribute):
            node = node.value
        if isinstance(node.value, ast.Name) and node.value.id in self.classes:
            for name, value in _assigned_in(self.classes[node.value.id]):
                if name == node.attr:
                    return self.value(value, 1)
        raise Unknown

    def _call(self, node: ast.Call, depth: int) -> Any:
        called, arguments = self.named(node.func), [self.value(item, depth + 1) for item in node.args[:3]]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "keys" and not node.args:
            return self.value(node.func.value, depth + 1)
        if called in ("list", "tuple", "sorted", "set") and len(arguments) == 1 and isinstance(arguments[0], list):
            return sorted(arguments[0]) if called == "sorted" else arguments[0]
        if called in ("Path", "pathlib.Path", "str") and len(arguments) == 1:
            return str(arguments[0])
        if called in ("float", "int") and len(arguments) == 1:
            try:
                return (float if called == "float" else int)(arguments[0])
            except (TypeError, ValueError) as exc:
                raise Unknown from exc
        if called == "range" and arguments and all(isinstance(item, int) for item in arguments):
            numbers = range(*arguments)
            if len(numbers) <= _LONGEST:
                return list(numbers)
        raise Unknown

    def or_none(self, node: ast.expr | None) -> Any:
        """The same; None where nothing stands there or nothing can be told."""
        if node is None:
            return None
        try:
            return self.value(node)
        except (Unknown, ArithmeticError, TypeError):
            return None


def members(scope: Scope, node: ast.ClassDef) -> list[Any]:
    """The values of an enumeration. Unknown where it is none."""
    bases = {scope.named(base).rpartition(".")[2] for base in node.bases}
    if not bases & {"Enum", "StrEnum", "IntEnum"}:
        raise Unknown
    return [scope.value(value, 1) for _, value in _assigned_in(node)]


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call, in the order of the text."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """The arguments that are named."""
    return {item.arg: item.value for item in call.keywords if item.arg}


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id, node.value


def _assigned_in(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for item in node.body:
        yield from _assigned(item)


def _signed(node: ast.UnaryOp, value: Any) -> Any:
    if isinstance(node.op, ast.USub) and isinstance(value, (int, float)):
        return -value
    if isinstance(node.op, ast.UAdd) and isinstance(value, (int, float)):
        return value
    if isinstance(node.op, ast.Not):
        return not value
    raise Unknown


def _computed(node: ast.BinOp, left: Any, right: Any) -> Any:
    compute = _OPERATORS.get(type(node.op))
    numbers = all(isinstance(side, (int, float)) and abs(side) <= 1e9 for side in (left, right))
    if compute is not None and numbers and not (isinstance(node.op, (ast.Pow, ast.LShift)) and abs(right) > 64):
        return compute(left, right)
    if isinstance(node.op, ast.Add) and isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
        return left + right
    raise Unknown
