"""Options from configurations: Hydra's, OmegaConf's, and any file whose path is passed to a script."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.config.document.value_spans import READERS, Spans, Unreadable
from orchestune.config.scripts import values
from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.proposing import propose
from orchestune.config.scripts.scope import ModuleScope, calls, keywords
from orchestune.config.scripts.signature import of_fields
from orchestune.config.sections.template import is_in_folder
from orchestune.errors import BadInput

_PACKAGE = re.compile(r"^#\s*@package:?\s+([\w.]+)", re.MULTILINE)
_NAMED_FILE = re.compile(r"""["']([\w./-]+\.(?:ya?ml|json|toml))["']""")
_NAMES = ("config", "cfg", "conf", "config-file", "config_file", "config-path", "config_path", "configuration")


def hydra(scope: ModuleScope, folder: Path) -> Script | None:
    """Return the values of the configuration of `@hydra.main` and of its defaults list, or None without it."""
    for function in scope.functions.values():
        for item in function.decorator_list:
            if isinstance(item, ast.Call) and scope.named(item.func) == "hydra.main":
                args = dict(zip(("config_path", "config_name", "version_base"), item.args, strict=False))
                return _of_main(args | keywords(item), scope, folder)
    return None


def omegaconf(tree: ast.Module, scope: ModuleScope, folder: Path) -> Script | None:
    """Return the values that `OmegaConf.load` reads, if `OmegaConf.from_cli` overrides them."""
    named_calls = [(scope.named(call.func), call) for call in calls(tree)]
    if not any(name.endswith("OmegaConf.from_cli") for name, _ in named_calls):
        return None
    options: list[Option] = []
    for name, call in named_calls:
        path = scope.or_none(call.args[0]) if call.args else None
        if name.endswith("OmegaConf.load") and isinstance(path, str) and (folder / path).is_file():
            options += values.options(values.read(folder / path, folder))
        elif name.endswith("OmegaConf.structured") and call.args:
            fields = scope.class_of(call.args[0])
            options += of_fields(fields, scope, by_name=True) if fields is not None else []
    return Script("OmegaConf", tuple(options), argument_template="{hydra}") if options else None


def by_path(script: Script | None, path: str, folder: Path) -> Script:
    """Return the values of the file at `path`, and the option by which the script gets its copy."""
    options = script.options if script else ()
    path_option = next((option for option in options if option.name in _NAMES), None)
    notes: tuple[str, ...] = ()
    if path_option is None:
        notes = (f"no option for a configuration file found: each trial has its own {path}, and its path as argument",)
        argument_template = "{config}"
    else:
        argument_template = (
            path_option.argument_template.replace(f"{{{path_option.name}}}", "{config}")
            if path_option.argument_template
            else f"--{path_option.name}={{config}}"
        )
    document = values.read(folder / path, folder)
    spans = _places(folder / path)
    varied = [option for option in values.options(document) if option.name in spans and not option.required]
    required = [option for option in options if option.required and option is not path_option]
    return Script("configuration", (*varied, *required), script.words if script else (), argument_template, path, notes)


def opened(script: Path, folder: Path) -> Script | None:
    """Return the values of a file in `folder` that the script names in its source; None if there is no such file.

    Each trial has the file with its own values in its folder, so the script needs no option for it.
    """
    try:
        source = script.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for path in dict.fromkeys(_NAMED_FILE.findall(source)):
        with suppress(BadInput, OSError, ValueError):
            if is_in_folder(folder, os.path.normpath(path)) and (folder / path).is_file():
                values_of_file = by_path(None, path, folder)
                note = f"{script.name} names {path}: each trial has that file with its own values"
                return replace(values_of_file, argument_template="", notes=(note,))
    return None


def _places(path: Path) -> Spans:
    """Return the spans of the values of a file. Raises BadInput if it cannot be parsed."""
    try:
        return READERS[path.suffix.lower()](path.read_text(encoding="utf-8"))
    except Unreadable as exc:
        raise BadInput.one(f"cannot parse {path}: {exc}") from exc


def chosen_path(options: Sequence[Option], folder: Path, values: Mapping[str, str]) -> str | None:
    """Return the existing configuration file that the script gets or reads by default, or None."""
    for option in options:
        path = values.get(option.name, option.default)
        if option.name in _NAMES and isinstance(path, str) and _is_file(path, folder):
            return path
    return None


def takes_file(name: str) -> bool:
    """Return True if an option of this name takes a configuration file."""
    return name in _NAMES


def in_command(words: Sequence[str], folder: Path) -> tuple[str, list[str]] | None:
    """Return the configuration file that a flag of the command names, and the words with `{config}` instead of it.

    Returns None if there is none, or if the command already has placeholders.
    """
    if any("{" in word for word in words):
        return None
    for index, word in enumerate(words):
        flag, equals, path = word.partition("=")
        start = f"{flag}=" if equals else ""
        if not equals and index:
            flag, path = words[index - 1], word
        name = flag.lstrip("-")
        if flag.startswith("-") and name in (*_NAMES, "c") and _is_file(path, folder):
            return path, [*words[:index], f"{start}{{config}}", *words[index + 1 :]]
    return None


def _is_file(path: str, folder: Path) -> bool:
    return Path(path).suffix.lower() in READERS and (folder / path).is_file()


def _of_main(args: dict[str, ast.expr], scope: ModuleScope, folder: Path) -> Script:
    config_path, name = scope.or_none(args.get("config_path")), scope.or_none(args.get("config_name"))
    root = folder / config_path if isinstance(config_path, str) else folder
    if not isinstance(name, str):
        return Script("Hydra", (), argument_template="{hydra}", notes=("hydra.main names no configuration",))
    path = next((root / file for file in (name, f"{name}.yaml", f"{name}.yml") if (root / file).is_file()), None)
    if path is None:
        return Script("Hydra", tuple(_stored(scope, name)), argument_template="{hydra}", notes=(
            () if any(_stored(scope, name)) else (f"the configuration {name} is not in {root}",)))  # fmt: skip
    document = values.read(path, folder)
    options = {option.name: option for group in _groups(document.pop("defaults", None), root) for option in group}
    own = values.options({key: value for key, value in document.items() if key != "hydra"})
    options |= {option.name: option for option in own}
    return Script("Hydra", tuple(options.values()), argument_template="{hydra}")


def _stored(scope: ModuleScope, name: str) -> list[Option]:
    """Return the fields of the data class that is in the ConfigStore under that name."""
    for call in calls(scope.tree):
        args = dict(zip(("name", "node", "group"), call.args, strict=False)) | keywords(call)
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr == "store"
            and scope.or_none(args.get("name")) == name
        ):
            node = scope.class_of(args.get("node"))
            if node is not None:
                return of_fields(node, scope, by_name=True)
    return []


