"""Options of tyro and of Hugging Face's parser, from data classes and signatures."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import ModuleScope, calls
from orchestune.config.scripts.signature import of_fields, of_function


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the options of the components of `tyro.cli` or `HfArgumentParser`: a function, or data classes.

    None without them.
    """
    for call in calls(tree):
        callee = scope.named(call.func)
        is_tyro = callee == "tyro.cli"
        if not (is_tyro or callee.endswith(".HfArgumentParser")) or not call.args:
            continue
        components = call.args[0].elts if isinstance(call.args[0], (ast.Tuple, ast.List)) else [call.args[0]]
        options: list[Option] = []
        for item in components:
            node, function = scope.class_of(item), scope.function_of(item)
            options += of_fields(node, scope, by_name=is_tyro) if node is not None else []
            options += of_function(function, scope) if function is not None else []
        if options:
            return Script(
                "tyro" if is_tyro else "HfArgumentParser", tuple(_flag(option, is_tyro) for option in options)
            )
    return None


def _flag(option: Option, dashes: bool) -> Option:
    """Convert an option to its command-line flag; one that is on by default has the name of its negation."""
    prefix, dot, name = option.name.rpartition(".")
    if option.kind == "bool" and option.default is True:
        name = f"no-{name}" if dashes else f"no_{name}"
    if dashes:
        prefix, name = prefix.replace("_", "-"), name.replace("_", "-")
    return replace(option, name=f"{prefix}{dot}{name}", default=False if option.kind == "bool" else option.default)
