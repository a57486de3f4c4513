"""The key `config`: the user's own configuration file, cut into parts where the values of parameters stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from orchestune.config.document.kinds import text
from orchestune.config.document.report import Field
from orchestune.config.document.value_spans import READERS, Unreadable
from orchestune.domain.specification.command_channels import ConfigTemplate
from orchestune.domain.words import did_you_mean

LARGEST = 256 * 1024
CONFIG = text("the path of a YAML, JSON or TOML file", most=1000)


def config_file(
    found: Field, path: str, folder: Path, names: Sequence[str], placed: Collection[str]
) -> ConfigTemplate | None:
    """The file at `path` within `folder`, to be filled with the parameters `names`.

    Those in `placed` need not stand in it: they reach the command in another way. What is wrong is reported.
    """
    reader = READERS.get(PurePosixPath(path).suffix.lower())
    if reader is None:
        found.wrong(f"{path} is of no known kind", f"known endings: {', '.join(READERS)}")
        return None
    if path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts:
        found.wrong("must lie within the folder of the experiment", "write a relative path without ..")
        return None
    content = _read(found, folder / path)
    if content is None:
        return None
    try:
        spans = reader(content)
    except Unreadable as exc:
        found.wrong(f"{path} cannot be read: {exc}")
        return None
    _report_missing(found, path, [name for name in names if name not in spans and name not in placed], list(spans))
    parts: list[str | tuple[str, str]] = []
    position = 0
    for start, end, name in sorted((*spans[name], name) for name in names if name in spans):
        gap = " " if start == end else ""  # nothing stands behind the key
        parts += [content[position:start] + gap, (name, content[start:end])]
        position = end
    return ConfigTemplate(PurePosixPath(path).name, (*parts, content[position:]))


def _read(found: Field, path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            found.wrong(f"{path} is larger than {LARGEST // 1024} KiB", "is this the right file?")
            return None
        return data.decode("utf-8")
    except UnicodeDecodeError:
        found.wrong(f"{path} is not UTF-8 text")
    except OSError as exc:
        found.wrong(f"{path} cannot be read: {exc.strerror}")
    return None


def _report_missing(found: Field, path: str, names: Sequence[str], there: Sequence[str]) -> None:
    for name in names:
        below = [key for key in there if key.startswith(f"{name}.")]
        if below:
            found.wrong(f"{path} has several values at {name}", f"name one of them: {', '.join(below[:3])}")
            continue
        longer = [key for key in there if key.endswith(f".{name}")]
        hint = f"did you mean {longer[0]}?" if longer else did_you_mean(name, there)
        found.wrong(f"{path} has no value at {name}", hint or "write it there with its default, or place it in `run`")
