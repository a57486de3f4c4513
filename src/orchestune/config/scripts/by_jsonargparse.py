"""Options of jsonargparse, from the signatures of what `CLI` and the methods of its parser are given."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import Scope, calls, keywords
from orchestune.config.scripts.signature import Function, function_of, is_data_class, methods, of_fields, of_function

_CALLS = ("jsonargparse.CLI", "jsonargparse.auto_cli")
ADDING = ("add_class_arguments", "add_dataclass_arguments", "add_function_arguments")


def read(tree: ast.Module, scope: Scope) -> Script | None:
    """What `CLI` is given: functions, a class, or the functions of the module. None without it."""
    for call in calls(tree):
        if scope.named(call.func) in _CALLS:
            given = call.args[0] if call.args else keywords(call).get("components")
            found = _of_module(tree, scope) if given is None else _of_given(given, scope)
            if found is not None:
                return found
    return None


def added(call: ast.Call, scope: Scope) -> list[Option]:
    """What `parser.add_class_arguments(Model, "model")` and its like add."""
    names = [*call.args[1:2], keywords(call).get("nested_key")]
    above = scope.or_none(names[0])
    found = _of_component(call.args[0], scope) if call.args else []
    return [replace(one, name=f"{above}.{one.name}") for one in found] if isinstance(above, str) else found


def _of_module(tree: ast.Module, scope: Scope) -> Script | None:
    names = [item.name for item in tree.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return _of_functions({name: scope.functions[name] for name in names if not name.startswith("_")}, scope)


def _of_given(given: ast.expr, scope: Scope) -> Script | None:
    if isinstance(given, (ast.List, ast.Tuple)):
        listed = [function for item in given.elts if (function := function_of(item, scope)) is not None]
        return _of_functions({function.name: function for function in listed}, scope)
    node = scope.classes.get(given.id) if isinstance(given, ast.Name) else None
    if node is None or is_data_class(node):
        options = _of_component(given, scope)
        return Script("jsonargparse", tuple(map(_by_place, options))) if options else None
    own = tuple(replace(option, early=True) for option in map(_by_place, _of_component(given, scope)))
    public = {name: method for name, method in methods(node).items() if not name.startswith("_")}
    return Script("jsonargparse", own, commands={name: _options(method, scope) for name, method in public.items()})


def _of_functions(functions: Mapping[str, Function], scope: Scope) -> Script | None:
    commands = {name: _options(function, scope) for name, function in functions.items()}
    if len(commands) == 1:
        return Script("jsonargparse", next(iter(commands.values())))
    return Script("jsonargparse", (), commands=commands) if commands else None


def _options(function: Function, scope: Scope) -> tuple[Option, ...]:
    return tuple(_by_place(_truth(option)) for option in of_function(function, scope))


def _of_component(given: ast.expr, scope: Scope) -> list[Option]:
    """Of a function, of what a class is made with, or of a data class."""
    function, node = function_of(given, scope), scope.classes.get(given.id) if isinstance(given, ast.Name) else None
    if node is not None and not is_data_class(node):
        function = methods(node).get("__init__")
    options = of_function(function, scope) if function is not None else []
    if node is not None and is_data_class(node):
        options = of_fields(node, scope, by_name=True)
    return [_truth(option) for option in options]


def _truth(option: Option) -> Option:
    """Truth values are words to it."""
    if option.kind != "bool":
        return option
    default = None if option.required else "true" if option.default is True else "false"
    return replace(option, kind="text", default=default, choices=("true", "false"))


def _by_place(option: Option) -> Option:
    """What has no default stands by its place alone."""
    return replace(option, word=f"{{{option.name}}}") if option.required and "." not in option.name else option
