"""From a script's file to its options, by whatever reads them in it."""

from __future__ import annotations

import ast
import os
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from orchestune.config.scripts import (
    by_absl,
    by_argparse,
    by_click,
    by_config,
    by_docopt,
    by_environment,
    by_fire,
    by_jsonargparse,
    by_library,
    by_pydantic,
    by_tap,
    by_text,
    by_typer,
    by_tyro,
)
from orchestune.config.scripts.option import Script
from orchestune.config.scripts.scope import ModuleScope, calls
from orchestune.errors import BadInput, Problem, UsageError

LARGEST = 4 * 2**20
LARGEST_PYTHON = 2**20
"""characters; a tree of more takes too long to read"""
MOST_MODULES = 50
_READERS = (
    by_click.read, by_typer.read, by_absl.read, by_fire.read, by_tyro.read, by_jsonargparse.read, by_tap.read,
    by_docopt.read, by_argparse.read, by_pydantic.read,
)  # fmt: skip
_INTERPRETERS = {
    ".sh": ("sh",), ".bash": ("bash",), ".zsh": ("zsh",), ".r": ("Rscript",), ".jl": ("julia",), ".js": ("node",),
    ".mjs": ("node",), ".cjs": ("node",), ".rb": ("ruby",), ".pl": ("perl",), ".lua": ("lua",), ".php": ("php",),
    ".m": ("octave",), ".jar": ("java", "-jar"), ".go": ("go", "run"), ".java": ("java",),
}  # fmt: skip
_MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
"""which `make` finds by itself"""


@dataclass(frozen=True)
class ScriptInvocation:
    """A script and how it is started; `script` is None where nothing is known of its options."""

    command: tuple[str, ...]
    script: Script | None
    where: str = ""
    """the module in which the options stand, where that is another one"""


def read(path: Path, folder: Path, python: str, config: str | None = None) -> ScriptInvocation:
    """The script at `path` within `folder`, and the configuration at `config`. BadInput where it cannot be read."""
    root = os.path.realpath(folder)  # which follows also a link to itself
    try:
        inside = Path(os.path.realpath(path)).relative_to(root)
    except ValueError:
        hint = "a file runs the code of the folder in which it lies: go there, or say -o FOLDER/experiment.yml"
        raise UsageError(f"{path} is not within {root}", hint) from None
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}", "name the script that trains your model") from exc
    first = data[:200].partition(b"\n")[0]
    if path.suffix.lower() == ".py" or (first.startswith(b"#!") and b"python" in first):
        return _of_python(path, inside, folder, python, config)
    command = _INTERPRETERS.get(path.suffix.lower())
    shell = next((name for name in ("bash", "zsh", "ksh") if first.startswith(b"#!") and name.encode() in first), None)
    if command == ("sh",) and shell:  # which understands more
        command = (shell,)
    own = str(inside) if command or len(inside.parts) > 1 else f"./{inside}"
    text = data.decode("utf-8", "replace") if b"\0" not in data[:8192] and len(data) <= LARGEST else ""
    words, suffix = (*(command or ()), own), path.suffix.lower()
    if path.name in _MAKEFILES or suffix == ".mk":
        words = ("make", *(() if str(inside) in _MAKEFILES else ("-f", str(inside))))
        script: Script | None = by_text.makefile(text)
    else:
        script = by_library.read(text, suffix) or by_text.read(text, suffix)
    return ScriptInvocation(words, by_config.by_path(script, config, folder) if config else script)


