"""Loads an experiment file: `load` from disk, `parse` from text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestune.config.assemble import assemble
from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import Entries, Node, ScalarNode, node_of, summary
from orchestune.config.document.report import Field, ProblemReport
from orchestune.config.document.text_file import read_text
from orchestune.config.keys import EXPERIMENT, KEYS
from orchestune.config.sections.placement import Build
from orchestune.config.sources import sigopt_modules
from orchestune.config.sources.command_line import COMMAND_LINE, describe, report_missing
from orchestune.config.sources.description import Description
from orchestune.config.sources.draft import Draft
from orchestune.config.sources.orchestrate import RUN_FILE, converted, is_older, with_run_file
from orchestune.config.sources.overrides import apply, put
from orchestune.config.sources.recognize import refuse
from orchestune.config.sources.script_constants import proposed, with_constants
from orchestune.domain.search.warm_start import WarmStarts
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput, Problem
from orchestune.system.project_root import FILE, ProjectRoot, is_planted, project_root, root_at


@dataclass(frozen=True)
class Loaded:
    """An experiment as described by its file."""

    specification: Specification
    code: CodeSettings
    build: Build
    notes: tuple[str, ...]
    """remarks for the reader of the plan; none of them is a problem"""
    path: Path
    folder: Path
    """folder of the file, in which the command runs"""
    project: ProjectRoot
    """folder that is uploaded as the code: `folder` or one above it"""
    document: Entries
    """the complete document, with the values set on the command line"""
    warm_start: WarmStarts = WarmStarts()


def load(
    path: Path,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    described: Description | None = None,
) -> Loaded:
    """Load the experiment file at `path`, with the options `described` and each `KEY=VALUE` of `overrides` applied.

    Raises BadInput with all problems. With `environ`, the shell's environment, a note lists the secrets that it lacks.
    Reads the file and those named by its keys `config` and `warm_start`; writes nothing.
    """
    return parse(_read(path), str(path), overrides, environ, path, described)


def parse(
    text: str,
    name: str,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    path: Path | None = None,
    described: Description | None = None,
) -> Loaded:
    """Parse the text of an experiment file. `name` is the file's name in messages, `path` its path on disk."""
    report = ProblemReport()
    root = compose(text, name, report)
    if not isinstance(root, Entries):
        raise BadInput([_no_mapping(root)])
    refuse(root)
    older, root = is_older(root), converted(root, report)
    modules: tuple[str, ...] = ()
    if path is not None and not (described and described.command):
        root = with_sibling_command(root, path, report)
        modules = sigopt_modules.missing_modules(root, path.parent) if older else ()
    if modules:
        report.notes.append(f"its scripts use the discontinued SigOpt service; {modules[0]} replaces its module")
    root = describe(described or Description(), root, report)
    loaded = _experiment(apply(root, overrides, report), report, environ, path or Path(name))
    return replace(loaded, code=replace(loaded.code, modules=modules))


def with_sibling_command(root: Entries, path: Path, report: ProblemReport) -> Entries:
    """Add the command from the run file next to it if the experiment has none.

    Files of later SigOpt Orchestrate clients are split like that. Raises BadInput if any other user could create it.
    """
    run_file = path.parent / RUN_FILE
    if root.get("run") is not None or not run_file.is_file():
        return root
    if is_planted(run_file):
        text = f"'{run_file}' belongs to another user, in a folder where every user can create files"
        raise BadInput.one(text, "run", "write the command into the experiment file")
    run_document = compose(_read(run_file), str(run_file), report)
    if not isinstance(run_document, Entries) or run_document.get("run") is None:
        return root
    return with_run_file(root, run_document, (path.parent / "Dockerfile").is_file(), report)


def without_file(described: Description, folder: Path, overrides: Sequence[str] = ()) -> Loaded:
    """Build an experiment that is described only on the command line, for the code in `folder`."""
    report = ProblemReport()
    root = apply(describe(described, Entries(COMMAND_LINE, ()), report), overrides, report)
    root = with_constants(root, folder, report.notes)
    if described.once and root.get("budget") is None:
        root = put(root, "budget", ScalarNode(COMMAND_LINE, "1", 1), COMMAND_LINE, report)
    report_missing(root, report, proposed(root, folder))
    path = folder / FILE
    return _experiment(_with_root(root, path, report), report, None, path)


