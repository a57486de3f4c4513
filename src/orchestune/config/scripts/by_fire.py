"""Options of python-fire, from the signatures of what it is given."""

from __future__ import annotations

import ast

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import Scope, calls
from orchestune.config.scripts.signature import Function, annotated, arguments, function_of, methods, plain


def read(tree: ast.Module, scope: Scope) -> Script | None:
    """What `fire.Fire` is given: a function, a class, a dictionary of them, or the whole module. None without it."""
    for call in calls(tree):
        if scope.named(call.func) != "fire.Fire":
            continue
        if not call.args:
            public = [name for name in _of_module(tree) if not name.startswith("_")]
            return Script("fire", (), commands={name: _options(scope.functions[name], scope) for name in public})
        given = call.args[0]
        if isinstance(given, ast.Dict):
            pairs = zip(given.keys, given.values, strict=True)
            named = {scope.or_none(key): function_of(value, scope) for key, value in pairs if key is not None}
            return Script("fire", (), commands={str(name): _options(f, scope) for name, f in named.items() if f})
        function = function_of(given, scope)
        if function is not None:
            return Script("fire", _options(function, scope))
        if isinstance(given, ast.Name) and given.id in scope.classes:
            made = methods(scope.classes[given.id])
            own = _options(made["__init__"], scope) if "__init__" in made else ()
            public = [name for name in made if not name.startswith("_")]
            return Script("fire", own, commands={name: _options(made[name], scope) for name in public})
    return None


def _of_module(tree: ast.Module) -> list[str]:
    return [item.name for item in tree.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _options(function: Function, scope: Scope) -> tuple[Option, ...]:
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
