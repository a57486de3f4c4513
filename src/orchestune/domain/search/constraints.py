"""Constraints on configurations, such as `lr * 2 + momentum <= 1`, parsed without running them as Python code.

The grammar is the subset of Python's with arithmetic, comparisons, `and`, `or`, `not`, `in` with a list,
`a if b else c` and a few numeric functions. Names are parameters; `{val/x-y}` stands for a name that is not a Python
identifier. A constraint holds if one of its parameters does not apply, and is violated if it cannot be computed (a
division by zero). Numbers that differ only by rounding are equal: 0.1 + 0.2 is 0.3.
"""

from __future__ import annotations

import ast
import keyword
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestune.domain.search.parameters import same
from orchestune.domain.words import did_you_mean

MAX_CONSTRAINT_CHARS = 1000
MAX_DEPTH = 100
"""nesting levels: a deeper expression would overflow Python's stack"""
Kind = Literal["number", "decimal", "text", "truth", "any"]
"""type of a parameter or term; `decimal`: a number without a step"""
_Term = Callable[[Mapping[str, Any]], Any]
_Sum = tuple[Any, Any]
"""a value and, for a number, the sum of the magnitudes of its summands (up to the sign)"""
_Check = Callable[[Any, Any], Any]
"""predicate that compares two evaluated operands"""

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int, int]] = {
    "abs": (abs, 1, 1), "min": (min, 2, 20), "max": (max, 2, 20), "sqrt": (math.sqrt, 1, 1), "exp": (math.exp, 1, 1),
    "log": (math.log, 1, 1), "log2": (math.log2, 1, 1), "log10": (math.log10, 1, 1),
    "floor": (math.floor, 1, 1), "ceil": (math.ceil, 1, 1), "round": (round, 1, 1),
}  # fmt: skip
"""name → function, minimum and maximum number of arguments"""
_BOOLEANS = {"true": True, "false": False}
"""spelling in experiment files"""
_ROUNDING_TOLERANCE = 1e-14
"""largest difference caused by rounding, relative to the sum of the magnitudes of all summands on both sides"""
_QUOTED = re.compile(r"\{([^{}]*)\}")
_MISSPELLED_OPERATORS = {"&&": "and", "||": "or", "=<": "<=", "=>": ">="}


