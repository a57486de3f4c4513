"""What signatures of functions and fields of data classes say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from orchestune.config.scripts.option import KINDS, Kind, Option, plain
from orchestune.config.scripts.scope import Function, ModuleScope, UnknownValue, keywords, members, told

_KINDS: dict[str, Kind] = {"float": "float", "int": "int", "str": "text", "bool": "bool", "Path": "text"}


def functions(node: ast.ClassDef | ast.Module) -> dict[str, Function]:
    """Those of a class, or of a module."""
    return {item.name: item for item in node.body if isinstance(item, Function)}


def public(node: ast.ClassDef | ast.Module) -> dict[str, Function]:
    """The same without those whose names begin with an underscore."""
    return {name: function for name, function in functions(node).items() if not name.startswith("_")}


def is_data_class(node: ast.ClassDef) -> bool:
    """Whether it is declared as one."""
    return any("dataclass" in ast.dump(one) for one in node.decorator_list)


def arguments(function: Function) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Each argument with its default, `self` left out."""
    listed = [*function.args.posonlyargs, *function.args.args]
    defaults = [None] * (len(listed) - len(function.args.defaults)) + list(function.args.defaults)
    named = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    for argument, default in [*zip(listed, defaults, strict=True), *named]:
        if argument.arg not in ("self", "cls"):
            yield argument, default


def of_function(function: Function, scope: ModuleScope) -> list[Option]:
    """Its arguments; of one that is a data class, the fields: `config.lr`."""
    found: list[Option] = []
    for argument, default in arguments(function):
        held = _data_class(argument.annotation, scope)
        if held is not None:
            found += of_fields(held, scope, f"{argument.arg}.", by_name=True)
        else:
            found.append(field(argument.arg, argument.annotation, default, scope, by_name=True))
    return found


def _data_class(annotation: ast.expr | None, scope: ModuleScope) -> ast.ClassDef | None:
    found = scope.class_of(annotation)
    return found if found is not None and is_data_class(found) else None


def of_fields(node: ast.ClassDef, scope: ModuleScope, before: str = "", *, by_name: bool = False) -> list[Option]:
    """The fields of a data class, those that it inherits first, and of those that it holds: `optim.lr`. `by_name`:
    members of enumerations are.
    """
    found: list[Option] = []
    for base in node.bases:
        above = _data_class(base, scope)
        found += of_fields(above, scope, before, by_name=by_name) if above is not None and above is not node else []
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        inner, name = _data_class(item.annotation, scope), f"{before}{item.target.id}"
        if inner is not None and inner is not node:
            made = of_fields(inner, scope, f"{name}.", by_name=by_name)
        else:
            made = [field(name, item.annotation, item.value, scope, by_name=by_name)]
        found += made
    return list({option.name: option for option in found}.values())  # what is said again goes over what is inherited


def field(
    name: str, annotation: ast.expr | None, default: ast.expr | None, scope: ModuleScope, *, by_name: bool = False
) -> Option:
    """One of them. `field(default=…)` has a default; what `field(default_factory=…)` makes is not known."""
    about: Any = ""
    offered: Any = None
    required = default is None
    if isinstance(default, ast.Call) and scope.named(default.func).rpartition(".")[2] == "field":
        said = keywords(default)
        required = not {"default", "default_factory"} & set(said)
        metadata = said.get("metadata")
        about, offered = _told_of(metadata, "help", scope), _told_of(metadata, "choices", scope)
        default = said.get("default")
    value = scope.or_none(default)
    kind, choices = annotated(annotation, value, scope, by_name=by_name)
    choices = tuple(offered) if isinstance(offered, list) and not choices else choices
    if by_name and choices and isinstance(default, ast.Attribute) and default.attr in choices:
        value = default.attr
    about = about if isinstance(about, str) else ""
    return Option(name, kind, plain(value), choices, about=about, required=required)


def _told_of(metadata: ast.expr | None, name: str, scope: ModuleScope) -> Any:
    """What the metadata of a field, which goes to argparse, hold under a name."""
    if isinstance(metadata, ast.Dict):
        for key, value in zip(metadata.keys, metadata.values, strict=True):
            if scope.or_none(key) == name:
                return scope.or_none(value)
    return None


def annotated(
    annotation: ast.expr | None, default: Any, scope: ModuleScope, *, by_name: bool = False
) -> tuple[Kind, tuple[Any, ...]]:
    """The kind of the values and which they are, where an annotation or the default tells."""
    if isinstance(annotation, ast.Subscript):
        outer = scope.named(annotation.value).rpartition(".")[2]
        if outer == "Annotated" and isinstance(annotation.slice, ast.Tuple):
            return annotated(annotation.slice.elts[0], default, scope, by_name=by_name)
        if outer == "Optional":
            return annotated(annotation.slice, default, scope, by_name=by_name)
        if outer == "Literal":
            choices = scope.or_none(annotation.slice)
            listed = choices if isinstance(choices, list) else [choices]
            return "text", tuple(item for item in listed if type(item) in KINDS)
        return "other", ()
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        kind = annotation.left if _is_none(annotation.right) else annotation.right
        return annotated(kind, default, scope, by_name=by_name)
    if (enumeration := scope.class_of(annotation)) is not None:
        try:
            found = members(scope, enumeration)
            return "text", tuple(told([member.name if by_name else member.value for member in found]))
        except UnknownValue:
            return "other", ()
    if annotation is None:
        return KINDS.get(type(default), "other"), ()
    return _KINDS.get(scope.named(annotation).rpartition(".")[2], "other"), ()


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
