"""Options from signatures of functions and fields of data classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from orchestune.config.scripts.option import KINDS, Kind, Option, plain
from orchestune.config.scripts.scope import Function, ModuleScope, UnknownValue, all_known, keywords, members

_KINDS: dict[str, Kind] = {"float": "float", "int": "int", "str": "text", "bool": "bool", "Path": "text"}


def is_data_class(node: ast.ClassDef) -> bool:
    """Return True if a class has the `dataclass` decorator."""
    return any("dataclass" in ast.dump(one) for one in node.decorator_list)


def arguments(function: Function) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield each argument with its default, except `self` and `cls`."""
    listed = [*function.args.posonlyargs, *function.args.args]
    defaults = [None] * (len(listed) - len(function.args.defaults)) + list(function.args.defaults)
    named = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    for argument, default in [*zip(listed, defaults, strict=True), *named]:
        if argument.arg not in ("self", "cls"):
            yield argument, default


def _data_class(annotation: ast.expr | None, scope: ModuleScope) -> ast.ClassDef | None:
    node = scope.class_of(annotation)
    return node if node is not None and is_data_class(node) else None


def of_fields(node: ast.ClassDef, scope: ModuleScope, prefix: str = "", *, by_name: bool = False) -> list[Option]:
    """Return the fields of a data class, inherited ones first, with those of nested data classes: `optim.lr`.

    `by_name`: enumeration members are written by name, not by value.
    """
    options: list[Option] = []
    for base in node.bases:
        base_class = _data_class(base, scope)
        options += (
            of_fields(base_class, scope, prefix, by_name=by_name)
            if base_class is not None and base_class is not node
            else []
        )
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        inner, name = _data_class(item.annotation, scope), f"{prefix}{item.target.id}"
        if inner is not None and inner is not node:
            new_options = of_fields(inner, scope, f"{name}.", by_name=by_name)
        else:
            new_options = [field(name, item.annotation, item.value, scope, by_name=by_name)]
        options += new_options
    return list({option.name: option for option in options}.values())  # redeclared fields override inherited ones


def field(
    name: str, annotation: ast.expr | None, default: ast.expr | None, scope: ModuleScope, *, by_name: bool = False
) -> Option:
    """Return the option of an argument or field.

    `field(default=…)` has a default; the one of `field(default_factory=…)` is unknown.
    """
    about: Any = ""
    metadata_choices: Any = None
    required = default is None
    if isinstance(default, ast.Call) and scope.named(default.func).rpartition(".")[2] == "field":
        field_args = keywords(default)
        required = not {"default", "default_factory"} & set(field_args)
        metadata = field_args.get("metadata")
        about, metadata_choices = _metadata_entry(metadata, "help", scope), _metadata_entry(metadata, "choices", scope)
        default = field_args.get("default")
    value = scope.or_none(default)
    kind, choices = annotated(annotation, value, scope, by_name=by_name)
    choices = tuple(metadata_choices) if isinstance(metadata_choices, list) and not choices else choices
    if by_name and choices and isinstance(default, ast.Attribute) and default.attr in choices:
        value = default.attr
    about = about if isinstance(about, str) else ""
    return Option(name, kind, plain(value), choices, about=about, required=required)


def _metadata_entry(metadata: ast.expr | None, name: str, scope: ModuleScope) -> Any:
    """Return an entry of a field's metadata, which is passed to argparse."""
    if isinstance(metadata, ast.Dict):
        for key, value in zip(metadata.keys, metadata.values, strict=True):
            if scope.or_none(key) == name:
                return scope.or_none(value)
    return None


def annotated(
    annotation: ast.expr | None, default: Any, scope: ModuleScope, *, by_name: bool = False
) -> tuple[Kind, tuple[Any, ...]]:
    """Return the kind of an option and its choices, from its annotation or default."""
    if isinstance(annotation, ast.Subscript):
        outer = scope.named(annotation.value).rpartition(".")[2]
        if outer == "Annotated" and isinstance(annotation.slice, ast.Tuple):
            return annotated(annotation.slice.elts[0], default, scope, by_name=by_name)
        if outer == "Optional":
            return annotated(annotation.slice, default, scope, by_name=by_name)
        if outer == "Literal":
            choices = scope.or_none(annotation.slice)
            choice_list = choices if isinstance(choices, list) else [choices]
            return "text", tuple(item for item in choice_list if type(item) in KINDS)
        return "other", ()
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        kind = annotation.left if _is_none(annotation.right) else annotation.right
        return annotated(kind, default, scope, by_name=by_name)
    if (enumeration := scope.class_of(annotation)) is not None:
        try:
            enum_members = members(scope, enumeration)
            return "text", tuple(all_known([member.name if by_name else member.value for member in enum_members]))
        except UnknownValue:
            return "other", ()
    if annotation is None:
        return KINDS.get(type(default), "other"), ()
    return _KINDS.get(scope.named(annotation).rpartition(".")[2], "other"), ()


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
