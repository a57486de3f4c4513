"""Options that stand in a configuration: Hydra's, OmegaConf's, and any file that a script is given by its path."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestune.config.document.value_spans import READERS, Spans, Unreadable
from orchestune.config.scripts import values
from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.proposing import propose
from orchestune.config.scripts.scope import ModuleScope, calls, keywords
from orchestune.config.scripts.signature import of_fields
from orchestune.errors import BadInput

_PACKAGE = re.compile(r"^#\s*@package:?\s+([\w.]+)", re.MULTILINE)
_NAMES = ("config", "cfg", "conf", "config-file", "config_file", "config-path", "config_path", "configuration")


def hydra(scope: ModuleScope, folder: Path) -> Script | None:
    """The configuration that `@hydra.main` names, with those that its defaults choose. None without it."""
    for function in scope.functions.values():
        for item in function.decorator_list:
            if isinstance(item, ast.Call) and scope.named(item.func) == "hydra.main":
                given = dict(zip(("config_path", "config_name", "version_base"), item.args, strict=False))
                return _of_main(given | keywords(item), scope, folder)
    return None


def omegaconf(tree: ast.Module, scope: ModuleScope, folder: Path) -> Script | None:
    """What `OmegaConf.load` reads, where `OmegaConf.from_cli` puts words of the command over it."""
    named = [(scope.named(call.func), call) for call in calls(tree)]
    if not any(name.endswith("OmegaConf.from_cli") for name, _ in named):
        return None
    found: list[Option] = []
    for name, call in named:
        path = scope.or_none(call.args[0]) if call.args else None
        if name.endswith("OmegaConf.load") and isinstance(path, str) and (folder / path).is_file():
            found += values.options(values.read(folder / path))
        elif name.endswith("OmegaConf.structured") and call.args:
            fields = scope.class_of(call.args[0])
            found += of_fields(fields, scope, by_name=True) if fields is not None else []
    return Script("OmegaConf", tuple(found), way="{hydra}") if found else None


def by_path(script: Script | None, path: str, folder: Path) -> Script:
    """The values of the file at `path`, and how the script is given its copy: by the option that is called so."""
    options = script.options if script else ()
    taker = next((option for option in options if option.name in _NAMES), None)
    notes: tuple[str, ...] = ()
    if taker is None:
        notes = ("how the script takes its configuration is not known: its path stands last",)
        word = "{config}"
    else:
        word = taker.word.replace(f"{{{taker.name}}}", "{config}") if taker.word else f"--{taker.name}={{config}}"
    read = values.read(folder / path)
    known = _places(folder / path)
    found = [option for option in values.options(read) if option.name in known and not option.required]
    needed = [option for option in options if option.required and option is not taker]
    return Script("configuration", (*found, *needed), script.words if script else (), word, path, notes)


def _places(path: Path) -> Spans:
    """Where its values stand. BadInput where that cannot be told of a file that can be read."""
    try:
        return READERS[path.suffix.lower()](path.read_text(encoding="utf-8"))
    except Unreadable as exc:
        raise BadInput.one(f"{path} cannot be read: {exc}") from exc


def chosen_path(options: Sequence[Option], folder: Path, given: Mapping[str, str]) -> str | None:
    """The configuration file that the script is given, or reads by default, where there is one."""
    for option in options:
        path = given.get(option.name, option.default)
        if option.name in _NAMES and isinstance(path, str) and _is_file(path, folder):
            return path
    return None


def takes_file(name: str) -> bool:
    """Whether an option that is called so takes a configuration file."""
    return name in _NAMES


def in_command(words: Sequence[str], folder: Path) -> tuple[str, list[str]] | None:
    """The configuration file that a command without placeholders names by a flag, and the words with `{config}`.

    None where it names none.
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


def _of_main(said: dict[str, ast.expr], scope: ModuleScope, folder: Path) -> Script:
    where, name = scope.or_none(said.get("config_path")), scope.or_none(said.get("config_name"))
    root = folder / where if isinstance(where, str) else folder
    if not isinstance(name, str):
        return Script("Hydra", (), way="{hydra}", notes=("hydra.main names no configuration",))
    path = next((root / file for file in (name, f"{name}.yaml", f"{name}.yml") if (root / file).is_file()), None)
    if path is None:
        return Script("Hydra", tuple(_stored(scope, name)), way="{hydra}", notes=(
            () if any(_stored(scope, name)) else (f"the configuration {name} is not in {root}",)))  # fmt: skip
    found = values.read(path)
    options = {option.name: option for group in _groups(found.pop("defaults", None), root) for option in group}
    own = values.options({key: value for key, value in found.items() if key != "hydra"})
    options |= {option.name: option for option in own}
    return Script("Hydra", tuple(options.values()), way="{hydra}")


def _stored(scope: ModuleScope, name: str) -> list[Option]:
    """The fields of the data class that the store of configurations holds under that name."""
    for call in calls(scope.tree):
        said = dict(zip(("name", "node", "group"), call.args, strict=False)) | keywords(call)
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr == "store"
            and scope.or_none(said.get("name")) == name
        ):
            node = scope.class_of(said.get("node"))
            if node is not None:
                return of_fields(node, scope, by_name=True)
    return []


def _groups(defaults: Any, root: Path) -> list[list[Option]]:
    """For each group that the defaults choose from: the choice itself, and the values of what is chosen."""
    found = []
    for item in defaults if isinstance(defaults, list) else []:
        pairs = item.items() if isinstance(item, dict) else [("", item)] if isinstance(item, str) else []
        for group, chosen in pairs:
            group, _, package = str(group).removeprefix("optional ").removeprefix("override ").partition("@")
            group = group.removeprefix("/")
            if isinstance(chosen, str) and chosen != "_self_" and not group.startswith("hydra/"):
                found.append(_group(root, group, chosen, package))
    return found


def _group(root: Path, group: str, chosen: str, package: str) -> list[Option]:
    """`package`: where the defaults put its values, in the place of what its file says."""
    folder = root / group
    files = {path.stem: path for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])}
    path = files.get(chosen.removesuffix(".yaml"))
    if path is None:
        return []
    before = _before(path, group, package)
    own = [one for one in values.options(values.read(path), before) if not one.name.startswith(f"{before}defaults")]
    if not group or package or len(files) < 2:  # what is put elsewhere is chosen by a name that no parameter has
        return own
    same = all({one.name for one in values.options(values.read(other), _before(other, group, ""))}
               == {one.name for one in own} for other in files.values())  # fmt: skip
    about = "" if same else "its files hold different values, so those below it are not in every one"
    if same and own and all(propose(one).vary for one in own):
        same, about = False, "decides nothing while all that its files hold is varied"
    choice = Option(group, "text" if same else "other", chosen, tuple(files), about=about)
    return [choice, *own]


def _before(path: Path, group: str, package: str) -> str:
    """What stands before the names of its values: the package that the defaults or its first line say, or its group."""
    said = _PACKAGE.search(path.read_text(encoding="utf-8"))
    package = package or (said[1] if said else "_group_")
    package = {"_global_": "", "_here_": "", "_group_": group.replace("/", ".")}.get(package, package)
    return f"{package.replace('_name_', path.stem)}." if package else ""
