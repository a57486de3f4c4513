"""Fields of the settings of pydantic, which the environment sets, or a command line where the class says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from orchestune.config.scripts.option import Kind, Option, Script, plain
from orchestune.config.scripts.scope import ModuleScope, calls, keywords
from orchestune.config.scripts.signature import annotated

_KINDS: dict[str, Kind] = {
    f"{sign}{kind}": "float" if kind == "Float" else "int"
    for sign in ("Positive", "Negative", "NonNegative", "NonPositive", "Finite")
    for kind in ("Float", "Int")
}
_MODELS = ("BaseModel", "BaseSettings")


@dataclass(frozen=True)
class _Way:
    """How the fields of a class are set."""

    prefix: str
    between: str
    """what stands between a field and those within it; nothing where these cannot be named"""
    upper: bool
    arguments: bool
    """by a command line"""
    switches: bool = False
    """on which truth values are flags without a value"""

    def name(self, field: str) -> str:
        return field.upper() if self.upper else field


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """The class of settings that is made, or what `CliApp.run` is given. None without one, or where all that the
    environment sets of it are texts, such as keys.
    """
    for call in calls(tree):
        running = scope.named(call.func).endswith("CliApp.run")
        given = call.args[0] if running and call.args else call.func
        node = scope.class_of(given)
        if node is None or not (running or _is_settings(node, scope)):
            continue
        said = _configuration(node, scope)
        asked = {name: scope.or_none(value) for name, value in keywords(call).items()}
        arguments = running or bool(said.get("cli_parse_args")) or bool(asked.get("_cli_parse_args"))
        prefix = asked.get("_env_prefix") or said.get("env_prefix") or ""
        within = said.get("env_nested_delimiter") or ""
        way = _Way(
            prefix="" if arguments else str(prefix),
            between="." if arguments else str(within),
            upper=not (arguments or said.get("case_sensitive")),
            arguments=arguments,
            switches=bool(said.get("cli_implicit_flags")),
        )
        options = tuple(_fields(node, scope, way, way.prefix, 0))
        if arguments or any(option.kind in ("int", "float") for option in options):
            return Script("pydantic-settings", options, way="{args}" if arguments else "")
    return None


def _is_settings(node: ast.ClassDef, scope: ModuleScope, depth: int = 0) -> bool:
    named = [scope.named(base) for base in node.bases]
    if any(name in ("BaseSettings", "pydantic_settings.BaseSettings", "pydantic.BaseSettings") for name in named):
        return True
    return depth < 20 and any(_is_settings(base, scope, depth + 1) for base in scope.bases(node))


def _configuration(node: ast.ClassDef, scope: ModuleScope) -> dict[str, Any]:
    """What `model_config` says, or the class `Config` of before, or what stands beside the classes above it."""
    found: dict[str, Any] = {item.arg: scope.or_none(item.value) for item in node.keywords if item.arg}
    for item in node.body:
        if isinstance(item, ast.ClassDef) and item.name == "Config":
            pairs = [(one.targets[0], one.value) for one in item.body if isinstance(one, ast.Assign)]
            found |= {ast.unparse(target): scope.or_none(value) for target, value in pairs}
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and target.id == "model_config":
            value = getattr(item, "value", None)
            said = keywords(value) if isinstance(value, ast.Call) else {}
            if isinstance(value, ast.Dict):
                said = {str(scope.or_none(key)): one for key, one in zip(value.keys, value.values, strict=True) if key}
            found |= {name: scope.or_none(one) for name, one in said.items()}
    return found


def _fields(node: ast.ClassDef, scope: ModuleScope, way: _Way, before: str, depth: int) -> Iterator[Option]:
    """Those of the class, what it inherits first."""
    found: dict[str, Option] = {}
    for above in scope.bases(node) if depth < 20 else ():
        found |= {option.name: option for option in _fields(above, scope, way, before, depth + 1)}
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        inner = scope.class_of(item.annotation)
        model = inner is not None and any(scope.named(base).rpartition(".")[2] in _MODELS for base in inner.bases)
        name = item.target.id
        if inner is not None and model:
            if way.between and depth < 20:
                start = f"{before}{name}{way.between}"
                found |= {option.name: option for option in _fields(inner, scope, way, start, depth + 1)}
        elif not name.startswith(("_", "model_config")):
            option = _field(item, scope, before, way)
            found[option.name] = option
    yield from found.values()


def _field(item: ast.AnnAssign, scope: ModuleScope, before: str, way: _Way) -> Option:
    assert isinstance(item.target, ast.Name)
    said: dict[str, ast.expr] = {}
    default = item.value
    for call in [one for one in (item.value, *_beside(item.annotation)) if isinstance(one, ast.Call)]:
        if scope.named(call.func).rpartition(".")[2] == "Field":
            said |= keywords(call)
            if call is item.value:
                default = call.args[0] if call.args else said.get("default")
    value = scope.or_none(default)
    value = None if value is ... else value
    kind, choices = annotated(item.annotation, value, scope)
    kind = _KINDS.get(scope.named(item.annotation).rpartition(".")[2], kind)
    alias = scope.or_none(said.get("validation_alias", said.get("alias")))
    name = alias if isinstance(alias, str) else f"{before}{item.target.id}"
    bounds = [scope.or_none(said.get(one, said.get(other))) for one, other in (("ge", "gt"), ("le", "lt"))]
    least, most = (bound if isinstance(bound, (int, float)) else None for bound in bounds)
    needed = way.arguments and value is None and not {"default", "default_factory"} & set(said) and _is_left(default)
    option = Option(way.name(name), kind, plain(value), choices, least, most, scope.text(said.get("description")),
                    required=needed)  # fmt: skip
    if kind != "bool" or not way.arguments:
        return option
    if way.switches:
        return replace(option, name=f"no-{name}" if value is True else name, default=False)
    words = ("true", "false")
    return replace(option, kind="text", choices=words, default=words[value is not True])


def _is_left(default: ast.expr | None) -> bool:
    """Whether nothing stands there, or `...`."""
    return default is None or (isinstance(default, ast.Constant) and default.value is ...)


def _beside(annotation: ast.expr) -> list[ast.expr]:
    """What `Annotated` has beside the kind."""
    held = annotation.slice if isinstance(annotation, ast.Subscript) else None
    return held.elts[1:] if isinstance(held, ast.Tuple) else []
