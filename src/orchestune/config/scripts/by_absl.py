"""Flags of absl, from the calls that define them."""

from __future__ import annotations

import ast

from orchestune.config.scripts.option import Kind, Option, Script
from orchestune.config.scripts.scope import Scope, calls, keywords

_KINDS: dict[str, Kind] = {
    "float": "float", "integer": "int", "string": "text", "enum": "text", "bool": "bool", "boolean": "bool",
    "enum_class": "text",
}  # fmt: skip


def read(tree: ast.Module, scope: Scope) -> Script | None:
    """None where none is defined."""
    options: list[Option] = []
    for call in calls(tree):
        module, _, name = scope.named(call.func).rpartition(".")
        if not name.startswith("DEFINE_") or not module.endswith("flags"):
            continue
        option = _option(name.removeprefix("DEFINE_").lower(), call, scope)
        if option is not None:
            options.append(option)
    return Script("absl", tuple(options)) if options else None


def _option(what: str, call: ast.Call, scope: Scope) -> Option | None:
    said = keywords(call)
    third = {"enum": ("enum_values", "help"), "enum_class": ("enum_class", "help")}
    order = ("name", "default", *third.get(what, ("help", "lower_bound", "upper_bound")))
    given = dict(zip(order, call.args, strict=False)) | said
    name, default = scope.or_none(given.get("name")), scope.or_none(given.get("default"))
    if not isinstance(name, str):
        return None
    about = scope.or_none(given.get("help"))
    about = about if isinstance(about, str) else ""
    kind = _KINDS.get(what, "other")
    if kind == "bool":
        return Option(f"no{name}" if default is True else name, "bool", False, about=about)
    choices = scope.or_none(given.get("enum_class") if what == "enum_class" else given.get("enum_values"))
    return Option(
        name,
        kind,
        default if isinstance(default, (str, int, float)) else None,
        tuple(choices) if isinstance(choices, list) and what == "enum" else (),
        scope.or_none(given.get("lower_bound")),
        scope.or_none(given.get("upper_bound")),
        about,
    )
