"""Flags of absl, from the calls that define them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from orchestune.config.scripts.option import Kind, Option, Script, plain
from orchestune.config.scripts.scope import ModuleScope, UnknownValue, calls, keywords, members

_KINDS: dict[str, Kind] = {
    "float": "float", "integer": "int", "string": "text", "enum": "text", "bool": "bool", "boolean": "bool",
    "enum_class": "text",
}  # fmt: skip


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """None where none is defined."""
    options: list[Option] = []
    needed = set[str]()
    for call in calls(tree):
        if (
            scope.named(call.func).endswith(("flags.mark_flag_as_required", "flags.mark_flags_as_required"))
            and call.args
        ):
            names = scope.or_none(call.args[0])
            needed |= set(names if isinstance(names, list) else [names])
        module, _, name = scope.named(call.func).rpartition(".")
        if not name.startswith("DEFINE_") or not module.endswith("flags"):
            continue
        option = _option(name.removeprefix("DEFINE_").lower(), call, scope)
        if option is not None:
            options.append(option)
    found = (replace(one, required=True) if one.name in needed and one.default is None else one for one in options)
    return Script("absl", tuple(found)) if options else None


def _option(what: str, call: ast.Call, scope: ModuleScope) -> Option | None:
    said = keywords(call)
    third = {"enum": ("enum_values", "help"), "enum_class": ("enum_class", "help")}
    order = ("name", "default", *third.get(what, ("help", "lower_bound", "upper_bound")))
    given = dict(zip(order, call.args, strict=False)) | said
    name, default = scope.or_none(given.get("name")), scope.or_none(given.get("default"))
    if not isinstance(name, str):
        return None
    about = scope.text(given.get("help"))
    kind = _KINDS.get(what, "other")
    if kind == "bool":
        return Option(f"no{name}" if default is True else name, "bool", False, about=about)
    choices = scope.or_none(given.get("enum_values"))
    if what == "enum_class":  # whose members are written in lower case
        choices, default = _members(given, scope)
    return Option(
        name,
        kind,
        plain(default),
        tuple(choices) if isinstance(choices, list) and what in ("enum", "enum_class") else (),
        scope.or_none(given.get("lower_bound")),
        scope.or_none(given.get("upper_bound")),
        about,
        required=scope.or_none(said.get("required")) is True,
    )


def _members(given: Mapping[str, ast.expr], scope: ModuleScope) -> tuple[list[str], str | None]:
    """How the members of an enumeration are written, and the default one."""
    default = given.get("default")
    listed = scope.class_of(given.get("enum_class"))
    try:
        names = [member.name.lower() for member in members(scope, listed)] if listed is not None else []
    except UnknownValue:
        names = []
    return names, default.attr.lower() if isinstance(default, ast.Attribute) else None
