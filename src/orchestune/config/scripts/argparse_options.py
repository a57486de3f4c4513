"""Options of argparse, from `add_argument` calls."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

from orchestune.config.scripts.option import KINDS, Kind, Option, Script, plain
from orchestune.config.scripts.scope import ModuleScope, calls, keywords

_KINDS: dict[str, Kind] = {"float": "float", "int": "int", "str": "text", "bool": "bool"}
_BOOLEAN_WORDS = ("bool", "boolean", "strtobool", "truth")
_NARGS = {"argparse.REMAINDER": "...", "argparse.ZERO_OR_MORE": "*", "argparse.OPTIONAL": "?"}
_WITHOUT_VALUE = ("store_const", "append_const", "count", "help", "version", "append", "extend")


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the options, or None if there are no such calls."""
    parsers, before_commands, groups = _commands(tree), _before_commands(tree), _exclusive(tree, scope)
    own: dict[str, list[Option]] = {}
    defaults: dict[str, Any] = {}
    for call in calls(tree):
        callee = scope.resolve(call.func)  # add = parser.add_argument
        if not isinstance(callee, ast.Attribute):
            continue
        if callee.attr == "add_argument":
            option, parser = _option(call, scope), _name(callee.value)
            if option is not None:
                option = replace(option, early=parser in before_commands, rivals=_group_at(groups, parser, call.lineno))
                own.setdefault(parsers.get(parser, ""), []).append(option)
        elif callee.attr == "set_defaults":
            defaults |= {name: scope.or_none(value) for name, value in keywords(call).items()}
    if not own:
        return None
    by_command = {name: tuple(_with_default(option, defaults) for option in options) for name, options in own.items()}
    return Script("argparse", by_command.pop("", ()), commands=by_command)


def _commands(tree: ast.Module) -> dict[str, str]:
    """Map variables of subcommand parsers, and of their option groups, to their command."""
    commands: dict[str, str] = {}
    for node in ast.walk(tree):
        targets = node.targets[:1] if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) or not isinstance(node.value, ast.Call):
            continue
        callee, target = node.value.func, _name(targets[0])
        if not isinstance(callee, ast.Attribute) or not target:
            continue
        first = node.value.args[0] if node.value.args else None
        if callee.attr == "add_parser" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            commands[target] = first.value
        elif callee.attr in ("add_argument_group", "add_mutually_exclusive_group") and _name(callee.value) in commands:
            commands[target] = commands[_name(callee.value)]
    return commands


def _before_commands(tree: ast.Module) -> set[str]:
    """Return the variables of the parser that has the subcommands, whose options come before the command name."""
    method_calls = [(call.func, call) for call in calls(tree) if isinstance(call.func, ast.Attribute)]
    parsers = {_name(function.value) for function, _ in method_calls if function.attr == "add_subparsers"}
    groups = ("add_argument_group", "add_mutually_exclusive_group")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            function = node.value.func
            if isinstance(function, ast.Attribute) and function.attr in groups and _name(function.value) in parsers:
                parsers.add(_name(node.targets[0]))
    return parsers - {""}


