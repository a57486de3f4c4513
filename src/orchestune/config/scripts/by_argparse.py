"""Options of argparse, from the calls of `add_argument`."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

from orchestune.config.scripts import by_jsonargparse
from orchestune.config.scripts.loops import unrolled
from orchestune.config.scripts.option import KINDS, Kind, Option, Script, plain
from orchestune.config.scripts.scope import ModuleScope, calls, keywords

_KINDS: dict[str, Kind] = {"float": "float", "int": "int", "str": "text", "bool": "bool"}
_TRUTH = ("bool", "boolean", "strtobool", "truth")
_NARGS = {"argparse.REMAINDER": "...", "argparse.ZERO_OR_MORE": "*", "argparse.OPTIONAL": "?"}
_WITHOUT_VALUE = ("store_const", "append_const", "count", "help", "version", "append", "extend")


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """None where there are no such calls."""
    tree = unrolled(tree, scope)
    parsers, first, groups = _commands(tree), _before_commands(tree), _exclusive(tree, scope)
    own: dict[str, list[Option]] = {}
    defaults: dict[str, Any] = {}
    for call in calls(tree):
        called = scope.held(call.func)  # add = parser.add_argument
        if not isinstance(called, ast.Attribute):
            continue
        if called.attr == "add_argument":
            option, parser = _option(call, scope), _name(called.value)
            if option is not None:
                option = replace(option, early=parser in first, rivals=_group_at(groups, parser, call.lineno))
                own.setdefault(parsers.get(parser, ""), []).append(option)
        elif called.attr in by_jsonargparse.ADDING:
            own.setdefault(parsers.get(_name(called.value), ""), []).extend(by_jsonargparse.added(call, scope))
        elif called.attr == "set_defaults":
            defaults |= {name: scope.or_none(value) for name, value in keywords(call).items()}
    if not own:
        return None
    found = {name: tuple(_with_default(option, defaults) for option in options) for name, options in own.items()}
    return Script("argparse", found.pop("", ()), commands=found)


def _commands(tree: ast.Module) -> dict[str, str]:
    """The variables in which parsers of commands stand, and groups of their options, with the command of each."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        targets = node.targets[:1] if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) or not isinstance(node.value, ast.Call):
            continue
        called, target = node.value.func, _name(targets[0])
        if not isinstance(called, ast.Attribute) or not target:
            continue
        first = node.value.args[0] if node.value.args else None
        if called.attr == "add_parser" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            found[target] = first.value
        elif called.attr in ("add_argument_group", "add_mutually_exclusive_group") and _name(called.value) in found:
            found[target] = found[_name(called.value)]
    return found


def _before_commands(tree: ast.Module) -> set[str]:
    """The variables of parsers whose options stand before the name of a command: of the one that has the commands."""
    called = [(call.func, call) for call in calls(tree) if isinstance(call.func, ast.Attribute)]
    whole = {_name(function.value) for function, _ in called if function.attr == "add_subparsers"}
    groups = ("add_argument_group", "add_mutually_exclusive_group")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            function = node.value.func
            if isinstance(function, ast.Attribute) and function.attr in groups and _name(function.value) in whole:
                whole.add(_name(node.targets[0]))
    return whole - {""}


