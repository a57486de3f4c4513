"""Constants of a script by name: literals that are assigned once, at the top level of a Python or R script.

`lr = 0.1` is the constant `lr`, an entry of `params = {"lr": 0.1}` is `params.lr`, an attribute of `class Config` is
`Config.lr`. What is assigned again somewhere, such as a counter, is no constant.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.domain.search.parameters import Value

_MAX_LINE_CHARACTERS = 2000
"""characters of a line up to which its constants count: every line travels with the specification"""


@dataclass(frozen=True)
class Constant:
    """A literal in a script. `line` counts from 1; `start` and `end` are offsets in characters within the line."""

    value: Value
    line: int
    start: int
    end: int


Constants = dict[str, Constant]


class Unparsable(ValueError):
    """The script is not valid in its language."""


def of_python(text: str) -> Constants:
    """Return the constants of a Python script, in its order. Raises Unparsable."""
    try:
        tree = ast.parse(text)
    except SyntaxError as exc:
        raise Unparsable(f"line {exc.lineno}: {exc.msg}") from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise Unparsable(str(exc)) from exc
    assignments = _Assignments()
    assignments.visit(tree)
    lines, constants = text.split("\n"), Constants()
    for name, node in _assigned(tree.body, ""):
        constant = _literal(node, lines)
        if constant is not None and assignments.is_single(name):
            constants[name] = constant
    return constants


def _assigned(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield each name and the expression that is assigned to it at the top level."""
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name, value in _pairs(targets[0], node.value) if len(targets) == 1 else ():
                if not name.startswith("_"):
                    yield f"{prefix}{name}", value
                    yield from _entries(f"{prefix}{name}.", value)
        elif isinstance(node, ast.ClassDef) and not prefix:
            yield from _assigned(node.body, f"{node.name}.")
        elif isinstance(node, ast.If) and not prefix and ast.unparse(node.test).startswith("__name__ =="):
            yield from _assigned(node.body, "")


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield each name of an assignment with its expression: `lr, layers = 0.1, 3` has two."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, element in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, element)


