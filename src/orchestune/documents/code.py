"""The code that trials ran, and how it differs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict


class Bundle(TypedDict):
    """An archive of code that the server stores."""

    digest: str
    size: int


class CodeMember(TypedDict):
    """A file or link of the code."""

    path: str
    kind: Literal["file", "program", "link"]
    size: int
    target: Annotated[str | None, Field(description="of a link")]


class Code(TypedDict):
    """The files of a trial's code; `bundle` and `size` are those of the archive, null without code."""

    bundle: str | None
    size: int | None
    files: list[CodeMember]
    more: Annotated[bool, Field(description="further files are omitted")]


class CodeFile(TypedDict):
    """The content of one file; `text` is null if it is binary or larger than 1 MiB."""

    path: str
    size: int
    text: str | None


class ChangedFile(TypedDict):
    """One path of the code that differs."""

    path: str
    change: Literal["added", "removed", "changed", "mode"]
    added: Annotated[int | None, Field(description="lines; null if it is binary or too large")]
    removed: int | None
    diff: Annotated[str | None, Field(description="unified")]


class ChangedCode(TypedDict):
    """The changes of the code from the first trial to the second one."""

    bundles: list[str | None]
    files: list[ChangedFile]


class Difference(TypedDict):
    """The differences between two trials: by name, the value of the first and of the second one."""

    schema: Literal[1]
    trials: list[str]
    metrics: dict[str, list[Any]]
    configuration: dict[str, list[Any]]
    environment: dict[str, list[Any]]
    code: ChangedCode
