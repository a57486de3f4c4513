"""Reading an experiment file: `load` from disk, `parse` from text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestune.config.assemble import assemble
from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import Entries, Node, ScalarNode, built, shown
from orchestune.config.document.report import Field, ProblemReport
from orchestune.config.document.text_file import read_text
from orchestune.config.keys import EXPERIMENT, KEYS
from orchestune.config.sections.placement import Build
from orchestune.config.sources import sigopt_modules
from orchestune.config.sources.command_line import COMMAND_LINE, complain, describe
from orchestune.config.sources.description import Description
from orchestune.config.sources.draft import Draft
from orchestune.config.sources.orchestrate import RUN_FILE, converted, is_older, with_run_file
from orchestune.config.sources.overrides import apply, put
from orchestune.config.sources.recognize import refuse
from orchestune.domain.search.warm_start import WarmStarts
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput, Problem


@dataclass(frozen=True)
class Loaded:
    """An experiment as its file describes it."""

    specification: Specification
    code: CodeSettings
    build: Build
    notes: tuple[str, ...]
    """what a reader of the plan should know, though nothing is wrong"""
    path: Path
    folder: Path
    """in which the file lies: that of the code"""
    document: Entries
    """everything that was read, what a command line set included"""
    warm_start: WarmStarts = WarmStarts()


def load(
    path: Path,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    described: Description | None = None,
) -> Loaded:
    """The experiment in the file at `path`, with what `described` says and each `KEY=VALUE` of `overrides` set.

    BadInput tells everything that is wrong. With `environ`, the shell's environment, a note tells which secrets are
    not set in it. Reads that file and those that its keys `config` and `warm_start` name; writes nothing.
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
    """The same for a text; `name` is what messages call the file, `path` where it lies."""
    report = ProblemReport()
    root = compose(text, name, report)
    if not isinstance(root, Entries):
        raise BadInput([_no_mapping(root)])
    refuse(root)
    older, root = is_older(root), converted(root, report)
    modules: tuple[str, ...] = ()
    if path is not None and not (described and described.command):
        root = with_command_beside(root, path, report)
        modules = sigopt_modules.wanted(root, path.parent) if older else ()
    if modules:
        report.notes.append(f"its scripts ask a service that is gone; {modules[0]} of ours goes with them in its place")
    root = describe(described or Description(), root, report)
    loaded = _experiment(apply(root, overrides, report), report, environ, path or Path(name))
    return replace(loaded, code=replace(loaded.code, modules=modules))


def with_command_beside(root: Entries, path: Path, report: ProblemReport) -> Entries:
    """Where no command stands: that of the file beside it, as the later client of SigOpt Orchestrate has it."""
    beside = path.parent / RUN_FILE
    if root.get("run") is not None or not beside.is_file():
        return root
    run = compose(_read(beside), str(beside), report)
    if not isinstance(run, Entries) or run.get("run") is None:
        return root
    return with_run_file(root, run, (path.parent / "Dockerfile").is_file(), report)


def without_file(described: Description, folder: Path, overrides: Sequence[str] = ()) -> Loaded:
    """The same for an experiment that words of the command line describe, of the code in `folder`."""
    report = ProblemReport()
    root = apply(describe(described, Entries(COMMAND_LINE, ()), report), overrides, report)
    if described.once and root.get("budget") is None:
        root = put(root, "budget", ScalarNode(COMMAND_LINE, "1", 1), COMMAND_LINE, report)
    complain(root, report)
    return _experiment(root, report, None, folder / "experiment.yml")


def drafted(draft: Draft, described: Description, path: Path) -> Loaded:
    """The same for a draft, which a file at `path` is to hold, with what the words of the command line say over it.

    Where the defaults are a configuration of the space, it is the first one.
    """
    report = ProblemReport()
    root = describe(described, draft.document, report)
    complain(root, report)
    loaded = _experiment(_ordered(root), report, None, path)
    space = loaded.specification.space
    first = {name: draft.defaults[name] for name in space.by_name if name in draft.defaults}
    if not first or loaded.specification.try_first or space.configuration_problems(first):
        return loaded
    key = ScalarNode(draft.document.place, "try_first", "try_first")
    return _experiment(_ordered(root.with_entry(key, built([first], key.place))), report, None, path)


def _ordered(root: Entries) -> Entries:
    """The keys in the order in which the reference has them."""
    order = {key.name: index for index, key in enumerate(KEYS)}
    entries = sorted(root.entries, key=lambda entry: order.get(entry[0].text, len(order)))
    return Entries(root.place, tuple(entries), root.size)


def _experiment(root: Entries, report: ProblemReport, environ: Mapping[str, str] | None, path: Path) -> Loaded:
    top = Field(root, "", report)
    values = EXPERIMENT.read(top) or {}
    folder = Path(os.path.realpath(path.absolute().parent))  # a link lies where it is, not where it leads
    specification, code, build, warm = assemble(top, values, folder)
    for secret in specification.secrets:
        kind, _, place = secret.source.partition(":")
        if kind == "env" and environ is not None and place not in environ:
            report.notes.append(f"secrets.{secret.name}: the variable {place} is not set in this shell")
    return Loaded(specification, code, build, tuple(dict.fromkeys(report.notes)), path, folder, root, warm)


def _read(path: Path) -> str:
    if str(path) == "-" or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)):
        hint = "save it in the folder of the code, and name that file"
        raise BadInput(
            [Problem("is no file: the folder of an experiment's file is its code", file=str(path), hint=hint)]
        )
    return read_text(path, "an experiment file", "`orchestune init SCRIPT` writes one; -f FILE names another")


def _no_mapping(root: Node) -> Problem:
    needed = ", ".join(key.name for key in KEYS if key.required)
    if isinstance(root, ScalarNode) and root.value is None:
        message = "the file is empty"
    else:
        message = f"found {shown(root)}, expected a mapping of keys to values"
    hint = f"an experiment has at least {needed} and budget"
    return Problem(message, "", root.place.file, root.place.line, root.place.column, hint)
