"""Options of the Typed Argument Parser, from its classes and signatures."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import ModuleScope, calls, keywords
from orchestune.config.scripts.signature import of_fields, of_function


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the options of the first instantiated subclass of `Tap`, or of the component passed to `tapify`.

    None without them.
    """
    for call in calls(tree):
        component, options = call.func, list[Option]()
        if scope.named(call.func) == "tap.tapify" and call.args:
            component = call.args[0]
            function = scope.function_of(component)
            options = of_function(function, scope) if function is not None else []
        node = scope.class_of(component)
        options = options or (_fields(node, scope) if node is not None else [])
        if options:
            dashes = scope.or_none(keywords(call).get("underscores_to_dashes")) is True
            return Script("tap", tuple(_flag(option, dashes) for option in options))
    return None


def _fields(node: ast.ClassDef, scope: ModuleScope, depth: int = 0) -> list[Option]:
    """Return the fields of a subclass of `Tap`, inherited ones first; empty for any other class."""
    bases = scope.bases(node) if depth < 20 else ()
    inherited = [option for base in bases for option in _fields(base, scope, depth + 1)]
    if not inherited and not any(scope.named(base) in ("tap.Tap", "tap.TypedArgumentParser") for base in node.bases):
        return []
    fields = [*inherited, *of_fields(node, scope)]
    return list({option.name: option for option in fields}.values())


def _flag(option: Option, dashes: bool) -> Option:
    """Convert an option to its flag. A boolean flag inverts its default under the same name."""
    name = option.name.replace("_", "-") if dashes else option.name
    return replace(option, name=name, default=False if option.kind == "bool" else option.default)
