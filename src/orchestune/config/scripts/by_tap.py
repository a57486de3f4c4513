"""Options of the Typed Argument Parser, from the fields of its classes and from signatures."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import ModuleScope, calls, keywords
from orchestune.config.scripts.signature import of_fields, of_function


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """The class derived from `Tap` that is made first, or what `tapify` is given. None without them."""
    for call in calls(tree):
        given, options = call.func, list[Option]()
        if scope.named(call.func) == "tap.tapify" and call.args:
            given = call.args[0]
            function = scope.function_of(given)
            options = of_function(function, scope) if function is not None else []
        node = scope.class_of(given)
        options = options or (_fields(node, scope) if node is not None else [])
        if options:
            dashes = scope.or_none(keywords(call).get("underscores_to_dashes")) is True
            return Script("tap", tuple(_flag(option, dashes) for option in options))
    return None


def _fields(node: ast.ClassDef, scope: ModuleScope, depth: int = 0) -> list[Option]:
    """The fields of a class that is derived from `Tap`, inherited ones first; none of any other class."""
    above = scope.bases(node) if depth < 20 else ()
    inherited = [option for base in above for option in _fields(base, scope, depth + 1)]
    if not inherited and not any(scope.named(base) in ("tap.Tap", "tap.TypedArgumentParser") for base in node.bases):
        return []
    found = [*inherited, *of_fields(node, scope)]
    return list({option.name: option for option in found}.values())


def _flag(option: Option, dashes: bool) -> Option:
    """A switch turns round what is the default, under one name."""
    name = option.name.replace("_", "-") if dashes else option.name
    return replace(option, name=name, default=False if option.kind == "bool" else option.default)