def _exclusive(tree: ast.Module, scope: ModuleScope) -> list[tuple[int, str, str]]:
    """Return each assignment to a variable with the mutually exclusive group that the variable holds from there on.

    An assignment is its line, the variable, and the id of the group; the id is empty if it holds something else.
    """
    groups: list[tuple[int, str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (name := _name(node.targets[0])):
            group = ""
            call = node.value if isinstance(node.value, ast.Call) else None
            if call and isinstance(call.func, ast.Attribute) and call.func.attr == "add_mutually_exclusive_group":
                is_required = scope.or_none(keywords(call).get("required")) is True
                group = f"{'!' if is_required else ''}{name}:{node.lineno}"
            groups.append((node.lineno, name, group))
    return groups


def _group_at(groups: list[tuple[int, str, str]], variable: str, line: int) -> str:
    """Return the group that the variable holds at a line."""
    return max(((at, group) for at, name, group in groups if name == variable and at <= line), default=(0, ""))[1]


def _name(node: ast.AST | None) -> str:
    """Return a variable: `parser`, `self.parser`, or the target of `(parser := …)`; empty for anything else."""
    if isinstance(node, ast.NamedExpr):
        node = node.target
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def _option(call: ast.Call, scope: ModuleScope) -> Option | None:
    flags = [text for text in map(scope.or_none, call.args) if isinstance(text, str)]
    keyword_args = keywords(call)
    action = scope.or_none(keyword_args.get("action"))
    if not flags or action in ("help", "version"):
        return None
    name, argument_template = _parameter_form(flags)
    default, about = scope.or_none(keyword_args.get("default")), scope.text(keyword_args.get("help"))
    if action in ("store_true", "store_false"):
        return Option(name, "bool", False, about=about, argument_template=argument_template)
    if scope.named(keyword_args["action"]).endswith("BooleanOptionalAction") if "action" in keyword_args else False:
        return Option(
            f"no-{name}" if default is True else name, "bool", False, about=about, argument_template=argument_template
        )
    choices = scope.or_none(keyword_args.get("choices"))
    truth = isinstance(choices, list) and bool(choices) and all(isinstance(choice, bool) for choice in choices)
    if "type" in keyword_args and (truth or _reads_truth(scope.named(keyword_args["type"]), default)):
        words = _words(keyword_args["type"], scope)
        return Option(
            name,
            "text",
            words[0] if default is True else words[1],
            words,
            about=about,
            argument_template=argument_template,
        )
    kind = _kind(keyword_args, default, scope)
    nargs = _nargs(keyword_args.get("nargs"), scope)
    if action in _WITHOUT_VALUE or nargs not in (None, "?"):
        kind = "other"
    positional = bool(argument_template) and not flags[0].startswith("-")
    required = (positional and nargs not in ("?", "*", "...")) or scope.or_none(keyword_args.get("required")) is True
    if kind in ("float", "int") and isinstance(default, str):  # argparse converts it
        with suppress(ValueError):
            default = float(default) if kind == "float" else int(default)
    return Option(
        name,
        kind,
        plain(default),
        tuple(choice for choice in choices if type(choice) in KINDS) if isinstance(choices, list) else (),
        about=about,
        required=required and default is None,
        argument_template=argument_template,
    )


def _nargs(node: ast.expr | None, scope: ModuleScope) -> Any:
    """Return `nargs` as argparse writes it, or "unknown"."""
    if node is None:
        return None
    return _NARGS.get(scope.named(node)) or scope.or_none(node) or "unknown"


def _parameter_form(flags: list[str]) -> tuple[str, str]:
    """Return the parameter's name, and its form in the command if that is not `--name=value`."""
    long = [flag for flag in flags if flag.startswith("--")]
    if long:
        return long[0][2:], ""
    name = flags[0].lstrip("-")
    return name, f"{flags[0]} {{{name}}}" if flags[0].startswith("-") else f"{{{name}}}"


def _kind(keyword_args: dict[str, ast.expr], default: Any, scope: ModuleScope) -> Kind | None:
    if "type" not in keyword_args:
        return {bool: "bool", float: "other", int: "other"}.get(type(default), "text")  # type: ignore[return-value]
    name = scope.named(keyword_args["type"]).rpartition(".")[2]
    if name in _KINDS:
        return "other" if name == "bool" else _KINDS[name]  # bool("False") is true: no word means false
    if isinstance(default, (int, float)):
        return "int" if isinstance(default, int) else "float"
    return "text" if name in ("Path", "") or isinstance(default, str) else "other"


def _reads_truth(kind: str, default: Any) -> bool:
    """Return True if a type function parses booleans from words. `bool` itself does not, since any word is true."""
    name = kind.rpartition(".")[2]
    return name != "bool" and (isinstance(default, bool) or any(word in name.lower() for word in _BOOLEAN_WORDS))


def _words(kind: ast.expr, scope: ModuleScope) -> tuple[str, str]:
    """Return the spelling of true and false: Python's for `eval` and comparisons with `'True'`, else lower case."""
    text = ast.unparse(scope.function_of(kind) or kind)
    evaluated = scope.named(kind).rpartition(".")[2] in ("eval", "literal_eval")
    as_python = evaluated or ("'True'" in text and not re.search(r"'true'|\blower\(", text))
    return ("True", "False") if as_python else ("true", "false")


def _with_default(option: Option, defaults: dict[str, Any]) -> Option:
    default = plain(defaults.get(option.name.replace("-", "_")))
    return option if default is None or option.kind == "bool" else replace(option, default=default)
