"""Options of jsonargparse, from the signatures of what its `CLI`, that of Lightning, and its parser are given."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import Function, ModuleScope, calls, keywords
from orchestune.config.scripts.signature import functions, is_data_class, of_fields, of_function, public

_CALLS = ("jsonargparse.CLI", "jsonargparse.auto_cli")
ADDING = ("add_class_arguments", "add_dataclass_arguments", "add_function_arguments")


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """What `CLI` is given: functions, a class, or the functions of the module. None without it."""
    for call in calls(tree):
        if _is_lightning(call.func, scope):
            return _of_lightning(call, scope)
        if scope.named(call.func) in _CALLS:
            given = call.args[0] if call.args else keywords(call).get("components")
            found = _of_module(tree, scope) if given is None else _of_given(given, scope)
            if found is not None:
                return found
    return None


def in_use(scope: ModuleScope) -> bool:
    """Whether the parser of the script is its own: one that reads `--mix=false` as what it says."""
    return any(name.partition(".")[0] == "jsonargparse" for name in scope.imports.values())


def added(call: ast.Call, scope: ModuleScope) -> list[Option]:
    """What `parser.add_class_arguments(Model, "model")` and its like add."""
    names = [*call.args[1:2], keywords(call).get("nested_key")]
    above = scope.or_none(names[0])
    found = _of_component(call.args[0], scope) if call.args else []
    return [replace(one, name=f"{above}.{one.name}") for one in found] if isinstance(above, str) else found


def _is_lightning(called: ast.expr, scope: ModuleScope) -> bool:
    """Whether that is `LightningCLI`, or a class which is derived from it."""
    node = scope.class_of(called)
    names = [scope.named(called)] if node is None else [scope.named(base) for base in node.bases]
    return any(name.rpartition(".")[2] == "LightningCLI" for name in names)


def _of_lightning(call: ast.Call, scope: ModuleScope) -> Script | None:
    """`LightningCLI(Model, Data)` has the arguments of both for its command `fit`, and without commands for itself."""
    given = dict(zip(("model_class", "datamodule_class"), call.args, strict=False)) | keywords(call)
    options: list[Option] = []
    for part, name in (("model", "model_class"), ("data", "datamodule_class")):
        found = _of_component(given[name], scope) if name in given else []
        options += [replace(option, name=f"{part}.{option.name}") for option in found]
    if not options:
        return None
    if scope.or_none(given.get("run")) is False:
        return Script("LightningCLI", tuple(options))
    return Script("LightningCLI", (), commands={"fit": tuple(options)})


def _of_module(tree: ast.Module, scope: ModuleScope) -> Script | None:
    return _of_functions(public(tree), scope)


def _of_given(given: ast.expr, scope: ModuleScope) -> Script | None:
    if isinstance(given, (ast.List, ast.Tuple)):
        listed = [function for item in given.elts if (function := scope.function_of(item)) is not None]
        return _of_functions({function.name: function for function in listed}, scope)
    node = scope.class_of(given)
    if node is None or is_data_class(node):
        options = _of_component(given, scope)
        return Script("jsonargparse", tuple(map(_by_place, options))) if options else None
    own = tuple(replace(option, early=True) for option in map(_by_place, _of_component(given, scope)))
    commands = {name: _options(method, scope) for name, method in public(node).items()}
    return Script("jsonargparse", own, commands=commands)


def _of_functions(several: Mapping[str, Function], scope: ModuleScope) -> Script | None:
    commands = {name: _options(function, scope) for name, function in several.items()}
    if len(commands) == 1:
        return Script("jsonargparse", next(iter(commands.values())))
    return Script("jsonargparse", (), commands=commands) if commands else None


def _options(function: Function, scope: ModuleScope) -> tuple[Option, ...]:
    return tuple(_by_place(_truth(option)) for option in of_function(function, scope))


def _of_component(given: ast.expr, scope: ModuleScope) -> list[Option]:
    """Of a function, of what a class is made with, or of a data class."""
    function, node = scope.function_of(given), scope.class_of(given)
    if node is not None and not is_data_class(node):
        function = functions(node).get("__init__")
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