def _of_python(path: Path, inside: Path, folder: Path, python: str, config: str | None) -> ScriptInvocation:
    script, where = None, ""
    modules, known = _modules(path), dict[Path, ModuleScope]()
    for module in modules:
        tree = _parsed(module)
        scope = ModuleScope(tree)
        for beside in _imported(scope, module, path.parent):
            if beside not in known:
                known[beside] = _scope(beside)
            scope.adopt(known[beside])
        script = by_config.hydra(scope, module.parent) or by_config.omegaconf(tree, scope, folder)
        script = script or next((found for reader in _READERS if (found := reader(tree, scope)) is not None), None)
        if script is not None:
            where = "" if module == path else str(module.relative_to(path.parent))
            if script.reader == "argparse":
                script = _with_added(script, tree, scope, modules)
            break
    if script is None:
        own = _parsed(path)
        script = by_environment.read(own, ModuleScope(own))
    if config is not None:
        script = by_config.by_path(script, config, folder)
    return ScriptInvocation((python, *_started(path, inside)), script, where)


def _started(path: Path, inside: Path) -> tuple[str, ...]:
    """What follows `python`. What imports from beside itself by dots runs as a part of its package alone."""
    dotted = any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(_parsed(path)))
    parts = inside.with_suffix("").parts
    if not dotted or len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return (str(inside),)
    return "-m", ".".join(parts[:-1] if parts[-1] == "__main__" else parts)


def _scope(path: Path) -> ModuleScope:
    """What a module names; nothing where it cannot be read."""
    try:
        return ModuleScope(_parsed(path))
    except BadInput:
        return ModuleScope(ast.Module([], []))


def _with_added(script: Script, tree: ast.Module, scope: ModuleScope, modules: Iterator[Path]) -> Script:
    """The script with the options that functions of other modules add where it calls them."""
    called = {scope.named(call.func).rpartition(".")[2] for call in calls(tree)}
    options = list(script.options)
    for module in modules:
        try:
            other = _parsed(module)
        except BadInput:
            continue
        adding = [item for item in other.body if isinstance(item, ast.FunctionDef) and item.name in called]
        found = by_argparse.read(ast.Module(list(adding), []), ModuleScope(other))
        known = {option.name for option in options}
        options += [option for option in (found.options if found else ()) if option.name not in known]
    return replace(script, options=tuple(options))


def _parsed(path: Path) -> ast.Module:
    try:
        with tokenize.open(path) as file:  # as the coding line says
            text = file.read(LARGEST_PYTHON + 1)
        if len(text) > LARGEST_PYTHON:
            raise BadInput.one(f"{path} is longer than {LARGEST_PYTHON:,} characters: that is data, not a script")
        return ast.parse(text, str(path))
    except SyntaxError as exc:
        raise BadInput([Problem(f"is no Python: {exc.msg}", "", str(path), exc.lineno, exc.offset)]) from exc
    except (OSError, ValueError, RecursionError, MemoryError) as exc:
        raise BadInput.one(f"{path} cannot be read: {exc}") from exc


def _modules(path: Path) -> Iterator[Path]:
    """The script, then the modules beside it that it imports, nearest first."""
    waiting, seen = [path], {path}
    while waiting and len(seen) <= MOST_MODULES:
        module = waiting.pop(0)
        yield module
        try:
            tree = _parsed(module)
        except BadInput:
            continue
        for found in _imported(ModuleScope(tree), module, path.parent):
            if found not in seen:
                seen.add(found)
                waiting.append(found)


def _imported(scope: ModuleScope, module: Path, root: Path) -> list[Path]:
    """The files within the script's folder from which the module imports, each once."""
    found = [_beside(name, module, root) for name in scope.imports.values()]
    return [path for path in dict.fromkeys(found) if path is not None and path != module]


def _beside(name: str, module: Path, root: Path) -> Path | None:
    """The file of an imported module within the script's folder."""
    dots = len(name) - len(name.lstrip("."))
    start = module.parents[dots - 1] if dots and dots <= len(module.parents) else root
    parts = [part for part in name.lstrip(".").split(".") if part]
    for length in range(len(parts), 0, -1):
        for candidate in (
            start.joinpath(*parts[:length]).with_suffix(".py"),
            start.joinpath(*parts[:length], "__init__.py"),
        ):
            if candidate.is_file() and candidate.resolve().is_relative_to(root.resolve()):
                return candidate
    return None