def drafted(draft: Draft, described: Description, path: Path) -> Loaded:
    """Build the experiment of a draft that is to be saved at `path`, with the command-line options applied to it.

    If the defaults are a valid configuration, it becomes the first trial.
    """
    report = ProblemReport()
    root = _with_root(describe(described, draft.document, report), path, report, rewritten=True)
    report_missing(root, report)
    loaded = _experiment(_ordered(root), report, None, path)
    space = loaded.specification.space
    first = {name: draft.defaults[name] for name in space.by_name if name in draft.defaults}
    if not first or loaded.specification.try_first or space.configuration_problems(first):
        return loaded
    key = ScalarNode(draft.document.position, "try_first", "try_first")
    return _experiment(_ordered(root.with_entry(key, node_of([first], key.position))), report, None, path)


def _ordered(root: Entries) -> Entries:
    """Sort the keys in the order of the reference."""
    order = {key.name: index for index, key in enumerate(KEYS)}
    entries = sorted(root.entries, key=lambda entry: order.get(entry[0].text, len(order)))
    return Entries(root.position, tuple(entries), root.size)


def _experiment(root: Entries, report: ProblemReport, environ: Mapping[str, str] | None, path: Path) -> Loaded:
    top = Field(root, "", report)
    values = EXPERIMENT.read(top) or {}
    folder = Path(os.path.realpath(path.absolute().parent))  # a symlinked file belongs to the folder of the link
    specification, code, build, warm = assemble(top, values, folder)
    for secret in specification.secrets:
        kind, _, name = secret.source.partition(":")
        if kind == "env" and environ is not None and name not in environ:
            report.notes.append(f"secrets.{secret.name}: the variable {name} is not set in this shell")
    project = _project(code, path, folder)
    relative = os.path.relpath(folder, project.path)
    code = replace(code, folder="" if relative == os.curdir else relative)
    return Loaded(specification, code, build, tuple(dict.fromkeys(report.notes)), path, folder, project, root, warm)


def _with_root(root: Entries, path: Path, report: ProblemReport, *, rewritten: bool = False) -> Entries:
    """Add the root of the project to the document of a file that is to be written to `path`, if it is above.

    Otherwise the new file would mark its own folder as the root, as one there does that is not to be `rewritten`.
    """
    folder = Path(os.path.realpath(path.absolute().parent))
    project = project_root(folder, rewritten=rewritten)
    code = root.get("code")
    if project.path == folder or (isinstance(code, Entries) and code.get("root") is not None):
        return root
    relative = os.path.relpath(project.path, folder)
    return put(root, "code.root", ScalarNode(COMMAND_LINE, relative, relative), COMMAND_LINE, report)


def _project(code: CodeSettings, path: Path, folder: Path) -> ProjectRoot:
    """Return the root of the project of an experiment file, which may not exist yet."""
    detected = ProjectRoot(folder, FILE) if path.name == FILE and not code.root else project_root(folder)
    root = root_at(code.root, folder) if code.root else detected.path
    return detected if root == detected.path else ProjectRoot(root, "code.root")


def _read(path: Path) -> str:
    if str(path) == "-" or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)):
        hint = "save it in the folder of the code and pass that path"
        raise BadInput(
            [
                Problem(
                    "not a regular file (the folder of the experiment file is uploaded as its code)",
                    file=str(path),
                    hint=hint,
                )
            ]
        )
    return read_text(
        path, "an experiment file", "create one with `orchestune init SCRIPT`, or name another file with -f FILE"
    )


def _no_mapping(root: Node) -> Problem:
    required = ", ".join(key.name for key in KEYS if key.required)
    if isinstance(root, ScalarNode) and root.value is None:
        message = "the file is empty"
    else:
        message = f"found {summary(root)}, expected a mapping from keys to values"
    hint = f"an experiment needs at least {required} and budget"
    return Problem(message, "", root.position.file, root.position.line, root.position.column, hint)