def _exclusive(tree: ast.Module, scope: ModuleScope) -> list[tuple[int, str, str]]:
    """Each assignment of a variable that holds a group of which one option at most is taken: its line, the variable,
    and what that group is called here; empty where the variable holds something else from there on.
    """
    found: list[tuple[int, str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (name := _name(node.targets[0])):
            group = ""
            made = node.value if isinstance(node.value, ast.Call) else None
            if made and isinstance(made.func, ast.Attribute) and made.func.attr == "add_mutually_exclusive_group":
                needed = scope.or_none(keywords(made).get("required")) is True
                group = f"{'!' if needed else ''}{name}:{node.lineno}"
            found.append((node.lineno, name, group))
    return found


def _group_at(groups: list[tuple[int, str, str]], variable: str, line: int) -> str:
    """The group that the variable holds at a line."""
    return max(((at, group) for at, name, group in groups if name == variable and at <= line), default=(0, ""))[1]


def _name(node: ast.AST | None) -> str:
    """A variable: `parser`, `self.parser`, or what `(parser := …)` assigns; empty for anything else."""
    if isinstance(node, ast.NamedExpr):
        node = node.target
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def _option(call: ast.Call, scope: ModuleScope) -> Option | None:
    flags = [text for text in map(scope.or_none, call.args) if isinstance(text, str)]
    said = keywords(call)
    action = scope.or_none(said.get("action"))
    if not flags or action in ("help", "version"):
        return None
    name, word = _placed(flags)
    default, about = scope.or_none(said.get("default")), scope.text(said.get("help"))
    if action in ("store_true", "store_false"):
        return Option(name, "bool", False, about=about, word=word)
    if scope.named(said["action"]).endswith("BooleanOptionalAction") if "action" in said else False:
        return Option(f"no-{name}" if default is True else name, "bool", False, about=about, word=word)
    choices = scope.or_none(said.get("choices"))
    truth = isinstance(choices, list) and bool(choices) and all(isinstance(choice, bool) for choice in choices)
    if "type" in said and (truth or _reads_truth(scope.named(said["type"]), default, by_jsonargparse.in_use(scope))):
        words = _words(said["type"], scope)
        return Option(name, "text", words[0] if default is True else words[1], words, about=about, word=word)
    kind = _kind(said, default, scope)
    nargs = _nargs(said.get("nargs"), scope)
    if action in _WITHOUT_VALUE or nargs not in (None, "?"):
        kind = "other"
    positional = bool(word) and not flags[0].startswith("-")
    required = (positional and nargs not in ("?", "*", "...")) or scope.or_none(said.get("required")) is True
    if kind in ("float", "int") and isinstance(default, str):  # which argparse converts
        with suppress(ValueError):
            default = float(default) if kind == "float" else int(default)
    return Option(
        name,
        kind,
        plain(default),
        tuple(choice for choice in choices if type(choice) in KINDS) if isinstance(choices, list) else (),
        about=about,
        required=required and default is None,
        word=word,
    )


def _nargs(node: ast.expr | None, scope: ModuleScope) -> Any:
    """How many values it takes, as argparse writes it; something else than that where it is not known."""
    if node is None:
        return None
    return _NARGS.get(scope.named(node)) or scope.or_none(node) or "unknown"


def _placed(flags: list[str]) -> tuple[str, str]:
    """The name of the parameter, and how it stands in the command where that is not `--name=value`."""
    long = [flag for flag in flags if flag.startswith("--")]
    if long:
        return long[0][2:], ""
    name = flags[0].lstrip("-")
    return name, f"{flags[0]} {{{name}}}" if flags[0].startswith("-") else f"{{{name}}}"


def _kind(said: dict[str, ast.expr], default: Any, scope: ModuleScope) -> Kind | None:
    if "type" not in said:
        return {bool: "bool", float: "other", int: "other"}.get(type(default), "text")  # type: ignore[return-value]
    name = scope.named(said["type"]).rpartition(".")[2]
    if name in _KINDS:
        return "other" if name == "bool" else _KINDS[name]  # bool("False") is true: no word switches it off
    if isinstance(default, (int, float)):
        return "int" if isinstance(default, int) else "float"
    return "text" if name in ("Path", "") or isinstance(default, str) else "other"


def _reads_truth(kind: str, default: Any, better: bool) -> bool:
    """Whether a function of the user's makes truth values of words. `bool` itself does not: any word is true to it,
    but for a `better` parser.
    """
    name = kind.rpartition(".")[2]
    if name == "bool":
        return better
    return any(word in name.lower() for word in _TRUTH) or isinstance(default, bool)


def _words(kind: ast.expr, scope: ModuleScope) -> tuple[str, str]:
    """How true and false are written: to `eval`, and to what compares a text with `'True'`, as Python has them."""
    text = ast.unparse(scope.function_of(kind) or kind)
    evaluated = scope.named(kind).rpartition(".")[2] in ("eval", "literal_eval")
    as_python = evaluated or ("'True'" in text and not re.search(r"'true'|\blower\(", text))
    return ("True", "False") if as_python else ("true", "false")


def _with_default(option: Option, defaults: dict[str, Any]) -> Option:
    changed = plain(defaults.get(option.name.replace("-", "_")))
    return option if changed is None or option.kind == "bool" else replace(option, default=changed)
