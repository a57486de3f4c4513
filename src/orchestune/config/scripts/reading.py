"""Reads the options of a script file, whatever library parses them."""

from __future__ import annotations

import ast
import os
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestune.config.scripts import (
    argparse_options,
    click_options,
    config_files,
    constant_options,
    docopt_options,
    environment_options,
    library_options,
    pydantic_options,
    text_options,
    typer_options,
)
from orchestune.config.scripts.option import Script
from orchestune.config.scripts.proposing import propose
from orchestune.config.scripts.scope import ModuleScope, calls
from orchestune.errors import BadInput, Problem, UsageError

MAX_BYTES = 4 * 2**20
MAX_PYTHON_CHARACTERS = 2**20
"""characters; parsing more takes too long"""
MAX_MODULES = 50
_READERS = (click_options.read, typer_options.read, docopt_options.read, argparse_options.read, pydantic_options.read)
_INTERPRETERS = {
    ".sh": ("sh",), ".bash": ("bash",), ".zsh": ("zsh",), ".r": ("Rscript",), ".jl": ("julia",), ".js": ("node",),
    ".mjs": ("node",), ".cjs": ("node",), ".rb": ("ruby",), ".pl": ("perl",), ".lua": ("lua",), ".php": ("php",),
    ".m": ("octave",), ".jar": ("java", "-jar"), ".go": ("go", "run"), ".java": ("java",),
}  # fmt: skip
_MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
"""file names that `make` finds by itself"""


Probe = Callable[[Sequence[str], Sequence[str]], Script | None]
"""returns the options of `python ARGUMENTS` from the parser that it builds with one of the libraries, or None"""
_PARSERS = {
    "typer": "typer", "click": "click", "rich_click": "click", "absl.app": "absl", "absl.flags": "absl", "fire": "fire",
    "tyro": "tyro", "jsonargparse": "jsonargparse", "tap": "tap", "simple_parsing": "simple_parsing",
    "lightning.pytorch.cli": "jsonargparse", "pytorch_lightning.cli": "jsonargparse",
    "transformers.HfArgumentParser": "HfArgumentParser", "argparse": "argparse",
}  # fmt: skip
"""libraries that build the parser, most specific first, by what is imported from them"""


@dataclass(frozen=True)
class ScriptInvocation:
    """A script and the command that starts it; `script` is None if its options are unknown."""

    command: tuple[str, ...]
    script: Script | None
    module: str = ""
    """the module that declares the options, if it is not the script"""


def read(
    path: Path, folder: Path, python: str, config: str | None = None, probe: Probe | None = None
) -> ScriptInvocation:
    """Read the script at `path` within `folder`, and the configuration at `config`.

    A Python script that imports a known parser is read by `probe`, and from its source if that fails.

    Raises UsageError or BadInput if they cannot be read.
    """
    root = os.path.realpath(folder)  # also resolves a link to itself
    try:
        relative = Path(os.path.realpath(path)).relative_to(root)
    except ValueError:
        hint = (
            "an experiment file runs the code of its own folder: change to that folder, or use -o FOLDER/experiment.yml"
        )
        raise UsageError(f"{path} is outside {root}", hint) from None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}", "name the script that trains your model") from exc
    first_line = content[:200].partition(b"\n")[0]
    if path.suffix.lower() == ".py" or (first_line.startswith(b"#!") and b"python" in first_line):
        return _of_python(path, relative, folder, python, config, probe)
    command = _INTERPRETERS.get(path.suffix.lower())
    shell = next(
        (name for name in ("bash", "zsh", "ksh") if first_line.startswith(b"#!") and name.encode() in first_line), None
    )
    if command == ("sh",) and shell:  # a superset of sh
        command = (shell,)
    program = str(relative) if command or len(relative.parts) > 1 else f"./{relative}"
    text = content.decode("utf-8", "replace") if b"\0" not in content[:8192] and len(content) <= MAX_BYTES else ""
    words, suffix = (*(command or ()), program), path.suffix.lower()
    if path.name in _MAKEFILES or suffix == ".mk":
        words = ("make", *(() if str(relative) in _MAKEFILES else ("-f", str(relative))))
        script: Script | None = text_options.makefile(text)
    else:
        script = library_options.read(text, suffix) or text_options.read(text, suffix)
    if config is not None:
        return ScriptInvocation(words, config_files.by_path(script, config, folder))
    return ScriptInvocation(words, _or_constants(script, [path], folder) or config_files.opened(path, folder))


