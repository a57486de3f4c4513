"""Options of python-fire, from signatures."""

from __future__ import annotations

import ast

from orchestune.config.scripts.option import Option, Script, plain
from orchestune.config.scripts.scope import Function, ModuleScope, calls
from orchestune.config.scripts.signature import annotated, arguments, functions, public


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the options of the component passed to `fire.Fire`; None without it.

    A component is a function, a class, a dictionary of them, or the module.
    """
    for call in calls(tree):
        if scope.named(call.func) != "fire.Fire":
            continue
        if not call.args:
            return Script("fire", (), commands=_commands(tree, scope))
        component = call.args[0]
        if isinstance(component, ast.Dict):
            pairs = zip(component.keys, component.values, strict=True)
            functions_by_name = {
                scope.or_none(key): scope.function_of(value) for key, value in pairs if key is not None
            }
            return Script(
                "fire", (), commands={str(name): _options(f, scope) for name, f in functions_by_name.items() if f}
            )
        function, node = scope.function_of(component), scope.class_of(component)
        if function is not None:
            return Script("fire", _options(function, scope))
        if node is not None:
            constructor = functions(node).get("__init__")
            return Script(
                "fire", () if constructor is None else _options(constructor, scope), commands=_commands(node, scope)
            )
    return None


def _commands(node: ast.ClassDef | ast.Module, scope: ModuleScope) -> dict[str, tuple[Option, ...]]:
    return {name: _options(function, scope) for name, function in public(node).items()}


def _options(function: Function, scope: ModuleScope) -> tuple[Option, ...]:
    """Return the options of a function. Fire parses values as Python literals, whatever the annotation."""
    options = []
    for argument, default in arguments(function):
        value = scope.or_none(default)
        name = argument.arg
        if isinstance(value, bool):
            options.append(Option(f"no{name}" if value else name, "bool", False))
            continue
        kind, choices = annotated(argument.annotation, value, scope)
        options.append(Option(name, kind, plain(value), choices, required=default is None))
    return tuple(options)
