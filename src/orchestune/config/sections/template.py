"""The key `config`: the user's own configuration file, split into parts at the values of parameters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from orchestune.config.document.kinds import string
from orchestune.config.document.report import Field
from orchestune.config.document.value_spans import READERS, Unreadable
from orchestune.domain.specification.command_channels import ConfigTemplate
from orchestune.domain.words import did_you_mean

MAX_BYTES = 256 * 1024
CONFIG = string("the path of a YAML, JSON or TOML file", most=1000)


def config_file(
    field: Field, path: str, folder: Path, names: Sequence[str], placed: Collection[str]
) -> ConfigTemplate | None:
    """Read the file at `path` within `folder` as a template for the parameters `names`. Problems are reported.

    Parameters in `placed` may be absent from it: they reach the command another way.
    """
    reader = READERS.get(PurePosixPath(path).suffix.lower())
    if reader is None:
        field.reject(f"unsupported file type: {path}", f"supported extensions: {', '.join(READERS)}")
        return None
    if path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts:
        field.reject("must be inside the folder of the experiment", "write a relative path without ..")
        return None
    content = _read(field, folder / path)
    if content is None:
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
    return ConfigTemplate(PurePosixPath(path).name, (*parts, content[position:]))


def _read(field: Field, path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            field.reject(f"{path} is too large (maximum {MAX_BYTES // 1024} KiB)", "is this the right file?")
            return None
        return content.decode("utf-8")
    except UnicodeDecodeError:
        field.reject(f"{path} is not UTF-8 text")
    except OSError as exc:
        field.reject(f"cannot read {path}: {exc.strerror}")
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