class InvalidConstraint(ValueError):
    """Invalid constraint. The message says what is wrong, `hint` how to fix it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Constraint:
    """A condition over parameters `names`; `compared` holds (parameter, text) pairs. Equality is that of `text`."""

    text: str
    names: frozenset[str] = field(compare=False)
    compared: frozenset[tuple[str, str]] = field(compare=False)
    equations: frozenset[frozenset[str]] = field(compare=False)
    """names in each equation that contains a number without a step"""
    operations: int = field(compare=False)
    """number of names, constants, operators and functions: the time of an evaluation is proportional to it"""
    _holds: _Term = field(compare=False, repr=False)
    _distance: _Term = field(compare=False, repr=False)

    def holds(self, configuration: Mapping[str, Any]) -> bool:
        """Return True if the constraint is fulfilled or does not apply."""
        return not self.names <= configuration.keys() or bool(_computed(self._holds, configuration, False))

    def distance(self, configuration: Mapping[str, Any]) -> float:
        """Return 0 if the constraint holds; otherwise the size of the violation, infinite if it cannot be computed."""
        if self.holds(configuration):
            return 0.0
        distance = _computed(self._distance, configuration, math.inf)
        return (
            max(float(distance), 1e-300)
            if isinstance(distance, (int, float)) and not math.isnan(distance)
            else math.inf
        )


def _computed(term: _Term, configuration: Mapping[str, Any], otherwise: Any) -> Any:
    try:
        return term(configuration)
    except (ArithmeticError, ValueError, TypeError):
        return otherwise


def constraint(text: str, kinds: Mapping[str, Kind]) -> Constraint:
    """Parse a constraint over parameters of these kinds. Raises InvalidConstraint if `text` is invalid."""
    if len(text) > MAX_CONSTRAINT_CHARS:
        raise InvalidConstraint(f"is longer than {MAX_CONSTRAINT_CHARS} characters")
    quoted: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        quoted[f"__{len(quoted)}__"] = match[1]
        return f"__{len(quoted) - 1}__"

    source = _QUOTED.sub(placeholder, text).strip()
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        spelling = next((f"write `{right}`" for wrong, right in _MISSPELLED_OPERATORS.items() if wrong in text), "")
        equals = re.search(r"(?<![<>=!])=(?!=)", text)
        other = "write == for equal" if equals else "for example lr * 2 + momentum <= 1"
        hint = _in_braces(text, kinds) or spelling or other
        raise InvalidConstraint("invalid syntax", hint) from exc
    if _deeper(tree, MAX_DEPTH):
        raise InvalidConstraint(f"is nested more than {MAX_DEPTH} levels deep", "split it into several constraints")
    reader = _Compiler(kinds, quoted)
    try:
        term, kind = reader.term(tree)
    except InvalidConstraint as exc:
        raise InvalidConstraint(str(exc), _in_braces(text, kinds) or exc.hint) from None
    if kind not in ("truth", "any"):
        raise InvalidConstraint("is not a condition", "add a comparison with <=, <, >=, >, == or !=")
    if not reader.names:
        raise InvalidConstraint("contains no parameter")
    return Constraint(
        text,
        frozenset(reader.names),
        frozenset(reader.compared),
        frozenset(reader.equations),
        sum(isinstance(node, ast.expr) for node in ast.walk(tree)),
        term,
        reader.distance(tree),
    )


def _in_braces(text: str, kinds: Mapping[str, Kind]) -> str:
    """Return a hint if `text` has a name without braces that is not a Python identifier; otherwise empty."""
    plain = _QUOTED.sub("", text)
    for name in kinds:
        words = all(word.isidentifier() and not keyword.iskeyword(word) for word in name.split("."))
        if not words and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", plain):
            return f"write {{{name}}} for the parameter"
    return ""


class _Compiler:
    """Compiles a syntax tree to functions of a configuration, and rejects every node that it does not know.

    Each node becomes one function, which calls each function below it once: building or evaluating nodes twice at
    each of 100 levels would take 2**100 times as long.
    """

    def __init__(self, kinds: Mapping[str, Kind], quoted: Mapping[str, str]) -> None:
        self._kinds, self._quoted = kinds, quoted
        self._terms: dict[ast.expr, tuple[_Term, Kind]] = {}
        self.names: set[str] = set()
        self.compared: set[tuple[str, str]] = set()
        self.equations: set[frozenset[str]] = set()

    def term(self, node: ast.expr) -> tuple[_Term, Kind]:
        """Return the (cached) function that evaluates `node`, and the kind of its values."""
        if node not in self._terms:
            self._terms[node] = self._built(node)
        return self._terms[node]

    def _built(self, node: ast.expr) -> tuple[_Term, Kind]:
        match node:
            case ast.Constant(value=value):
                return self._constant(value)
            case ast.Name() | ast.Attribute():
                return self._parameter(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._applied(_ARITHMETIC[type(op)], [left, right])
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
                return self._applied(_SIGNS[type(op)], [operand])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._truth(operand)
                return (lambda values: not inner(values)), "truth"
            case ast.BoolOp(op=op, values=parts):
                terms = [self._truth(part) for part in parts]
                every = all if isinstance(op, ast.And) else any
                return (lambda values: every(term(values) for term in terms)), "truth"
            case ast.Compare():
                return self._comparison(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition, (yes, kind), (no, other) = self._truth(test), self.term(body), self.term(orelse)
                return (
                    lambda values: yes(values) if condition(values) else no(values)
                ), kind if kind == other else "any"
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                function, least, most = _FUNCTIONS[name]
                if not least <= len(arguments) <= most:
                    raise InvalidConstraint(f"{name} has {least if least == most else f'{least} or more'} arguments")
                return self._applied(function, arguments)
            case ast.Call():
                raise InvalidConstraint(
                    f"unknown function: {_excerpt(node.func)}", f"available are {', '.join(_FUNCTIONS)}"
                )
        raise InvalidConstraint(f"not supported: {_excerpt(node)}", "use arithmetic, comparisons, and, or, not")

    def distance(self, node: ast.expr, expected: bool = True) -> _Term:
        """Return a function for the distance of a configuration from one for which `node` is `expected`.

        The distance is a number if numbers are compared, otherwise 0 or 1.
        """
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.distance(operand, not expected)
            case ast.BoolOp(op=op, values=parts):
                return _combined([self.distance(part, expected) for part in parts], isinstance(op, ast.And) is expected)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition = self._truth(test)
                yes, no = self.distance(body, expected), self.distance(orelse, expected)
                return lambda values: yes(values) if condition(values) else no(values)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                pairs = zip([left, *comparators], ops, comparators, strict=False)
                return _combined([self._one_distance(*pair, expected) for pair in pairs], expected)
        term = self.term(node)[0]
        return lambda values: 0.0 if bool(term(values)) is expected else 1.0

    def _one_distance(self, left: ast.expr, op: ast.cmpop, right: ast.expr, expected: bool) -> _Term:
        one, kind = self.term(left)
        if isinstance(right, (ast.List, ast.Tuple, ast.Set)):
            choices = [self.term(element) for element in right.elts]
            if isinstance(op, ast.In) is expected and {kind, *(second for _, second in choices)} <= {"number", "truth"}:

                def nearest(values: Mapping[str, Any]) -> Any:
                    number = one(values)
                    return min(abs(number - choice(values)) for choice, _ in choices)

                return nearest
        else:
            other, second = self.term(right)
            if {kind, second} <= {"number", "truth"}:
                holds = self._pair(left, op, right)
                return lambda values: 0.0 if holds(values) is expected else abs(one(values) - other(values))
        term = self._pair(left, op, right)
        return lambda values: 0.0 if bool(term(values)) is expected else 1.0

    def _constant(self, value: object) -> tuple[_Term, Kind]:
        if isinstance(value, bool):
            return (lambda values: value), "truth"
        if isinstance(value, (int, float)):
            number = float(value) if abs(value) < 1e300 else math.inf  # huge integers could take unlimited time
            return (lambda values: number), "number"
        if isinstance(value, str):
            text = self._text(value)
            return (lambda values: text), "text"
        raise InvalidConstraint(f"unsupported constant: {value!r} (expected a number, a text, true or false)")

    def _text(self, value: str) -> str:
        for word, name in self._quoted.items():
            value = value.replace(word, f"{{{name}}}")
        return value

    def _name(self, node: ast.expr) -> str:
        name = _dotted(node)
        return self._quoted.get(name, name)

    def _parameter(self, node: ast.expr) -> tuple[_Term, Kind]:
        name = self._name(node)
        if name not in self._kinds and name in _BOOLEANS:
            return self._constant(_BOOLEANS[name])
        if name not in self._kinds:
            suggestion = did_you_mean(name, self._kinds)
            hint = suggestion or f"parameters are {', '.join(list(self._kinds)[:10])}"
            if not suggestion and "text" in self._kinds.values():
                hint += f"; put a text in quotes: '{name}'"
            raise InvalidConstraint(f"unknown parameter: '{name}'", hint)
        self.names.add(name)
        kind = self._kinds[name]
        if kind in ("number", "decimal"):
            return (lambda values: float(values[name])), "number"
        return (lambda values: values[name]), kind

    def _applied(self, function: Callable[..., Any], nodes: list[ast.expr]) -> tuple[_Term, Kind]:
        terms = [self._number(node) for node in nodes]
        if len(terms) == 2:
            one, other = terms
            return (lambda values: function(one(values), other(values))), "number"
        return (lambda values: function(*[term(values) for term in terms])), "number"

    def _comparison(self, node: ast.Compare) -> tuple[_Term, Kind]:
        if len(node.ops) == 1:
            return self._pair(node.left, node.ops[0], node.comparators[0]), "truth"
        pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
        links = [(self._check(left, op, right), self._operand(right)) for left, op, right in pairs]
        first = self._operand(node.left)

        def holds(values: Mapping[str, Any]) -> bool:
            left = first(values)
            for check, operand in links:
                right = operand(values)
                if not check(left, right):
                    return False
                left = right
            return True

        return holds, "truth"

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> _Term:
        check = self._check(left, op, right)
        one, other = self._operand(left), self._operand(right)
        return lambda values: check(one(values), other(values))

    def _operand(self, node: ast.expr) -> _Term:
        """Return one side of a comparison, for a `_Check`: list elements, evaluated lazily, or a `_Sum`."""
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            choices = [self.term(element)[0] for element in node.elts]
            return lambda values: (choice(values) for choice in choices)
        return self._summed(node)

    def _check(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> _Check:
        kind = self.term(left)[1]
        if isinstance(op, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
                raise InvalidConstraint("`in` needs a list", "for example opt in ['sgd', 'adam']")
            equals = [_equality(kind, self.term(element)[1]) for element in right.elts]
            for element in right.elts:
                self._compare(left, element)
            expected = isinstance(op, ast.In)
            return lambda one, choices: (
                any(equal(one[0], choice) for equal, choice in zip(equals, choices, strict=True)) is expected
            )
        if type(op) not in _COMPARISONS:
            raise InvalidConstraint("`is` is not supported", "write == or !=")
        second = self.term(right)[1]
        ordered = not isinstance(op, (ast.Eq, ast.NotEq))
        if "text" in (kind, second) and (ordered or {kind, second} - {"text", "any"}):
            verb = "have no order" if kind == second else "cannot be compared with numbers"
            raise InvalidConstraint(
                f"{_excerpt(left)} and {_excerpt(right)}: texts {verb}", "compare texts with == and in"
            )
        compare = _COMPARISONS[type(op)]
        if not ordered:
            self._compare(left, right)
        named = self._named(left) | self._named(right)
        endless = not ordered and any(self._kinds[name] == "decimal" for name in named)
        if endless and isinstance(op, ast.Eq):
            self.equations.add(named)
        if {kind, second} <= {"number", "truth"} and not endless:
            return _unless_rounded(compare)
        if not ordered:
            equal, expected = _equality(kind, second), isinstance(op, ast.Eq)
            return lambda one, other: equal(one[0], other[0]) is expected
        return lambda one, other: compare(one[0], other[0])

    def _named(self, node: ast.expr) -> frozenset[str]:
        """Return the parameters in `node`."""
        words = [each for each in ast.walk(node) if isinstance(each, (ast.Name, ast.Attribute))]
        return frozenset(name for name in map(self._name, words) if name in self._kinds)

    def _summed(self, node: ast.expr) -> Callable[[Mapping[str, Any]], _Sum]:
        """Return the function that evaluates `node` together with the magnitude of its summands."""
        match node:
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                one, other, applied = self._summed(left), self._summed(right), _ARITHMETIC[type(op)]

                def total(values: Mapping[str, Any]) -> _Sum:
                    (a, size), (b, more) = one(values), other(values)
                    return applied(_as_number(a), _as_number(b)), abs(size) + abs(more)

                return total
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                inner, signed = self._summed(operand), _SIGNS[type(sign)]

                def with_sign(values: Mapping[str, Any]) -> _Sum:
                    number, size = inner(values)
                    return signed(_as_number(number)), size

                return with_sign
        term = self.term(node)[0]

        def alone(values: Mapping[str, Any]) -> _Sum:
            single = term(values)
            return single, single

        return alone

    def _compare(self, one: ast.expr, other: ast.expr) -> None:
        for named, node in ((one, other), (other, one)):
            match named, node:
                case ast.Name() | ast.Attribute(), ast.Constant(value=str(value)) if self._name(named) in self.names:
                    self.compared.add((self._name(named), self._text(value)))

    def _truth(self, node: ast.expr) -> _Term:
        term, kind = self.term(node)
        if kind not in ("truth", "any"):
            raise InvalidConstraint(f"{_excerpt(node)} is not a condition")
        return term

    def _number(self, node: ast.expr) -> _Term:
        term, kind = self.term(node)
        if kind == "text":
            raise InvalidConstraint(f"{_excerpt(node)} is a text, not a number")
        return lambda values: _as_number(term(values))


def _combined(terms: Sequence[_Term], every: bool) -> _Term:
    """Combine distances: 0 if `every` one is 0 (their sum), or if any is 0 (their minimum)."""
    if len(terms) == 1:
        return terms[0]
    together = sum if every else min
    return lambda values: together(term(values) for term in terms)


def _unless_rounded(compare: Callable[[Any, Any], Any]) -> _Check:
    """Return a comparison that treats numbers as equal if they differ only by rounding."""
    of_equal = compare(0, 0)

    def holds(one: _Sum, other: _Sum) -> Any:
        (a, size), (b, more) = one, other
        outcome = compare(a, b)
        if outcome is of_equal or (float(a).is_integer() and float(b).is_integer()):
            return outcome
        return of_equal if abs(a - b) <= _ROUNDING_TOLERANCE * (abs(size) + abs(more)) < math.inf else outcome

    return holds


def _equality(one: Kind, other: Kind) -> Callable[[Any, Any], bool]:
    """Return the equality test: `true` differs from 1 for a parameter that allows both, but not for a switch."""
    return same if "any" in (one, other) else operator.eq


def _as_number(value: object) -> float:
    """Return a float: integer powers, or a text times one, take unbounded time and memory. Raises TypeError if text."""
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(f"not a number: {value!r}")


def _deeper(tree: ast.AST, most: int) -> bool:
    level = [tree]
    for _ in range(most):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise InvalidConstraint(f"not supported: {_excerpt(node)}")


def _excerpt(node: ast.expr) -> str:
    text = ast.unparse(node)
    return f"`{text if len(text) <= 40 else f'{text[:37]}...'}`"
