"""Options of typer, from the signatures of its commands."""

from __future__ import annotations

import ast

from orchestune.config.scripts.option import Option, Script, plain
from orchestune.config.scripts.scope import Function, ModuleScope, calls, keywords
from orchestune.config.scripts.signature import annotated, arguments


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the options of typer commands, or None if there are none."""
    commands = dict[str, tuple[Option, ...]]()
    groups = _groups(tree, scope)
    grouped = bool(groups)
    for function in scope.functions.values():
        for item in function.decorator_list:
            callee = item.func if isinstance(item, ast.Call) else item
            grouped = grouped or (isinstance(callee, ast.Attribute) and callee.attr == "callback")
            if isinstance(item, ast.Call) and isinstance(callee, ast.Attribute) and callee.attr == "command":
                name = scope.or_none(item.args[0]) if item.args else None
                name = name if isinstance(name, str) else function.name.replace("_", "-")
                prefix = groups.get(callee.value.id, "") if isinstance(callee.value, ast.Name) else ""
                commands[f"{prefix} {name}".strip()] = _options(function, scope)
    for call in calls(tree):
        if scope.named(call.func) == "typer.run" and call.args and isinstance(call.args[0], ast.Name):
            run = scope.function_of(call.args[0])
            return Script("typer", _options(run, scope)) if run else None
    if not commands or "typer" not in {name.partition(".")[0] for name in scope.imports.values()}:
        return None
    if len(commands) == 1 and not grouped:
        return Script("typer", next(iter(commands.values())))
    return Script("typer", (), commands=commands)


def _groups(tree: ast.Module, scope: ModuleScope) -> dict[str, str]:
    """Map variables of nested applications to the words that lead to each."""
    parents = dict[str, tuple[str, str]]()
    for call in calls(tree):
        inner = call.args[0] if call.args else None
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "add_typer" or not isinstance(inner, ast.Name):
            continue
        name = scope.or_none(keywords(call).get("name"))
        outer = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
        parents[inner.id] = outer, name if isinstance(name, str) else ""
    prefixes = dict[str, str]()
    for variable in parents:
        words, ancestor = list[str](), variable
        while ancestor in parents and len(words) <= len(parents):
            ancestor, name = parents[ancestor]
            words.insert(0, name)
        prefixes[variable] = " ".join(filter(None, words))
    return prefixes


def _options(function: Function, scope: ModuleScope) -> tuple[Option, ...]:
    options = []
    for argument, default in arguments(function):
        annotation, metadata = _unpacked(argument.annotation, scope)
        if isinstance(default, ast.Call) and scope.named(default.func) in ("typer.Option", "typer.Argument"):
            metadata, default = default, default.args[0] if default.args else keywords(default).get("default")
        if isinstance(default, ast.Constant) and default.value is Ellipsis:
            default = None
        if scope.named(annotation).endswith(".Context") if annotation is not None else False:
            continue
        options.append(_option(argument.arg, annotation, default, metadata, scope))
    return tuple(options)


def _option(
    argument: str, annotation: ast.expr | None, default: ast.expr | None, metadata: ast.Call | None, scope: ModuleScope
) -> Option:
    keyword_args = keywords(metadata) if metadata is not None else {}
    flags = [
        text for text in map(scope.or_none, metadata.args if metadata is not None else []) if isinstance(text, str)
    ]
    flag = next((text for text in flags if text.startswith("--")), f"--{argument.replace('_', '-')}")
    on, _, off = flag.partition("/")
    name, value = on.lstrip("-"), scope.or_none(default)
    about = scope.text(keyword_args.get("help"))
    positional = (metadata is not None and scope.named(metadata.func) == "typer.Argument") or (
        default is None and metadata is None
    )
    kind, choices = annotated(annotation, value, scope)
    if kind == "bool" and not positional:
        negated_name = off.lstrip("-") or (f"no-{name}" if on == flag and flag not in flags else "")
        return Option((negated_name or name) if value is True else name, "bool", False, about=about)
    bounds = scope.or_none(keyword_args.get("min")), scope.or_none(keyword_args.get("max"))
    return Option(
        name, kind, plain(value), choices, *bounds, about, required=default is None,
        argument_template=f"{{{name}}}" if positional else "",
    )  # fmt: skip


def _unpacked(annotation: ast.expr | None, scope: ModuleScope) -> tuple[ast.expr | None, ast.Call | None]:
    """Split `Annotated[float, typer.Option(...)]` into its type and its typer metadata."""
    if isinstance(annotation, ast.Subscript) and scope.named(annotation.value).endswith("Annotated"):
        parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        metadata = [item for item in parts[1:] if isinstance(item, ast.Call)]
        return parts[0], metadata[0] if metadata else None
    return annotation, None
