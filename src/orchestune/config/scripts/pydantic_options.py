"""Fields of pydantic settings, set by environment variables, or by the command line if the class enables it."""

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
class _SettingsSource:
    """The way in which the fields of a settings class are set."""

    prefix: str
    delimiter: str
    """separator of nested fields; empty if these cannot be set"""
    upper: bool
    arguments: bool
    """set by command-line arguments instead of variables"""
    switches: bool = False
    """booleans are flags without a value"""

    def name(self, field: str) -> str:
        return field.upper() if self.upper else field


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the fields of the settings class that is instantiated or passed to `CliApp.run`.

    None without one, or if the environment sets only texts, such as keys.
    """
    for call in calls(tree):
        is_cli_app = scope.named(call.func).endswith("CliApp.run")
        class_node = call.args[0] if is_cli_app and call.args else call.func
        node = scope.class_of(class_node)
        if node is None or not (is_cli_app or _is_settings(node, scope)):
            continue
        configuration = _configuration(node, scope)
        call_args = {name: scope.or_none(value) for name, value in keywords(call).items()}
        arguments = is_cli_app or bool(configuration.get("cli_parse_args")) or bool(call_args.get("_cli_parse_args"))
        prefix = call_args.get("_env_prefix") or configuration.get("env_prefix") or ""
        delimiter = configuration.get("env_nested_delimiter") or ""
        settings_source = _SettingsSource(
            prefix="" if arguments else str(prefix),
            delimiter="." if arguments else str(delimiter),
            upper=not (arguments or configuration.get("case_sensitive")),
            arguments=arguments,
            switches=bool(configuration.get("cli_implicit_flags")),
        )
        options = tuple(_fields(node, scope, settings_source, settings_source.prefix, 0))
        if arguments or any(option.kind in ("int", "float") for option in options):
            return Script("pydantic-settings", options, argument_template="{args}" if arguments else "")
    return None


def _is_settings(node: ast.ClassDef, scope: ModuleScope, depth: int = 0) -> bool:
    base_names = [scope.named(base) for base in node.bases]
    if any(name in ("BaseSettings", "pydantic_settings.BaseSettings", "pydantic.BaseSettings") for name in base_names):
        return True
    return depth < 20 and any(_is_settings(base, scope, depth + 1) for base in scope.bases(node))


def _configuration(node: ast.ClassDef, scope: ModuleScope) -> dict[str, Any]:
    """Return the settings of `model_config`, of the older inner class `Config`, or of the class keywords."""
    configuration: dict[str, Any] = {item.arg: scope.or_none(item.value) for item in node.keywords if item.arg}
    for item in node.body:
        if isinstance(item, ast.ClassDef) and item.name == "Config":
            pairs = [(one.targets[0], one.value) for one in item.body if isinstance(one, ast.Assign)]
            configuration |= {ast.unparse(target): scope.or_none(value) for target, value in pairs}
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and target.id == "model_config":
            value = getattr(item, "value", None)
            entries = keywords(value) if isinstance(value, ast.Call) else {}
            if isinstance(value, ast.Dict):
                entries = {
                    str(scope.or_none(key)): one for key, one in zip(value.keys, value.values, strict=True) if key
                }
            configuration |= {name: scope.or_none(one) for name, one in entries.items()}
    return configuration


def _fields(
    node: ast.ClassDef, scope: ModuleScope, settings_source: _SettingsSource, prefix: str, depth: int
) -> Iterator[Option]:
    """Yield the options of a class, inherited ones first."""
    by_name: dict[str, Option] = {}
    for parent in scope.bases(node) if depth < 20 else ():
        by_name |= {option.name: option for option in _fields(parent, scope, settings_source, prefix, depth + 1)}
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        inner = scope.class_of(item.annotation)
        is_model = inner is not None and any(scope.named(base).rpartition(".")[2] in _MODELS for base in inner.bases)
        name = item.target.id
        if inner is not None and is_model:
            if settings_source.delimiter and depth < 20:
                start = f"{prefix}{name}{settings_source.delimiter}"
                by_name |= {option.name: option for option in _fields(inner, scope, settings_source, start, depth + 1)}
        elif not name.startswith(("_", "model_config")):
            option = _field(item, scope, prefix, settings_source)
            by_name[option.name] = option
    yield from by_name.values()


def _field(item: ast.AnnAssign, scope: ModuleScope, prefix: str, settings_source: _SettingsSource) -> Option:
    assert isinstance(item.target, ast.Name)
    field_args: dict[str, ast.expr] = {}
    default = item.value
    for call in [one for one in (item.value, *_metadata(item.annotation)) if isinstance(one, ast.Call)]:
        if scope.named(call.func).rpartition(".")[2] == "Field":
            field_args |= keywords(call)
            if call is item.value:
                default = call.args[0] if call.args else field_args.get("default")
    value = scope.or_none(default)
    value = None if value is ... else value
    kind, choices = annotated(item.annotation, value, scope)
    kind = _KINDS.get(scope.named(item.annotation).rpartition(".")[2], kind)
    alias = scope.or_none(field_args.get("validation_alias", field_args.get("alias")))
    name = alias if isinstance(alias, str) else f"{prefix}{item.target.id}"
    bounds = [scope.or_none(field_args.get(one, field_args.get(other))) for one, other in (("ge", "gt"), ("le", "lt"))]
    least, most = (bound if isinstance(bound, (int, float)) else None for bound in bounds)
    is_required = (
        settings_source.arguments
        and value is None
        and not {"default", "default_factory"} & set(field_args)
        and _is_missing(default)
    )
    option = Option(settings_source.name(name), kind, plain(value), choices, least, most,
        scope.text(field_args.get("description")),
                    required=is_required)  # fmt: skip
    if kind != "bool" or not settings_source.arguments:
        return option
    if settings_source.switches:
        return replace(option, name=f"no-{name}" if value is True else name, default=False)
    words = ("true", "false")
    return replace(option, kind="text", choices=words, default=words[value is not True])


def _is_missing(default: ast.expr | None) -> bool:
    """Return True if there is no default, or `...`."""
    return default is None or (isinstance(default, ast.Constant) and default.value is ...)


def _metadata(annotation: ast.expr) -> list[ast.expr]:
    """Return the metadata of `Annotated`."""
    parameters = annotation.slice if isinstance(annotation, ast.Subscript) else None
    return parameters.elts[1:] if isinstance(parameters, ast.Tuple) else []
