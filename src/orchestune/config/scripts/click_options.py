"""Options of click programs, from their decorators."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from orchestune.config.scripts.option import Kind, Option, Script, plain
from orchestune.config.scripts.scope import Function, ModuleScope, calls, keywords

_KINDS: dict[str, Kind] = {
    "float": "float", "FLOAT": "float", "int": "int", "INT": "int", "str": "text", "STRING": "text", "bool": "other",
    "BOOL": "other", "Path": "text", "File": "text",
}  # fmt: skip
"""bool is "other": click expects a value after such an option, but "bool" stands for a flag without value"""


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the options, or None if nothing is decorated with click options."""
    commands: dict[str, tuple[Option, ...]] = {}
    for function in scope.functions.values():
        options = tuple(
            option
            for call, option_scope in _decorator_calls(function, scope)
            if (option := _option(call, option_scope)) is not None
        )
        name = _command_name(function, scope)
        if name is not None and options:
            commands[name] = options
    if not commands:
        return None
    grouped = any(_is_group(function, scope) for function in scope.functions.values())
    if len(commands) == 1 and not grouped:
        return Script("click", next(iter(commands.values())))
    return Script("click", (), commands=commands)


def _decorator_calls(function: Function, scope: ModuleScope) -> Iterator[tuple[ast.Call, ModuleScope]]:
    """Yield the decorator calls of a function with their scope.

    They include those inside the user's own decorators, those in lists passed to these, and those assigned to names:
    `rate = click.option("--rate")`.
    """
    for decorator in function.decorator_list:
        callee = decorator.func if isinstance(decorator, ast.Call) else decorator
        user_function, decorator_scope = _user_function(callee, scope)
        if user_function is not None and user_function is not function:
            yield from ((call, decorator_scope) for call in calls(user_function))
            for argument in decorator.args if isinstance(decorator, ast.Call) else ():
                yield from ((call, scope) for call in calls(scope.resolve(argument)))
        elif isinstance(decorator, ast.Call):
            yield decorator, scope
        elif isinstance(assigned := scope.resolve(decorator), ast.Call):
            yield assigned, scope


def _user_function(callee: ast.expr, scope: ModuleScope) -> tuple[Function | None, ModuleScope]:
    """Return the user's function of that name, from this module or one that it imports from, with its scope."""
    if (user_function := scope.function_of(callee)) is not None:
        return user_function, scope
    name = scope.named(callee).rpartition(".")[2]
    module_scope = scope.imported_functions.get(name) if not scope.named(callee).startswith("click.") else None
    return (None, scope) if module_scope is None else (module_scope.functions[name], module_scope)


def _decorators(function: Function) -> list[ast.expr]:
    return [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in function.decorator_list]


def _is_group(function: Function, scope: ModuleScope) -> bool:
    return any(scope.named(decorator) == "click.group" for decorator in _decorators(function))


def _command_name(function: Function, scope: ModuleScope) -> str | None:
    """Return the command's name, prefixed with those of its groups; None if the function is not a command."""
    return _qualified_name(function, scope, "command")


def _qualified_name(function: Function, scope: ModuleScope, kind: str) -> str | None:
    """Return the name of a command or group, prefixed with those of its groups; None if the function is not one.

    `kind`: "command" or "group". The prefix is found by recursion through the groups; a root group, declared with
    `@click.group`, adds "", since its name is not part of the command line.
    """
    for decorator in function.decorator_list:
        callee = decorator.func if isinstance(decorator, ast.Call) else decorator
        is_subcommand = (
            isinstance(callee, ast.Attribute) and callee.attr == kind and scope.named(callee) != f"click.{kind}"
        )
        if scope.named(callee) != f"click.{kind}" and not is_subcommand:
            continue
        name_args = decorator.args[:1] if isinstance(decorator, ast.Call) else []
        name = scope.or_none(name_args[0]) if name_args else None
        name = name if isinstance(name, str) else function.name.replace("_", "-")
        group = callee.value if isinstance(callee, ast.Attribute) and is_subcommand else None
        group_function = scope.function_of(group)
        if group_function is None or group_function is function:
            return name
        outer = _qualified_name(group_function, scope, "group") if not _is_group(group_function, scope) else ""
        return f"{outer} {name}".strip()
    return None


def _option(call: ast.Call, scope: ModuleScope) -> Option | None:
    callee = scope.named(call.func)
    names = [text for text in map(scope.or_none, call.args) if isinstance(text, str)]
    keyword_args = keywords(call)
    if callee not in ("click.option", "click.argument") or not names:
        return None
    default = scope.or_none(keyword_args.get("default"))
    help_text = scope.or_none(keyword_args.get("help")) or ""
    if callee == "click.argument":
        return Option(names[0], "other", required=default is None, argument_template=f"{{{names[0]}}}")
    flags = [name for name in names if name.startswith("-")]
    on_flag, _, off_flag = next(
        (flag for flag in flags if flag.startswith("--")), flags[0] if flags else f"--{names[0]}"
    ).partition("/")
    on_flag, off_flag = on_flag.strip(), off_flag.strip()
    name = on_flag.lstrip("-")
    argument_template = "" if on_flag.startswith("--") else f"{on_flag} {{{name}}}"
    if off_flag or scope.or_none(keyword_args.get("is_flag")) is True:
        # for a default of True, the option is the flag that turns it off
        flag_name = off_flag.lstrip("-") if default is True and off_flag else name
        return Option(flag_name, "bool", False, about=help_text)
    is_multiple = (
        scope.or_none(keyword_args.get("multiple")) is True
        or "nargs" in keyword_args
        or scope.or_none(keyword_args.get("count")) is True
    )
    kind, choices, minimum, maximum = _type(keyword_args.get("type"), default, scope)
    default = plain(default)
    return Option(
        name, "other" if is_multiple else kind, default, choices, minimum, maximum, help_text,
        required=scope.or_none(keyword_args.get("required")) is True and default is None,
        argument_template=argument_template,
    )  # fmt: skip


def _type(node: ast.expr | None, default: Any, scope: ModuleScope) -> tuple[Kind, tuple[Any, ...], Any, Any]:
    """Return the kind, the choices, the minimum and the maximum of an option, from its type or else its default.

    There are no choices except for `click.Choice`; the bounds are None if absent or unknown.
    """
    if node is None:
        kind: Kind = {bool: "other", float: "float", int: "int"}.get(type(default), "text")  # type: ignore[assignment]
        return kind, (), None, None
    if not isinstance(node, ast.Call):
        return _KINDS.get(scope.named(node).rpartition(".")[2], "other"), (), None, None
    name, keyword_args = scope.named(node.func).rpartition(".")[2], keywords(node)
    if name == "Choice":
        choices = scope.or_none(node.args[0]) if node.args else None
        return "text", tuple(choices) if isinstance(choices, list) else (), None, None
    if name in ("FloatRange", "IntRange"):
        bounds = [scope.or_none(item) for item in node.args[:2]] + [None, None]
        minimum = scope.or_none(keyword_args["min"]) if "min" in keyword_args else bounds[0]
        maximum = scope.or_none(keyword_args["max"]) if "max" in keyword_args else bounds[1]
        return "float" if name == "FloatRange" else "int", (), minimum, maximum
    return _KINDS.get(name, "other"), (), None, None