def _of_python(
    path: Path, relative: Path, folder: Path, python: str, config: str | None, probe: Probe | None
) -> ScriptInvocation:
    arguments = _python_arguments(path, relative)
    libraries = _parser_libraries(path) if probe is not None else []
    script = probe(arguments, libraries) if probe is not None and libraries else None
    module_name = ""
    modules, scopes = _modules(path) if script is None else iter(()), dict[Path, ModuleScope]()
    for module in modules:
        tree = _parse(module)
        scope = ModuleScope(tree)
        for imported_file in _imported(scope, module, path.parent):
            if imported_file not in scopes:
                scopes[imported_file] = _scope(imported_file)
            scope.adopt(scopes[imported_file])
        script = config_files.hydra(scope, module.parent) or config_files.omegaconf(tree, scope, folder)
        script = script or next((options for reader in _READERS if (options := reader(tree, scope)) is not None), None)
        if script is not None:
            module_name = "" if module == path else str(module.relative_to(path.parent))
            if script.reader == "argparse":
                script = _with_added(script, tree, scope, modules)
            break
    if script is None:
        script_tree = _parse(path)
        script = environment_options.read(script_tree, ModuleScope(script_tree))
    if config is not None:
        script = config_files.by_path(script, config, folder)
    else:
        script = _or_constants(script, _modules(path), folder) or config_files.opened(path, folder)
    return ScriptInvocation((python, *arguments), script, module_name)


def _parser_libraries(path: Path) -> list[str]:
    """Return the known libraries of parsers that a script or its own modules import, most specific first.

    There are none if it uses Hydra or OmegaConf, whose options are those of its configuration.
    """
    imports = [f"{name}." for module in _modules(path) for name in _scope(module).imports.values()]
    if any(one.startswith(("hydra.", "omegaconf.")) for one in imports):
        return []
    libraries = [library for name, library in _PARSERS.items() if any(one.startswith(f"{name}.") for one in imports)]
    return list(dict.fromkeys(libraries))


def _or_constants(script: Script | None, files: Iterable[Path], folder: Path) -> Script | None:
    """Return the constants of the script if none of its options is worth a search; its required options are kept."""
    options = [option for group in (script.options, *script.commands.values()) for option in group] if script else []
    if any(propose(option).vary or config_files.takes_file(option.name) for option in options):
        return script
    if script is not None and (script.config or script.argument_template in ("{hydra}", "{config}")):
        return script
    constants = constant_options.read(files, folder)
    if constants is None or script is None:
        return constants or script
    required = tuple(option for option in script.options if option.required)
    return replace(constants, options=(*constants.options, *required), words=script.words)


def _python_arguments(path: Path, relative: Path) -> tuple[str, ...]:
    """Return the arguments of `python`. A script with relative imports only runs as a module of its package."""
    is_relative = any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(_parse(path)))
    parts = relative.with_suffix("").parts
    if not is_relative or len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return (str(relative),)
    return "-m", ".".join(parts[:-1] if parts[-1] == "__main__" else parts)


def _scope(path: Path) -> ModuleScope:
    """Return the scope of a module, empty if it cannot be parsed."""
    try:
        return ModuleScope(_parse(path))
    except BadInput:
        return ModuleScope(ast.Module([], []))


def _with_added(script: Script, tree: ast.Module, scope: ModuleScope, modules: Iterator[Path]) -> Script:
    """Add the options that functions of other modules add when the script calls them."""
    called_functions = {scope.named(call.func).rpartition(".")[2] for call in calls(tree)}
    options = list(script.options)
    for module in modules:
        try:
            other = _parse(module)
        except BadInput:
            continue
        functions = [item for item in other.body if isinstance(item, ast.FunctionDef) and item.name in called_functions]
        added = argparse_options.read(ast.Module(list(functions), []), ModuleScope(other))
        names = {option.name for option in options}
        options += [option for option in (added.options if added else ()) if option.name not in names]
    return replace(script, options=tuple(options))


def _parse(path: Path) -> ast.Module:
    try:
        with tokenize.open(path) as file:  # in the declared encoding
            text = file.read(MAX_PYTHON_CHARACTERS + 1)
        if len(text) > MAX_PYTHON_CHARACTERS:
            raise BadInput.one(f"{path} is too long for a script (maximum {MAX_PYTHON_CHARACTERS:,} characters)")
        return ast.parse(text, str(path))
    except SyntaxError as exc:
        raise BadInput([Problem(f"not valid Python: {exc.msg}", "", str(path), exc.lineno, exc.offset)]) from exc
    except (OSError, ValueError, RecursionError, MemoryError) as exc:
        raise BadInput.one(f"cannot read {path}: {exc}") from exc


def _modules(path: Path) -> Iterator[Path]:
    """Yield the script, then the modules beside it that it imports, nearest first."""
    queue, queued = [path], {path}
    while queue and len(queued) <= MAX_MODULES:
        module = queue.pop(0)
        yield module
        try:
            tree = _parse(module)
        except BadInput:
            continue
        for imported_file in _imported(ModuleScope(tree), module, path.parent):
            if imported_file not in queued:
                queued.add(imported_file)
                queue.append(imported_file)


def _imported(scope: ModuleScope, module: Path, root: Path) -> list[Path]:
    """Return the files in the script's folder from which the module imports, each once."""
    paths = [_module_file(name, module, root) for name in scope.imports.values()]
    return [path for path in dict.fromkeys(paths) if path is not None and path != module]


def _module_file(name: str, module: Path, root: Path) -> Path | None:
    """Return the file of an imported module in the script's folder, or None."""
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
