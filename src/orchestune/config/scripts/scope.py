"""Values of expressions that can be told without running anything."""

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
_LONGEST = 1000
Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnknownValue(Exception):
    """The value is known only once the script runs."""


class EnumMember(NamedTuple):
    """One of an enumeration."""

    name: str
    value: Any


class ModuleScope:
    """The constants of one module: what names stand for that are assigned once."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.constants: dict[str, ast.expr] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, Function] = {}
        self.imports: dict[str, str] = {}
        """what a name was imported as: `tune` → `click.option`"""
        self.elsewhere: dict[str, ModuleScope] = {}
        """functions of the modules that this one imports from, each with the module's own scope"""
        self._bound: dict[str, Any] = {}
        """what names stand for within the comprehension that is being looked at"""
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

    def adopt(self, other: ModuleScope) -> None:
        """Know what another module that this one imports from names too; what this one names itself comes first."""
        self.constants = {**other.constants, **self.constants}
        self.classes = {**other.classes, **self.classes}
        self.elsewhere |= dict.fromkeys(other.functions, other)

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

    def class_of(self, node: ast.AST | None) -> ast.ClassDef | None:
        """The class that a name stands for; None for anything else."""
        return self.classes.get(node.id) if isinstance(node, ast.Name) else None

    def function_of(self, node: ast.AST | None) -> Function | None:
        """The function that a name stands for; None for anything else."""
        return self.functions.get(node.id) if isinstance(node, ast.Name) else None

    def held(self, node: ast.expr) -> ast.expr:
        """What a name was assigned; anything else as it is."""
        return self.constants.get(node.id, node) if isinstance(node, ast.Name) else node

    def bases(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """The classes known here that it is derived from."""
        return [found for base in node.bases if (found := self.class_of(base)) is not None]

    def text(self, node: ast.expr | None) -> str:
        """The text that stands there; empty where none does."""
        value = self.or_none(node)
        return value if isinstance(value, str) else ""

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """The value: texts, numbers, truth values, None, and lists of them. Unknown for everything else."""
        if depth > 20:
            raise UnknownValue
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
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return self._comprehended(node, depth)
        if isinstance(node, ast.Subscript):
            return self.value(self._held(node.value, self.value(node.slice, depth + 1)), depth + 1)
        return self._joined(node, depth)

    def _joined(self, node: ast.expr, depth: int) -> str:
        """A text with values in it: `f"--{name}"`. Unknown for anything else."""
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
        """What `[one.value for one in Enumeration]` makes, and the like."""
        [one, *more] = node.generators
        if more or one.ifs or not isinstance(one.target, ast.Name):
            raise UnknownValue
        over = one.iter
        enumeration = self.class_of(over)
        items = members(self, enumeration) if enumeration is not None else self.value(over, depth + 1)
        if not isinstance(items, list) or len(items) > _LONGEST:
            raise UnknownValue
        found = []
        for item in items:
            self._bound[one.target.id] = item
            try:
                made = self.value(node.elt, depth + 1)
            finally:
                del self._bound[one.target.id]
            found.append(made.value if isinstance(made, EnumMember) else made)
        return told(found)

    def _held(self, node: ast.expr, key: Any) -> ast.expr:
        """What a dictionary or a list that is written down here holds at a key. Unknown for anything else."""
        node = self.held(node)
        if isinstance(node, (ast.List, ast.Tuple)) and isinstance(key, int) and -len(node.elts) <= key < len(node.elts):
            return node.elts[key]
        if isinstance(node, ast.Dict):
            pairs = [(self.or_none(name), value) for name, value in zip(node.keys, node.values, strict=True)]
        elif isinstance(node, ast.Call) and self.named(node.func) == "dict" and not node.args:
            pairs = list(keywords(node).items())
        else:
            raise UnknownValue
        found = [value for name, value in pairs if name == key and name is not None]
        if not found:
            raise UnknownValue
        return found[-1]

    def _named_value(self, name: str, depth: int) -> Any:
        if name in self._bound:
            return self._bound[name]
        if name in self.constants:
            return self.value(self.constants[name], depth + 1)
        if name in self.classes:
            return told([member.value for member in members(self, self.classes[name])])
        raise UnknownValue

    def _attribute(self, node: ast.Attribute) -> Any:
        whole = self.named(node)
        if whole in ("math.pi", "numpy.pi", "np.pi"):
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
        found = self.class_of(node.value)
        for name, value in _assigned_in(found) if found is not None else ():
            if name == node.attr:
                return self.value(value, 1)
        raise UnknownValue

    def _call(self, node: ast.Call, depth: int) -> Any:
        called = self.named(node.func)
        if called in ("os.environ.get", "os.getenv") and len(node.args) == 2:
            return self.value(node.args[1], depth + 1)
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS and not node.keywords:
            return self._method(node.func, node.args, depth)
        arguments = [self.value(item, depth + 1) for item in node.args[:3]]
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
                raise UnknownValue from exc
        if called == "range" and arguments and all(isinstance(item, int) for item in arguments):
            numbers = range(*arguments)
            if len(numbers) <= _LONGEST:
                return list(numbers)
        raise UnknownValue

    def _method(self, called: ast.Attribute, arguments: list[ast.expr], depth: int) -> Any:
        if called.attr == "get" and arguments:
            try:
                return self.value(self._held(called.value, self.value(arguments[0], depth + 1)), depth + 1)
            except UnknownValue:
                if isinstance(called.value, ast.Name) and called.value.id in self.constants and len(arguments) > 1:
                    return self.value(arguments[1], depth + 1)
                raise
        text = self.value(called.value, depth + 1)
        if called.attr == "format" and isinstance(text, str) and text.count("{") == 1 and len(arguments) == 1:
            return text.replace("{}", str(self.value(arguments[0], depth + 1)))
        if arguments or not isinstance(text, str) or called.attr not in ("lower", "upper"):
            raise UnknownValue
        return text.lower() if called.attr == "lower" else text.upper()

    def or_none(self, node: ast.expr | None) -> Any:
        """The same; None where nothing stands there or nothing can be told."""
        if node is None:
            return None
        try:
            return self.value(node)
        except (UnknownValue, ArithmeticError, TypeError, ValueError, RecursionError):
            return None


def told(values: list[Any]) -> list[Any]:
    """The values, where each of them is known. Unknown where one is not."""
    if any(value is None for value in values):
        raise UnknownValue
    return values


def members(scope: ModuleScope, node: ast.ClassDef) -> list[EnumMember]:
    """The members of an enumeration. Unknown where it is none."""
    bases = {scope.named(base).rpartition(".")[2] for base in node.bases}
    if not bases & {"Enum", "StrEnum", "IntEnum"}:
        raise UnknownValue
    return [EnumMember(name, _valued(scope, value)) for name, value in _assigned_in(node)]


def _valued(scope: ModuleScope, node: ast.expr) -> Any:
    """The value of a member; None for that of `auto()`, which nobody writes."""
    automatic = isinstance(node, ast.Call) and scope.named(node.func) in ("enum.auto", "auto")
    return None if automatic else scope.value(node, 1)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call, in the order of the text."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """The arguments that are named, also those of a dictionary that is written down there: `**{"default": 1}`."""
    found: dict[str, ast.expr] = {}
    for item in call.keywords:
        if item.arg:
            found[item.arg] = item.value
        elif isinstance(item.value, ast.Dict):
            pairs = zip(item.value.keys, item.value.values, strict=True)
            found |= {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
        elif (
            isinstance(item.value, ast.Call) and isinstance(item.value.func, ast.Name) and item.value.func.id == "dict"
        ):
            found |= keywords(item.value)
    return found


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