def _entries(prefix: str, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield the entries of `{"lr": 0.1}` or `dict(lr=0.1)`, also nested ones."""
    pairs: list[tuple[Any, ast.expr]] = []
    if isinstance(value, ast.Dict):
        pairs = [(getattr(key, "value", None), item) for key, item in zip(value.keys, value.values, strict=True)]
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        pairs = [(keyword.arg, keyword.value) for keyword in value.keywords]
    for key, item in pairs:
        if isinstance(key, str):
            yield f"{prefix}{key}", item
            yield from _entries(f"{prefix}{key}.", item)


def _literal(node: ast.expr, lines: list[str]) -> Constant | None:
    """Return the constant of a number, string or boolean on one line; None for any other expression."""
    operand = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    if not isinstance(operand, ast.Constant) or node.lineno != node.end_lineno or node.lineno > len(lines):
        return None
    row = lines[node.lineno - 1].encode()  # the parser counts bytes
    before, literal = row[: node.col_offset], row[node.col_offset : node.end_col_offset]
    try:
        start, text = len(before.decode()), literal.decode()
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if type(value) not in (bool, int, float, str) or len(row) > _MAX_LINE_CHARACTERS:
        return None
    return Constant(value, node.lineno, start, start + len(text))


class _Assignments(ast.NodeVisitor):
    """Counts the assignments to global names and attributes of classes, and collects what is changed from outside."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._changed: set[str] = set()
        """attributes and entries that are assigned after their definition: `Config.lr`, `params.lr`"""
        self._function: set[str] | None = None
        """names that the function around declares as global; None outside of functions"""
        self._class = ""

    def is_single(self, name: str) -> bool:
        """Return True if neither the name nor what contains it is assigned again."""
        parts = name.split(".")
        containers = [".".join(parts[: length + 1]) for length in range(len(parts))]
        return all(self._counts[one] < 2 and one not in self._changed for one in containers)

    def visit_Name(self, node: ast.Name) -> None:
        """Count an assignment to a name, except to a local variable of a function."""
        if not isinstance(node.ctx, ast.Load) and (self._function is None or node.id in self._function):
            self._counts[f"{self._class}{node.id}"] += 1

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Count `Config.lr = 1`."""
        if not isinstance(node.ctx, ast.Load):
            self._changed.add(ast.unparse(node))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Count `params["lr"] = 1`; an unknown key stands for all."""
        if not isinstance(node.ctx, ast.Load):
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            self._changed.add(ast.unparse(node.value) + (f".{key}" if isinstance(key, str) else ""))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Count the arguments of `Config(lr=1)` and `params.update(lr=1)`."""
        function = node.func
        if isinstance(function, ast.Name):
            self._changed.update(f"{function.id}.{keyword.arg}" for keyword in node.keywords)
        elif isinstance(function, ast.Attribute) and function.attr == "update":
            self._changed.add(ast.unparse(function.value))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Count the function itself, and the assignments of its body to global names."""
        if self._function is None:
            self._counts[f"{self._class}{node.name}"] += 1
        outer = self._function, self._class
        declared = [name for one in ast.walk(node) if isinstance(one, ast.Global) for name in one.names]
        self._function, self._class = set(declared), ""
        self.generic_visit(node)
        self._function, self._class = outer

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Handle it like any other function."""
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Count the attributes of a class."""
        outer = self._class
        self._class = f"{outer}{node.name}."
        self.generic_visit(node)
        self._class = outer

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Skip the variables of comprehensions, which are local to them."""
        self.visit(node.iter)


_R_CONSTANT = re.compile(
    r"""^(?P<name>[A-Za-z][\w.]*)[ \t]*(?:<-|=)[ \t]*"""
    r"""(?P<literal>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?L?|"[^"\\\n]*"|'[^'\\\n]*'|TRUE|FALSE)"""
    r"""[ \t]*;?[ \t]*(?:\#.*)?\r?$""",
    re.MULTILINE,
)
_R_WORDS = {"TRUE": True, "FALSE": False}


def of_r(text: str) -> Constants:
    """Return the constants of an R script, in its order."""
    code = re.sub(r"#.*", "", text)
    constants = Constants()
    for match in _R_CONSTANT.finditer(text):
        name, literal = match["name"], match["literal"]
        is_single = _assignments_in_r(name, code) == 1
        start = text.rfind("\n", 0, match.start()) + 1
        if is_single and match.end() - match.start() <= _MAX_LINE_CHARACTERS:
            line = text.count("\n", 0, start) + 1
            offsets = (position - start for position in match.span("literal"))
            constants[name] = Constant(_of_r(literal), line, *offsets)
    return constants


def _assignments_in_r(name: str, code: str) -> int:
    """Count the assignments to a name. Arguments on lines of their own are none: `lr = lr,` and `lr = lr)`."""
    word = rf"(?<![\w.]){re.escape(name)}(?![\w.])"
    equal_signs = re.findall(rf"^[ \t]*{word}[ \t]*=(?!=)[^,\n]*$", code, re.MULTILINE)
    others = rf"{word}[ \t]*<<?-|->>?[ \t]*{word}|\bfor[ \t]*\([ \t]*{word}[ \t]+in\b"
    arguments = [line for line in equal_signs if line.count("(") != line.count(")")]
    return len(re.findall(others, code)) + len(equal_signs) - len(arguments)


def _of_r(literal: str) -> Value:
    if literal in _R_WORDS:
        return _R_WORDS[literal]
    if literal[0] in "\"'":
        return literal[1:-1]
    number = literal.removesuffix("L")
    return int(number) if number != literal or re.fullmatch(r"-?\d+", number) else float(number)


READERS: Mapping[str, Callable[[str], Constants]] = {".py": of_python, ".r": of_r}
"""by file extension in lower case"""