def _groups(defaults: Any, root: Path) -> list[list[Option]]:
    """Return, for each group of the defaults list, the choice itself and the values of the chosen file."""
    groups = []
    for item in defaults if isinstance(defaults, list) else []:
        pairs = item.items() if isinstance(item, dict) else [("", item)] if isinstance(item, str) else []
        for group, choice in pairs:
            group, _, package = str(group).removeprefix("optional ").removeprefix("override ").partition("@")
            group = group.removeprefix("/")
            if isinstance(choice, str) and choice != "_self_" and not group.startswith("hydra/"):
                groups.append(_group(root, group, choice, package))
    return groups


def _group(root: Path, group: str, selected: str, package: str) -> list[Option]:
    """Return the options of a group.

    `package` is the package that the defaults list assigns, which overrides that of the file.
    """
    folder = root / group
    files = {path.stem: path for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])}
    path = files.get(selected.removesuffix(".yaml"))
    if path is None:
        return []
    prefix = _before(path, group, package)
    own = [
        one for one in values.options(values.read(path, root), prefix) if not one.name.startswith(f"{prefix}defaults")
    ]
    # with another package, the override key of the group is not a valid parameter name
    if not group or package or len(files) < 2:
        return own
    same_keys = all({one.name for one in values.options(values.read(other, root), _before(other, group, ""))}
               == {one.name for one in own} for other in files.values())  # fmt: skip
    about = "" if same_keys else "its files have different keys, so not every file has those below it"
    if same_keys and own and all(propose(one).vary for one in own):
        same_keys, about = False, "no effect while all values of its files are varied"
    choice = Option(group, "text" if same_keys else "other", selected, tuple(files), about=about)
    return [choice, *own]


def _before(path: Path, group: str, package: str) -> str:
    """Return the prefix of the value names: the package of the defaults list or of the file, otherwise its group.

    A file names its package in its first line.
    """
    declaration = _PACKAGE.search(path.read_text(encoding="utf-8"))
    package = package or (declaration[1] if declaration else "_group_")
    package = {"_global_": "", "_here_": "", "_group_": group.replace("/", ".")}.get(package, package)
    return f"{package.replace('_name_', path.stem)}." if package else ""
