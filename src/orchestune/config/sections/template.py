"""The keys `config` and `constants`: files of the user's code, split into parts at the values of parameters."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from orchestune.config.document import constants
from orchestune.config.document.constants import Constant, Constants
from orchestune.config.document.kinds import string
from orchestune.config.document.report import Field
from orchestune.config.document.value_spans import READERS, Unreadable
from orchestune.domain.specification.command_channels import ConfigTemplate, ConstantTemplate, Parts
from orchestune.domain.words import brief_list, did_you_mean
from orchestune.system.project_root import is_hidden_elsewhere

MAX_BYTES = 256 * 1024
MAX_SCRIPT_BYTES = 1024 * 1024  # its lines alone travel with the specification
CONFIG = string("the path of a YAML, JSON or TOML file", most=1000)
CONSTANTS = string("the path of a Python or R script", most=1000)


def config_file(
    field: Field, path: str, folder: Path, names: Sequence[str], placed: Collection[str]
) -> ConfigTemplate | None:
    """Read the file at `path` within `folder` as a template for the parameters `names`. Problems are reported.

    Parameters in `placed` may be absent from it: they reach the command another way.
    """
    reader = READERS.get(PurePosixPath(path).suffix.lower())
    content = _read(field, path, folder, READERS, MAX_BYTES)
    if reader is None or content is None:
        return None
    try:
        spans = reader(content)
    except Unreadable as exc:
        field.reject(f"cannot parse {path}: {exc}")
        return None
    _report_missing(field, path, [name for name in names if name not in spans and name not in placed], list(spans))
    parts: list[str | tuple[str, str]] = []
    position = 0
    for start, end, name in sorted((*spans[name], name) for name in names if name in spans):
        gap = " " if start == end else ""  # the key has no value
        parts += [content[position:start] + gap, (name, content[start:end])]
        position = end
    in_folder = str(PurePosixPath(path)) if is_in_folder(folder, str(PurePosixPath(path))) else ""
    return ConfigTemplate(PurePosixPath(path).name, (*parts, content[position:]), in_folder)


def constant_lines(
    field: Field, path: str, folder: Path, names: Sequence[str], placed: Collection[str]
) -> ConstantTemplate | None:
    """Locate the constants of the script at `path` within `folder` that are parameters. Problems are reported.

    Parameters in `placed` may be absent from it: they reach the command another way.
    """
    reader = constants.READERS.get(PurePosixPath(path).suffix.lower())
    content = _read(field, path, folder, constants.READERS, MAX_SCRIPT_BYTES)
    if reader is None or content is None:
        return None
    path = str(PurePosixPath(path))
    if not is_in_folder(folder, path):
        field.reject(f"{path} is a link, and a trial's copy of it would be the file itself", "name the file")
        return None
    try:
        by_name = reader(content)
    except constants.Unparsable as exc:
        field.reject(f"cannot parse {path}: {exc}")
        return None
    for name in names:
        if name not in by_name and name not in placed:
            hint = did_you_mean(name, by_name) or (f"constants: {brief_list(list(by_name))}" if by_name else "")
            field.reject(f"{path} has no constant '{name}' (expected a literal assigned once at the top level)", hint)
    return template(path, content, {name: by_name[name] for name in names if name in by_name})


def relocated(old: ConstantTemplate, folder: Path) -> ConstantTemplate:
    """Locate the same constants in the changed code of `folder`; unchanged if that is impossible.

    A link is not followed: the experiment may be another user's, who would read lines of a file elsewhere.
    """
    try:
        if not is_in_folder(folder, old.path):
            return old
        content = (folder / old.path).read_text(encoding="utf-8")
        by_name = constants.READERS[PurePosixPath(old.path).suffix.lower()](content)
        return template(old.path, content, {name: by_name[name] for name in old.names})
    except (OSError, ValueError, KeyError):  # the trial's error says which line is missing
        return old


def is_in_folder(folder: Path, path: str) -> bool:
    """Return True if the path leads to a file in the folder without a link."""
    root, target = os.path.realpath(folder), os.path.realpath(folder / path)
    return target == os.path.join(root, path) and target.startswith(root + os.sep)


def template(path: str, content: str, by_name: Constants) -> ConstantTemplate:
    """Split the lines of a script at these constants."""
    by_line: dict[int, list[tuple[Constant, str]]] = {}
    for name, constant in by_name.items():
        by_line.setdefault(constant.line, []).append((constant, name))
    rows = content.split("\n")
    return ConstantTemplate(
        path, tuple((line, _split(rows[line - 1].rstrip("\r"), by_line[line])) for line in sorted(by_line))
    )


def _split(row: str, constants: Sequence[tuple[Constant, str]]) -> Parts:
    parts: list[str | tuple[str, str]] = []
    position = 0
    for constant, name in sorted(constants, key=lambda pair: pair[0].start):
        parts += [row[position : constant.start], (name, row[constant.start : constant.end])]
        position = constant.end
    return (*parts, row[position:])


def _read(field: Field, path: str, folder: Path, readers: Mapping[str, object], most: int) -> str | None:
    """Return the text of a file within the folder; None, and a report, if it is unusable."""
    if PurePosixPath(path).suffix.lower() not in readers:
        field.reject(f"unsupported file type: {path}", f"supported extensions: {', '.join(readers)}")
        return None
    if path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts:
        field.reject("must be inside the folder of the experiment", "write a relative path without ..")
        return None
    file_path = folder / path
    if is_hidden_elsewhere(file_path, folder):
        field.reject(
            f"{path} is a link to a hidden file outside of the folder, which would become part of the experiment",
            "copy the file into the folder",
        )
        return None
    try:
        with file_path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            field.reject(f"{file_path} is too large (maximum {most // 1024} KiB)", "is this the right file?")
            return None
        return content.decode("utf-8")
    except UnicodeDecodeError:
        field.reject(f"{file_path} is not UTF-8 text")
    except OSError as exc:
        field.reject(f"cannot read {file_path}: {exc.strerror}")
    return None


def _report_missing(field: Field, path: str, names: Sequence[str], paths: Sequence[str]) -> None:
    for name in names:
        children = [key for key in paths if key.startswith(f"{name}.")]
        if children:
            field.reject(f"{path} has several values at {name}", f"name one of them: {', '.join(children[:3])}")
            continue
        candidates = [key for key in paths if key.endswith(f".{name}")]
        hint = f"did you mean {candidates[0]}?" if candidates else did_you_mean(name, paths)
        field.reject(f"{path} has no value at {name}", hint or "add it there with its default, or use it in `run`")
