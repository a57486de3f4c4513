"""Options of click, from its decorators."""

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


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """None where nothing is decorated with its options."""
    commands: dict[str, tuple[Option, ...]] = {}
    for function in scope.functions.values():
        options = tuple(found for call, place in _made(function, scope) if (found := _option(call, place)) is not None)
        name = _command(function, scope)
        if name is not None and options:
            commands[name] = options
    if not commands:
        return None
    grouped = any(_is_group(function, scope) for function in scope.functions.values())
    if len(commands) == 1 and not grouped:
        return Script("click", next(iter(commands.values())))
    return Script("click", (), commands=commands)


def _made(function: Function, scope: ModuleScope) -> Iterator[tuple[ast.Call, ModuleScope]]:
    """The calls that decorate it, each with the scope that it stands in: those within a decorator of the user's own
    too, in a list that one is given, and what a name stands for: `rate = click.option("--rate")`.
    """
    for item in function.decorator_list:
        called = item.func if isinstance(item, ast.Call) else item
        own, place = _own(called, scope)
        if own is not None and own is not function:
            yield from ((call, place) for call in calls(own))
            for given in item.args if isinstance(item, ast.Call) else ():
                yield from ((call, scope) for call in calls(scope.held(given)))
        elif isinstance(item, ast.Call):
            yield item, scope
        elif isinstance(named := scope.held(item), ast.Call):
            yield named, scope


def _own(called: ast.expr, scope: ModuleScope) -> tuple[Function | None, ModuleScope]:
    """The user's function of that name, in this module or in one that it imports from, with its scope."""
    if (own := scope.function_of(called)) is not None:
        return own, scope
    name = scope.named(called).rpartition(".")[2]
    place = scope.elsewhere.get(name) if not scope.named(called).startswith("click.") else None
    return (None, scope) if place is None else (place.functions[name], place)


def _decorators(function: Function) -> list[ast.expr]:
    return [item.func if isinstance(item, ast.Call) else item for item in function.decorator_list]


def _is_group(function: Function, scope: ModuleScope) -> bool:
    return any(scope.named(item) == "click.group" for item in _decorators(function))


def _command(function: Function, scope: ModuleScope) -> str | None:
    """What the command is called, behind the groups in which it stands; None where the function is none."""
    return _called(function, scope, "command")


def _called(function: Function, scope: ModuleScope, kind: str) -> str | None:
    for item in function.decorator_list:
        called = item.func if isinstance(item, ast.Call) else item
        below = isinstance(called, ast.Attribute) and called.attr == kind and scope.named(called) != f"click.{kind}"
        if scope.named(called) != f"click.{kind}" and not below:
            continue
        given = item.args[:1] if isinstance(item, ast.Call) else []
        name = scope.or_none(given[0]) if given else None
        name = name if isinstance(name, str) else function.name.replace("_", "-")
        group = called.value if isinstance(called, ast.Attribute) and below else None
        above = scope.function_of(group)
        if above is None or above is function:
            return name
        outer = _called(above, scope, "group") if not _is_group(above, scope) else ""
        return f"{outer} {name}".strip()
    return None


def _option(call: ast.Call, scope: ModuleScope) -> Option | None:
    called = scope.named(call.func)
    names = [text for text in map(scope.or_none, call.args) if isinstance(text, str)]
    said = keywords(call)
    if called not in ("click.option", "click.argument") or not names:
        return None
    default = scope.or_none(said.get("default"))
    about = scope.or_none(said.get("help")) or ""
    if called == "click.argument":
        return Option(names[0], "other", required=default is None, word=f"{{{names[0]}}}")
    flags = [name for name in names if name.startswith("-")]
    on, _, off = next(
        (flag for flag in flags if flag.startswith("--")), flags[0] if flags else f"--{names[0]}"
    ).partition("/")
    on, off = on.strip(), off.strip()
    name = on.lstrip("-")
    word = "" if on.startswith("--") else f"{on} {{{name}}}"
    if off or scope.or_none(said.get("is_flag")) is True:
        switched = off.lstrip("-") if default is True and off else name
        return Option(switched, "bool", False, about=about)
    several = scope.or_none(said.get("multiple")) is True or "nargs" in said or scope.or_none(said.get("count")) is True
    kind, choices, least, most = _type(said.get("type"), default, scope)
    default = plain(default)
    return Option(
        name, "other" if several else kind, default, choices, least, most, about,
        required=scope.or_none(said.get("required")) is True and default is None, word=word,
    )  # fmt: skip


def _type(node: ast.expr | None, default: Any, scope: ModuleScope) -> tuple[Kind, tuple[Any, ...], Any, Any]:
    if node is None:
        found: Kind = {bool: "other", float: "float", int: "int"}.get(type(default), "text")  # type: ignore[assignment]
        return found, (), None, None
    if not isinstance(node, ast.Call):
        return _KINDS.get(scope.named(node).rpartition(".")[2], "other"), (), None, None
    name, said = scope.named(node.func).rpartition(".")[2], keywords(node)
    if name == "Choice":
        choices = scope.or_none(node.args[0]) if node.args else None
        return "text", tuple(choices) if isinstance(choices, list) else (), None, None
    if name in ("FloatRange", "IntRange"):
        bounds = [scope.or_none(item) for item in node.args[:2]] + [None, None]
        least = scope.or_none(said["min"]) if "min" in said else bounds[0]
        most = scope.or_none(said["max"]) if "max" in said else bounds[1]
        return "float" if name == "FloatRange" else "int", (), least, most
    return _KINDS.get(name, "other"), (), None, None
