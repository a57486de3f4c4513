"""Options of python-fire, from the signatures of what it is given."""

from __future__ import annotations

import ast

from orchestune.config.scripts.option import Option, Script, plain
from orchestune.config.scripts.scope import Function, ModuleScope, calls
from orchestune.config.scripts.signature import annotated, arguments, functions, public


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """What `fire.Fire` is given: a function, a class, a dictionary of them, or the whole module. None without it."""
    for call in calls(tree):
        if scope.named(call.func) != "fire.Fire":
            continue
        if not call.args:
            return Script("fire", (), commands=_commands(tree, scope))
        given = call.args[0]
        if isinstance(given, ast.Dict):
            pairs = zip(given.keys, given.values, strict=True)
            named = {scope.or_none(key): scope.function_of(value) for key, value in pairs if key is not None}
            return Script("fire", (), commands={str(name): _options(f, scope) for name, f in named.items() if f})
        function, node = scope.function_of(given), scope.class_of(given)
        if function is not None:
            return Script("fire", _options(function, scope))
        if node is not None:
            made = functions(node).get("__init__")
            return Script("fire", () if made is None else _options(made, scope), commands=_commands(node, scope))
    return None


def _commands(node: ast.ClassDef | ast.Module, scope: ModuleScope) -> dict[str, tuple[Option, ...]]:
    return {name: _options(function, scope) for name, function in public(node).items()}


def _options(function: Function, scope: ModuleScope) -> tuple[Option, ...]:
    """Fire reads values as Python does, whatever the annotation says."""
    found = []
    for argument, default in arguments(function):
        value = scope.or_none(default)
        name = argument.arg
        if isinstance(value, bool):
            found.append(Option(f"no{name}" if value else name, "bool", False))
            continue
        kind, choices = annotated(argument.annotation, value, scope)
        found.append(Option(name, kind, plain(value), choices, required=default is None))
    return tuple(found)
