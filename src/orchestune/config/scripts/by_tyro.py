"""Options of tyro and of the parser of Hugging Face, from data classes and signatures."""

from __future__ import annotations

import ast
from dataclasses import replace

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import ModuleScope, calls
from orchestune.config.scripts.signature import of_fields, of_function


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """What `tyro.cli` or `HfArgumentParser` is given: a function, or data classes. None without them."""
    for call in calls(tree):
        called = scope.named(call.func)
        ours = called == "tyro.cli"
        if not (ours or called.endswith(".HfArgumentParser")) or not call.args:
            continue
        given = call.args[0].elts if isinstance(call.args[0], (ast.Tuple, ast.List)) else [call.args[0]]
        options: list[Option] = []
        for item in given:
            node, function = scope.class_of(item), scope.function_of(item)
            options += of_fields(node, scope, by_name=ours) if node is not None else []
            options += of_function(function, scope) if function is not None else []
        if options:
            return Script("tyro" if ours else "HfArgumentParser", tuple(_flag(option, ours) for option in options))
    return None


def _flag(option: Option, dashes: bool) -> Option:
    """As it is called on a command line, where what is on by default is switched off by another name."""
    above, dot, name = option.name.rpartition(".")
    if option.kind == "bool" and option.default is True:
        name = f"no-{name}" if dashes else f"no_{name}"
    if dashes:
        above, name = above.replace("_", "-"), name.replace("_", "-")
    return replace(option, name=f"{above}{dot}{name}", default=False if option.kind == "bool" else option.default)
