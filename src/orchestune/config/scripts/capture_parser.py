"""Runs a script with `--help`, and writes the options of its parser, where the help would be printed, as JSON.

A program for the script's own interpreter: standard library only, Python 3.8. It runs in a copy of a folder. Its
arguments are the file to write, the original folder, the libraries that the script imports, separated by commas, and
the script or `-m` and a module. The process ends at the capture: nothing of the script after its parser runs.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import re
import runpy
import sys
from contextlib import suppress
from enum import Enum
from typing import Any, Callable, Dict, Iterable, NoReturn

Document = Dict[str, Any]
"""the fields of an `Option`"""
_MAX_CHOICES = 100
_KINDS = {bool: "bool", int: "int", float: "float", str: "text"}
_REFUSALS = (argparse.ArgumentTypeError, ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError,
             ValueError, SystemExit)  # fmt: skip
"""how a function refuses a text; after any other exception the source is read instead"""


def main() -> None:
    """Watch the parsers, and run the script."""
    target, original, libraries, *command = sys.argv[1:]
    sys.path[:] = [_in_copy(entry, original) for entry in sys.path]

    def finish(reader: str, options: list[Document], commands: dict[str, list[Document]] | None = None) -> NoReturn:
        document = {"reader": reader, "options": options, "commands": commands or {}}
        with open(f"{target}.part", "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.replace(f"{target}.part", target)
        os._exit(0)  # without the script's own handlers

    reader = next((name for name in libraries.split(",") if name != "argparse"), "argparse")
    _watch_argparse(argparse, reader, finish)
    for name in libraries.split(","):
        if name == "tyro":
            _watch_argparse(importlib.import_module("tyro._backends._argparse"), reader, finish)
        elif name in _WATCHES:
            _WATCHES[name](importlib.import_module("absl.flags" if name == "absl" else name), finish)
    if command[0] == "-m":
        sys.argv = [command[1], "--help"]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [command[0], "--help"]
        sys.path[0] = os.path.dirname(os.path.abspath(command[0]))
        runpy.run_path(command[0], run_name="__main__")


def _in_copy(entry: str, original: str) -> str:
    """Return the path in the copy for an entry of `sys.path` in the original folder, such as of an editable install.

    Other users may be able to change what the copy does not have.
    """
    relative = os.path.relpath(os.path.realpath(entry), original)
    is_copied = relative.split(os.sep)[0] != os.pardir and os.path.exists(relative)
    return os.path.abspath(relative) if is_copied else entry


def _option(name: str, kind: str | None, default: Any = None, **fields: Any) -> Document:
    choices = [choice for choice in fields.pop("choices", ()) if type(choice) in _KINDS]
    return {"name": name, "kind": kind, "default": default if type(default) in _KINDS else None, "choices": choices,
            **fields}  # fmt: skip


def _watch_argparse(module: Any, reader: str, finish: Callable[..., NoReturn]) -> None:
    def capture(parser: Any, *_: Any, **__: Any) -> NoReturn:
        finish(reader, _of_parser(parser), _of_subparsers(parser))

    parse = module.ArgumentParser.parse_known_args

    def parse_known_args(self: Any, args: Any = None, *more: Any, **named: Any) -> Any:
        """Pass `--help` on, which the script might not: without it, its main part would start."""
        if args is not None and "--help" not in args and self.add_help:
            args = ["--help"]
        return parse(self, args, *more, **named)

    module.ArgumentParser.parse_known_args = parse_known_args
    module.ArgumentParser.print_help = module.ArgumentParser.error = capture
    module._HelpAction.__call__ = lambda _, parser, *__: capture(parser)


def _is(action: Any, *names: str) -> bool:
    """Return True for an action of these classes, also of a copy of argparse such as tyro's."""
    return any(one.__name__ in names for one in type(action).__mro__)


def _of_parser(parser: Any) -> list[Document]:
    groups = {}
    for index, group in enumerate(parser._mutually_exclusive_groups):
        for action in group._group_actions:
            groups[id(action)] = f"{'!' if group.required else ''}{index}"
    is_early = parser._subparsers is not None
    options = []
    for action in parser._actions:
        option = None if action.help == argparse.SUPPRESS else _of_action(action, parser)
        if option is not None:
            options.append({**option, "early": is_early, "rivals": groups.get(id(action), "")})
    return options


