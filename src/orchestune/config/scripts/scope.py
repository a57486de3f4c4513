"""Static evaluation of expressions in a module, without running anything."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Pow: operator.pow, ast.LShift: operator.lshift,
}  # fmt: skip
_METHODS = ("lower", "upper", "get", "format")
_MAX_ITEMS = 1000
Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnknownValue(Exception):
    """The value is only known when the script runs."""


class EnumMember(NamedTuple):
    """A member of an enumeration."""

    name: str
    value: Any


class ModuleScope:
    """The names of one module and their values, as far as they are assigned once."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.constants: dict[str, ast.expr] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, Function] = {}
        self.imports: dict[str, str] = {}
        """imported names: `tune` → `click.option`"""
        self.imported_functions: dict[str, ModuleScope] = {}
        """functions of imported modules, each with its module's own scope"""
        self._bound: dict[str, Any] = {}
        """values of the loop variables of the comprehension being evaluated"""
        assigned_names: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions[node.name] = node
            for name, value in _assigned(node):
                if name in assigned_names:
                    self.constants.pop(name, None)
                else:
                    self.constants[name] = value
                assigned_names.add(name)

    def adopt(self, other: ModuleScope) -> None:
        """Add the names of a module that this one imports from; own names take precedence."""
        self.constants = {**other.constants, **self.constants}
        self.classes = {**other.classes, **self.classes}
        self.imported_functions |= dict.fromkeys(other.functions, other)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                self.imports[alias.asname or alias.name.partition(".")[0]] = alias.name
            else:
                self.imports[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"

    def named(self, node: ast.expr) -> str:
        """Return a dotted name as imported: `click.option`; empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def class_of(self, node: ast.AST | None) -> ast.ClassDef | None:
        """Return the class of a name; None for anything else."""
        return self.classes.get(node.id) if isinstance(node, ast.Name) else None

    def function_of(self, node: ast.AST | None) -> Function | None:
        """Return the function of a name; None for anything else."""
        return self.functions.get(node.id) if isinstance(node, ast.Name) else None

    def resolve(self, node: ast.expr) -> ast.expr:
        """Return the expression assigned to a name; other expressions are returned unchanged."""
        return self.constants.get(node.id, node) if isinstance(node, ast.Name) else node

    def bases(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """Return the base classes that are defined in this scope."""
        return [base_class for base in node.bases if (base_class := self.class_of(base)) is not None]

    def text(self, node: ast.expr | None) -> str:
        """Return the value of a string expression; empty for anything else."""
        value = self.or_none(node)
        return value if isinstance(value, str) else ""

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """Evaluate an expression to strings, numbers, booleans, None, or lists of these.

        Raises UnknownValue for anything else.
        """
        if depth > 20:
            raise UnknownValue
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return [self.value(item, depth + 1) for item in node.elts]
        if isinstance(node, ast.Dict):
            return [self.value(key, depth + 1) for key in node.keys if key is not None]  # the keys, as in an iteration
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
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return self._comprehended(node, depth)
        if isinstance(node, ast.Subscript):
            return self.value(self._element(node.value, self.value(node.slice, depth + 1)), depth + 1)
        return self._joined(node, depth)

    def _joined(self, node: ast.expr, depth: int) -> str:
        """Evaluate an f-string: `f"--{name}"`. Raises UnknownValue for anything else."""
        if not isinstance(node, ast.JoinedStr):
            raise UnknownValue
        parts = []
        for item in node.values:
            if isinstance(item, ast.FormattedValue):
                if item.format_spec is not None or item.conversion not in (-1, ord("s")):
                    raise UnknownValue
                item = item.value
            value = self.value(item, depth + 1)
            if not isinstance(value, (str, int)):
                raise UnknownValue
            parts.append(str(value))
        return "".join(parts)

    def _comprehended(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, depth: int) -> list[Any]:
        """Evaluate a comprehension such as `[one.value for one in Enumeration]`."""
        [generator, *more] = node.generators
        if more or generator.ifs or not isinstance(generator.target, ast.Name):
            raise UnknownValue
        iterable = generator.iter
        enumeration = self.class_of(iterable)
        items = members(self, enumeration) if enumeration is not None else self.value(iterable, depth + 1)
        if not isinstance(items, list) or len(items) > _MAX_ITEMS:
            raise UnknownValue
        values = []
        for item in items:
            self._bound[generator.target.id] = item
            try:
                element = self.value(node.elt, depth + 1)
            finally:
                del self._bound[generator.target.id]
            values.append(element.value if isinstance(element, EnumMember) else element)
        return all_known(values)

    def _element(self, node: ast.expr, key: Any) -> ast.expr:
        """Return the expression at a key of a dictionary or list literal. Raises UnknownValue for anything else."""
        node = self.resolve(node)
        if isinstance(node, (ast.List, ast.Tuple)) and isinstance(key, int) and -len(node.elts) <= key < len(node.elts):
            return node.elts[key]
        if isinstance(node, ast.Dict):
            pairs = [(self.or_none(name), value) for name, value in zip(node.keys, node.values, strict=True)]
        elif isinstance(node, ast.Call) and self.named(node.func) == "dict" and not node.args:
            pairs = list(keywords(node).items())
        else:
            raise UnknownValue
        matches = [value for name, value in pairs if name == key and name is not None]
        if not matches:
            raise UnknownValue
        return matches[-1]

    def _named_value(self, name: str, depth: int) -> Any:
        if name in self._bound:
            return self._bound[name]
        if name in self.constants:
            return self.value(self.constants[name], depth + 1)
        if name in self.classes:
            return all_known([member.value for member in members(self, self.classes[name])])
        raise UnknownValue

    def _attribute(self, node: ast.Attribute) -> Any:
        dotted_name = self.named(node)
        if dotted_name in ("math.pi", "numpy.pi", "np.pi"):
            return math.pi
        bound = self._bound.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if isinstance(bound, EnumMember) and node.attr in ("name", "value"):
            return bound.name if node.attr == "name" else bound.value
        if node.attr == "name" and isinstance(node.value, ast.Attribute):
            owner = self.class_of(node.value.value)
            if owner is not None and members(self, owner):
                return node.value.attr
        if node.attr == "value" and isinstance(node.value, ast.Attribute):
            node = node.value
        owner_class = self.class_of(node.value)
        for name, value in _assigned_in(owner_class) if owner_class is not None else ():
            if name == node.attr:
                return self.value(value, 1)
        raise UnknownValue

    def _call(self, node: ast.Call, depth: int) -> Any:
        callee = self.named(node.func)
        if callee in ("os.environ.get", "os.getenv") and len(node.args) == 2:
            return self.value(node.args[1], depth + 1)
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS and not node.keywords:
            return self._method(node.func, node.args, depth)
        arguments = [self.value(item, depth + 1) for item in node.args[:3]]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "keys" and not node.args:
            return self.value(node.func.value, depth + 1)
        if callee in ("list", "tuple", "sorted", "set") and len(arguments) == 1 and isinstance(arguments[0], list):
            return sorted(arguments[0]) if callee == "sorted" else arguments[0]
        if callee in ("Path", "pathlib.Path", "str") and len(arguments) == 1:
            return str(arguments[0])
        if callee in ("float", "int") and len(arguments) == 1:
            try:
                return (float if callee == "float" else int)(arguments[0])
            except (TypeError, ValueError) as exc:
                raise UnknownValue from exc
        if callee == "range" and arguments and all(isinstance(item, int) for item in arguments):
            numbers = range(*arguments)
            if len(numbers) <= _MAX_ITEMS:
                return list(numbers)
        raise UnknownValue

    def _method(self, method: ast.Attribute, arguments: list[ast.expr], depth: int) -> Any:
        if method.attr == "get" and arguments:
            try:
                return self.value(self._element(method.value, self.value(arguments[0], depth + 1)), depth + 1)
            except UnknownValue:
                if isinstance(method.value, ast.Name) and method.value.id in self.constants and len(arguments) > 1:
                    return self.value(arguments[1], depth + 1)
                raise
        text = self.value(method.value, depth + 1)
        if method.attr == "format" and isinstance(text, str) and text.count("{") == 1 and len(arguments) == 1:
            return text.replace("{}", str(self.value(arguments[0], depth + 1)))
        if arguments or not isinstance(text, str) or method.attr not in ("lower", "upper"):
            raise UnknownValue
        return text.lower() if method.attr == "lower" else text.upper()

    def or_none(self, node: ast.expr | None) -> Any:
        """Evaluate an expression; None if it is absent or unknown."""
        if node is None:
            return None
        try:
            return self.value(node)
        except (UnknownValue, ArithmeticError, TypeError, ValueError, RecursionError):
            return None


def all_known(values: list[Any]) -> list[Any]:
    """Return the values. Raises UnknownValue if any of them is None."""
    if any(value is None for value in values):
        raise UnknownValue
    return values


def members(scope: ModuleScope, node: ast.ClassDef) -> list[EnumMember]:
    """Return the members of an enumeration. Raises UnknownValue for any other class."""
    bases = {scope.named(base).rpartition(".")[2] for base in node.bases}
    if not bases & {"Enum", "StrEnum", "IntEnum"}:
        raise UnknownValue
    return [EnumMember(name, _valued(scope, value)) for name, value in _assigned_in(node)]


def _valued(scope: ModuleScope, node: ast.expr) -> Any:
    """Evaluate the value of a member; None for `auto()`."""
    automatic = isinstance(node, ast.Call) and scope.named(node.func) in ("enum.auto", "auto")
    return None if automatic else scope.value(node, 1)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield every call, in source order."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from sorted(nodes, key=lambda node: (node.lineno, node.col_offset))


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """Return the keyword arguments, including those of an unpacked literal: `**{"default": 1}`."""
    arguments: dict[str, ast.expr] = {}
    for item in call.keywords:
        if item.arg:
            arguments[item.arg] = item.value
        elif isinstance(item.value, ast.Dict):
            pairs = zip(item.value.keys, item.value.values, strict=True)
            arguments |= {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
        elif (
            isinstance(item.value, ast.Call) and isinstance(item.value.func, ast.Name) and item.value.func.id == "dict"
        ):
            arguments |= keywords(item.value)
    return arguments


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
    raise UnknownValue


def _computed(node: ast.BinOp, left: Any, right: Any) -> Any:
    compute = _OPERATORS.get(type(node.op))
    numbers = all(isinstance(side, (int, float)) and abs(side) <= 1e9 for side in (left, right))
    if compute is not None and numbers and not (isinstance(node.op, (ast.Pow, ast.LShift)) and abs(right) > 64):
        return compute(left, right)
    if isinstance(node.op, ast.Add) and isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(node.op, ast.Mod) and isinstance(left, str) and left.count("%") == 1 and isinstance(right, str):
        return left.replace("%s", right)
    if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
        return left + right
    raise UnknownValue
