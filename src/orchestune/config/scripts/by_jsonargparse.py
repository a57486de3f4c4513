"""Options of jsonargparse, from the signatures passed to its `CLI`, that of Lightning, and its parser."""

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
    """Return the options of the components of `CLI`: functions, a class, or the functions of the module.

    None without it.
    """
    for call in calls(tree):
        if _is_lightning(call.func, scope):
            return _of_lightning(call, scope)
        if scope.named(call.func) in _CALLS:
            components = call.args[0] if call.args else keywords(call).get("components")
            script = _of_module(tree, scope) if components is None else _of_components(components, scope)
            if script is not None:
                return script
    return None


def in_use(scope: ModuleScope) -> bool:
    """Return True if the script uses jsonargparse, which parses `--mix=false` as false."""
    return any(name.partition(".")[0] == "jsonargparse" for name in scope.imports.values())


def added(call: ast.Call, scope: ModuleScope) -> list[Option]:
    """Return the options that `parser.add_class_arguments(Model, "model")` and similar calls add."""
    names = [*call.args[1:2], keywords(call).get("nested_key")]
    prefix = scope.or_none(names[0])
    options = _of_component(call.args[0], scope) if call.args else []
    return [replace(one, name=f"{prefix}.{one.name}") for one in options] if isinstance(prefix, str) else options


def _is_lightning(callee: ast.expr, scope: ModuleScope) -> bool:
    """Return True if the callee is `LightningCLI` or a class derived from it."""
    node = scope.class_of(callee)
    names = [scope.named(callee)] if node is None else [scope.named(base) for base in node.bases]
    return any(name.rpartition(".")[2] == "LightningCLI" for name in names)


def _of_lightning(call: ast.Call, scope: ModuleScope) -> Script | None:
    """Return the options of `LightningCLI(Model, Data)`.

    They are those of both classes for the command `fit`, or top-level options without commands.
    """
    args = dict(zip(("model_class", "datamodule_class"), call.args, strict=False)) | keywords(call)
    options: list[Option] = []
    for part, name in (("model", "model_class"), ("data", "datamodule_class")):
        part_options = _of_component(args[name], scope) if name in args else []
        options += [replace(option, name=f"{part}.{option.name}") for option in part_options]
    if not options:
        return None
    if scope.or_none(args.get("run")) is False:
        return Script("LightningCLI", tuple(options))
    return Script("LightningCLI", (), commands={"fit": tuple(options)})


def _of_module(tree: ast.Module, scope: ModuleScope) -> Script | None:
    return _of_functions(public(tree), scope)


def _of_components(components: ast.expr, scope: ModuleScope) -> Script | None:
    if isinstance(components, (ast.List, ast.Tuple)):
        listed_functions = [function for item in components.elts if (function := scope.function_of(item)) is not None]
        return _of_functions({function.name: function for function in listed_functions}, scope)
    node = scope.class_of(components)
    if node is None or is_data_class(node):
        options = _of_component(components, scope)
        return Script("jsonargparse", tuple(map(_positional, options))) if options else None
    constructor_options = tuple(
        replace(option, early=True) for option in map(_positional, _of_component(components, scope))
    )
    commands = {name: _options(method, scope) for name, method in public(node).items()}
    return Script("jsonargparse", constructor_options, commands=commands)


def _of_functions(by_name: Mapping[str, Function], scope: ModuleScope) -> Script | None:
    commands = {name: _options(function, scope) for name, function in by_name.items()}
    if len(commands) == 1:
        return Script("jsonargparse", next(iter(commands.values())))
    return Script("jsonargparse", (), commands=commands) if commands else None


def _options(function: Function, scope: ModuleScope) -> tuple[Option, ...]:
    return tuple(_positional(_boolean_words(option)) for option in of_function(function, scope))


def _of_component(component: ast.expr, scope: ModuleScope) -> list[Option]:
    """Return the options of a function, of a class's constructor, or of a data class."""
    function, node = scope.function_of(component), scope.class_of(component)
    if node is not None and not is_data_class(node):
        function = functions(node).get("__init__")
    options = of_function(function, scope) if function is not None else []
    if node is not None and is_data_class(node):
        options = of_fields(node, scope, by_name=True)
    return [_boolean_words(option) for option in options]


def _boolean_words(option: Option) -> Option:
    """Convert a boolean option to the words that jsonargparse expects."""
    if option.kind != "bool":
        return option
    default = None if option.required else "true" if option.default is True else "false"
    return replace(option, kind="text", default=default, choices=("true", "false"))


def _positional(option: Option) -> Option:
    """Make an option without default positional."""
    return (
        replace(option, argument_template=f"{{{option.name}}}")
        if option.required and "." not in option.name
        else option
    )