def _of_subparsers(parser: Any, prefix: str = "") -> dict[str, list[Document]]:
    """Return the options by command; of several names of a command, the first counts."""
    commands: dict[str, list[Document]] = {}
    for action in parser._actions:
        choices = action.choices if _is(action, "_SubParsersAction") else None
        known = set()
        for name, inner in (choices or {}).items():
            if id(inner) not in known:
                known.add(id(inner))
                nested = _of_subparsers(inner, f"{prefix}{name} ")
                commands.update(nested or {f"{prefix}{name}": [{**one, "early": False} for one in _of_parser(inner)]})
    return commands


def _of_action(action: Any, parser: Any) -> Document | None:
    flags = list(action.option_strings)
    if _is(action, "_HelpAction", "_VersionAction", "_SubParsersAction"):
        return None
    if type(action).__module__.startswith("jsonargparse") and action.dest in ("config", "print_config", "print_shtab"):
        return None
    name, template = _form(flags, action.dest)
    default = _default(action, parser)
    common = {"about": _about(action), "argument_template": template}
    negated = [flag[2:] for flag in flags if flag.startswith(("--no-", "--no_")) or ".no-" in flag]
    if action.nargs == 0:
        if negated and len(flags) > len(negated):  # BooleanOptionalAction
            return _option(negated[0] if default is True else name, "bool", False, **common)
        const = getattr(action, "const", None)
        is_switch = isinstance(const, bool) and const is not bool(default)
        return _option(name, "bool" if is_switch else "other", False if is_switch else None, **common)
    kind, choices = _kind(action, default)
    if action.nargs not in (None, "?", 1) or _is(action, "_AppendAction", "_CountAction"):
        kind = "other"
    if isinstance(default, str) and kind in ("float", "int"):
        with suppress(ValueError):
            default = float(default) if kind == "float" else int(default)
    if isinstance(default, Enum):
        default = default.name if default.name in choices else default.value
    if isinstance(default, bool) and "true" in map(str.lower, map(str, choices)):
        default = next(choice for choice in choices if str(choice).lower() == str(default).lower())
    is_required = action.required and default is None and action.nargs not in ("?", "*", "...")
    if not flags and action.nargs in ("?", "*"):
        is_required = False
    return _option(name, kind, default, choices=choices, required=is_required, **common)


def _default(action: Any, parser: Any) -> Any:
    """Return the default; tyro's is only in the help, as `(default: 0.1)`."""
    default = parser._defaults.get(action.dest, action.default)
    written = re.search(r"\(default: (.*?)\)", action.help or "") if "MISSING" in repr(default) else None
    if written is None:
        return default
    try:
        return ast.literal_eval(written[1])
    except (ValueError, SyntaxError):
        return written[1]


def _form(flags: list[str], dest: str) -> tuple[str, str]:
    """Return the parameter's name, and its form in the command if that is not `--name=value`."""
    long = [flag for flag in flags if flag.startswith("--")]
    if long:
        return long[0][2:], ""
    name = flags[0].lstrip("-") if flags else dest
    return name, f"{flags[0]} {{{name}}}" if flags else f"{{{name}}}"


