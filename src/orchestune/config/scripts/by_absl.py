"""Flags of absl, from `DEFINE_…` calls."""

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
    """Return the flags, or None if none are defined."""
    options: list[Option] = []
    required = set[str]()
    for call in calls(tree):
        if (
            scope.named(call.func).endswith(("flags.mark_flag_as_required", "flags.mark_flags_as_required"))
            and call.args
        ):
            names = scope.or_none(call.args[0])
            required |= set(names if isinstance(names, list) else [names])
        module, _, name = scope.named(call.func).rpartition(".")
        if not name.startswith("DEFINE_") or not module.endswith("flags"):
            continue
        option = _option(name.removeprefix("DEFINE_").lower(), call, scope)
        if option is not None:
            options.append(option)
    flags = (replace(one, required=True) if one.name in required and one.default is None else one for one in options)
    return Script("absl", tuple(flags)) if options else None


def _option(flag_type: str, call: ast.Call, scope: ModuleScope) -> Option | None:
    keyword_args = keywords(call)
    third = {"enum": ("enum_values", "help"), "enum_class": ("enum_class", "help")}
    order = ("name", "default", *third.get(flag_type, ("help", "lower_bound", "upper_bound")))
    args = dict(zip(order, call.args, strict=False)) | keyword_args
    name, default = scope.or_none(args.get("name")), scope.or_none(args.get("default"))
    if not isinstance(name, str):
        return None
    about = scope.text(args.get("help"))
    kind = _KINDS.get(flag_type, "other")
    if kind == "bool":
        return Option(f"no{name}" if default is True else name, "bool", False, about=about)
    choices = scope.or_none(args.get("enum_values"))
    if flag_type == "enum_class":  # members are written in lower case
        choices, default = _members(args, scope)
    return Option(
        name,
        kind,
        plain(default),
        tuple(choices) if isinstance(choices, list) and flag_type in ("enum", "enum_class") else (),
        scope.or_none(args.get("lower_bound")),
        scope.or_none(args.get("upper_bound")),
        about,
        required=scope.or_none(keyword_args.get("required")) is True,
    )


def _members(args: Mapping[str, ast.expr], scope: ModuleScope) -> tuple[list[str], str | None]:
    """Return the spellings of an enumeration's members, and the default one."""
    default = args.get("default")
    enumeration = scope.class_of(args.get("enum_class"))
    try:
        names = [member.name.lower() for member in members(scope, enumeration)] if enumeration is not None else []
    except UnknownValue:
        names = []
    return names, default.attr.lower() if isinstance(default, ast.Attribute) else None
