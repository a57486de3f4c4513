"""Options of typer, from the signatures of its commands."""

from __future__ import annotations

import ast

from orchestune.config.scripts.option import Option, Script, plain
from orchestune.config.scripts.scope import Function, ModuleScope, calls, keywords
from orchestune.config.scripts.signature import annotated, arguments


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Commands of typer. None where there are none."""
    found = dict[str, tuple[Option, ...]]()
    groups = _groups(tree, scope)
    grouped = bool(groups)
    for function in scope.functions.values():
        for item in function.decorator_list:
            called = item.func if isinstance(item, ast.Call) else item
            grouped = grouped or (isinstance(called, ast.Attribute) and called.attr == "callback")
            if isinstance(item, ast.Call) and isinstance(called, ast.Attribute) and called.attr == "command":
                name = scope.or_none(item.args[0]) if item.args else None
                name = name if isinstance(name, str) else function.name.replace("_", "-")
                above = groups.get(called.value.id, "") if isinstance(called.value, ast.Name) else ""
                found[f"{above} {name}".strip()] = _options(function, scope)
    for call in calls(tree):
        if scope.named(call.func) == "typer.run" and call.args and isinstance(call.args[0], ast.Name):
            run = scope.function_of(call.args[0])
            return Script("typer", _options(run, scope)) if run else None
    if not found or "typer" not in {name.partition(".")[0] for name in scope.imports.values()}:
        return None
    if len(found) == 1 and not grouped:
        return Script("typer", next(iter(found.values())))
    return Script("typer", (), commands=found)


def _groups(tree: ast.Module, scope: ModuleScope) -> dict[str, str]:
    """The variables of applications that stand in others, with the words that lead to each."""
    above = dict[str, tuple[str, str]]()
    for call in calls(tree):
        inner = call.args[0] if call.args else None
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "add_typer" or not isinstance(inner, ast.Name):
            continue
        name = scope.or_none(keywords(call).get("name"))
        outer = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
        above[inner.id] = outer, name if isinstance(name, str) else ""
    found = dict[str, str]()
    for variable in above:
        words, place = list[str](), variable
        while place in above and len(words) <= len(above):
            place, name = above[place]
            words.insert(0, name)
        found[variable] = " ".join(filter(None, words))
    return found


def _options(function: Function, scope: ModuleScope) -> tuple[Option, ...]:
    found = []
    for argument, default in arguments(function):
        annotation, made = _unpacked(argument.annotation, scope)
        if isinstance(default, ast.Call) and scope.named(default.func) in ("typer.Option", "typer.Argument"):
            made, default = default, default.args[0] if default.args else keywords(default).get("default")
        if isinstance(default, ast.Constant) and default.value is Ellipsis:
            default = None
        if scope.named(annotation).endswith(".Context") if annotation is not None else False:
            continue
        found.append(_option(argument.arg, annotation, default, made, scope))
    return tuple(found)


def _option(
    argument: str, annotation: ast.expr | None, default: ast.expr | None, made: ast.Call | None, scope: ModuleScope
) -> Option:
    said = keywords(made) if made is not None else {}
    flags = [text for text in map(scope.or_none, made.args if made is not None else []) if isinstance(text, str)]
    flag = next((text for text in flags if text.startswith("--")), f"--{argument.replace('_', '-')}")
    on, _, off = flag.partition("/")
    name, value = on.lstrip("-"), scope.or_none(default)
    about = scope.text(said.get("help"))
    positional = (made is not None and scope.named(made.func) == "typer.Argument") or (default is None and made is None)
    kind, choices = annotated(annotation, value, scope)
    if kind == "bool" and not positional:
        no = off.lstrip("-") or (f"no-{name}" if on == flag and flag not in flags else "")
        return Option((no or name) if value is True else name, "bool", False, about=about)
    bounds = scope.or_none(said.get("min")), scope.or_none(said.get("max"))
    return Option(
        name, kind, plain(value), choices, *bounds, about, required=default is None,
        word=f"{{{name}}}" if positional else "",
    )  # fmt: skip


def _unpacked(annotation: ast.expr | None, scope: ModuleScope) -> tuple[ast.expr | None, ast.Call | None]:
    """`Annotated[float, typer.Option(...)]` as its type and what typer is told of it."""
    if isinstance(annotation, ast.Subscript) and scope.named(annotation.value).endswith("Annotated"):
        parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        made = [item for item in parts[1:] if isinstance(item, ast.Call)]
        return parts[0], made[0] if made else None
    return annotation, None