def _about(action: Any) -> str:
    return (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")


def _kind(action: Any, default: Any) -> tuple[str, list[Any]]:
    """Return the kind and the choices of an action with a value."""
    hint = getattr(action, "_typehint", None)  # of jsonargparse
    if hint is not None:
        return _of_hint(hint)
    if action.choices is not None:
        choices = list(_first_choices(action.choices))
        plain = [choice.name if isinstance(choice, Enum) else choice for choice in choices]
        return _KINDS.get(type(plain[0]), "other") if plain else "other", plain
    convert = action.type
    if convert is None:
        metavar = str(action.metavar).strip("[]").upper()  # tyro converts the texts itself
        if metavar in ("FLOAT", "INT", "STR", "PATH"):
            return {"FLOAT": "float", "INT": "int"}.get(metavar, "text"), []
        return "text" if isinstance(default, str) or default is None else "other", []
    if convert in (float, int, str):
        return _KINDS[convert], []
    if isinstance(convert, type) and issubclass(convert, Enum):
        return "text", [member.value for member in convert if isinstance(member.value, str)]
    return _of_function(convert, default)


def _first_choices(values: Iterable[Any]) -> Iterable[Any]:
    for index, value in enumerate(values):
        if index >= _MAX_CHOICES:
            return
        yield value


def _of_function(convert: Any, default: Any) -> tuple[str, list[Any]]:
    """Return the kind of what a type function returns, which is called with a few texts."""
    for words in (["true", "false"], ["True", "False"], ["1", "0"]):
        if [_called(convert, word) for word in words] == [True, False] and type(_called(convert, words[0])) is bool:
            return "text", list(words)
    for word in ("0.5", "1", "2", "16"):
        value = _called(convert, word)
        if type(value) in (int, float):
            return _KINDS[type(value)], []
    return "text" if isinstance(default, str) or getattr(convert, "__name__", "") == "Path" else "other", []


def _called(convert: Any, text: str) -> Any:
    try:
        return convert(text)
    except _REFUSALS:
        return None


def _of_hint(hint: Any, by_value: bool = False) -> tuple[str, list[Any]]:
    """Return the kind and the choices of a type hint: `float`, `Optional[int]`, `Literal["a", "b"]`, an enumeration.

    `by_value`: members of an enumeration are written by value, not by name.
    """
    arguments = [one for one in getattr(hint, "__args__", ()) or () if one is not type(None)]
    if "Literal" in str(getattr(hint, "__origin__", "")):
        return "text", list(hint.__args__)
    if hint is bool:
        return "text", ["true", "false"]
    if hint in _KINDS:
        return _KINDS[hint], []
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "text", [member.value if by_value else member.name for member in hint]
    if len(arguments) == 1 and "Union" in str(getattr(hint, "__origin__", type(hint))):
        return _of_hint(arguments[0], by_value)
    if isinstance(hint, type):
        base = next((base for base in hint.__mro__ if base in (int, float)), None)  # PositiveFloat
        return _KINDS[base] if base else "other", []
    return "other", []


def _watch_click(module: Any, finish: Callable[..., NoReturn]) -> None:
    """Watch click, or typer with its own copy of click."""
    is_typer = module.__name__ == "typer"
    classes = [module.core.TyperCommand, module.core.TyperGroup] if is_typer else [module.Command]

    def make_context(self: Any, *_: Any, **__: Any) -> NoReturn:
        commands = _of_group(self)
        finish(module.__name__, [] if commands else _of_command(self), commands)

    for owner in (one for cls in classes for one in cls.__mro__ if "make_context" in vars(one)):
        owner.make_context = make_context


def _of_group(command: Any, prefix: str = "") -> dict[str, list[Document]]:
    commands: dict[str, list[Document]] = {}
    for name, inner in getattr(command, "commands", {}).items():
        nested = _of_group(inner, f"{prefix}{name} ")
        commands.update(nested or {f"{prefix}{name}": _of_command(inner)})
    return commands


def _of_command(command: Any) -> list[Document]:
    return [option for option in map(_of_parameter, command.params) if option is not None]


_CLICK_KINDS = {
    "float": "float", "float range": "float", "integer": "int", "integer range": "int", "text": "text",
    "choice": "text", "path": "text", "filename": "text",
}  # fmt: skip


def _of_parameter(parameter: Any) -> Document | None:
    if not hasattr(parameter, "is_flag"):  # an argument
        name = parameter.name or ""
        return _option(name, "other", required=parameter.required, argument_template=f"{{{name}}}")
    if getattr(parameter, "hidden", False) or parameter.name in ("install_completion", "show_completion"):
        return None
    name, template = _form(list(parameter.opts), parameter.name or "")
    default, about = parameter.default, parameter.help or ""
    default = default.value if isinstance(default, Enum) else default
    if parameter.is_flag:
        off = [flag.lstrip("-") for flag in parameter.secondary_opts]
        is_switch = isinstance(default, bool) or type(default) not in _KINDS
        return _option(
            off[0] if default is True and off else name, "bool" if is_switch else "other", False, about=about
        )
    descriptor = getattr(parameter, "type_descriptor", None)  # of typer since 0.20, which converts values itself
    bounds = parameter if descriptor is not None else parameter.type
    if descriptor is not None:
        kind, choices = _of_hint(descriptor.annotation, by_value=True)
    else:
        kind, choices = _CLICK_KINDS.get(parameter.type.name, "other"), list(getattr(parameter.type, "choices", ()))
        choices = [choice.value if isinstance(choice, Enum) else choice for choice in choices]
    if parameter.multiple or parameter.nargs != 1 or getattr(parameter, "count", False):
        kind = "other"
    least, most = getattr(bounds, "min", None), getattr(bounds, "max", None)
    is_required = parameter.required and type(default) not in _KINDS
    return _option(name, kind, default, choices=choices, least=least, most=most, about=about,
                   required=is_required, argument_template=template)  # fmt: skip


def _watch_absl(module: Any, finish: Callable[..., NoReturn]) -> None:
    def parse(self: Any, *_: Any, **__: Any) -> NoReturn:
        by_module = self.flags_by_module_dict().items()
        own = [flag for name, listed in by_module if not name.startswith("absl.") for flag in listed]
        finish("absl", [_of_flag(flag) for flag in own])

    module.FlagValues.__call__ = parse


def _of_flag(flag: Any) -> Document:
    parser = flag.parser
    about, default = flag.help or "", flag.default
    if flag.boolean:
        return _option(f"no{flag.name}" if default is True else flag.name, "bool", False, about=about)
    choices = list(getattr(parser, "enum_values", None) or ())
    members = getattr(parser, "enum_class", None)
    if members is not None:
        choices = [name.lower() for name in members.__members__]
        default = default.name.lower() if default is not None else None
    kind = {"float": "float", "int": "int"}.get(
        flag.flag_type(), "text" if choices or parser.syntactic_help == "" else "other"
    )
    bounds = [bound if isinstance(bound, (int, float)) else None
              for bound in (getattr(parser, "lower_bound", None), getattr(parser, "upper_bound", None))]  # fmt: skip
    is_required = default is None and not flag.allow_override and getattr(flag, "required", False)
    return _option(flag.name, kind, default, choices=choices, least=bounds[0], most=bounds[1], about=about,
                   required=bool(is_required))  # fmt: skip


def _watch_fire(module: Any, finish: Callable[..., NoReturn]) -> None:
    def run(component: Any = None, *_: Any, **__: Any) -> NoReturn:
        if component is None:
            component = sys.modules["__main__"]
        if inspect.isfunction(component):
            finish("fire", _of_signature(component))
        members = component if isinstance(component, dict) else dict(inspect.getmembers(component, inspect.isfunction))
        commands = {str(name): _of_signature(one) for name, one in members.items()
                    if inspect.isfunction(one) and not str(name).startswith("_")}  # fmt: skip
        finish("fire", _of_signature(component.__init__) if inspect.isclass(component) else [], commands)

    module.Fire = module.core.Fire = run


def _of_signature(function: Any) -> list[Document]:
    """Return the options of a function. Fire parses values as Python literals, whatever the annotation."""
    options = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        is_required = parameter.default is parameter.empty
        default = None if is_required else parameter.default
        if isinstance(default, bool):
            options.append(_option(f"no{parameter.name}" if default else parameter.name, "bool", False))
            continue
        annotation = parameter.annotation
        kind, choices = _of_hint(annotation) if annotation is not parameter.empty else ("other", [])
        kind = _KINDS.get(type(default), kind) if kind == "other" else kind
        options.append(_option(parameter.name, kind, default, choices=choices, required=is_required))
    return options


_WATCHES: dict[str, Callable[[Any, Callable[..., NoReturn]], None]] = {
    "click": _watch_click, "typer": _watch_click, "absl": _watch_absl, "fire": _watch_fire,
}  # fmt: skip

if __name__ == "__main__":
    main()
