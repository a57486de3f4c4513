"""The documents that clients send, as the OpenAPI document describes them.

Requests are checked against these; what is answered stands in `orchestune.documents`.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from orchestune.config.document.kinds import MAX_AT_ONCE, MAX_TRIALS, PRIORITIES
from orchestune.domain.search.space import MAX_PARAMETERS
from orchestune.errors import PROBLEMS_SHOWN

_OWNER = "the caller's name if left out; only an owner of the server may name another person"
_MOST_ENTRIES = 10_000


def _at_most(count: int) -> BeforeValidator:
    """Refuse an object with more entries by one error, before pydantic builds one or several for each entry."""

    def check(entries: object) -> object:
        if isinstance(entries, dict) and len(entries) > count:
            text = "has {entries} entries (expected at most {most})"
            raise PydanticCustomError("too_many_entries", text, {"entries": f"{len(entries):,}", "most": f"{count:,}"})
        return entries

    return BeforeValidator(check)


# Of a list the first wrong item is reported alone (`fail_fast`): a list of a million wrong items costs one error.
Parameters = Annotated[dict[str, bool | int | float | str], _at_most(MAX_PARAMETERS)]
Texts = Annotated[dict[str, str], _at_most(_MOST_ENTRIES)]
Names = Annotated[list[str], Field(fail_fast=True)]


def _printable(text: str) -> str:
    """Refuse control characters and line breaks, as in the header `Orchestune-User`."""
    if not text.isprintable():
        raise PydanticCustomError("not_printable", "must be printable, on one line")
    return text


Owner = Annotated[str, Field(max_length=200, description=_OWNER), AfterValidator(_printable)]
Folder = Annotated[str, Field(max_length=4096), AfterValidator(_printable)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_many_unknown_keys(cls, document: object) -> object:
        """Raise one error for very many unknown keys: 1 MiB of them made 116,000, which took the event loop seconds."""
        if not isinstance(document, dict) or cls.model_config.get("extra") != "forbid":
            return document
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = list(islice((key for key in document if key not in known), PROBLEMS_SHOWN + 1))
        if len(unknown) > PROBLEMS_SHOWN:
            text = "has more than {shown} unknown keys, such as {key} (expected {known})"
            context = {"shown": PROBLEMS_SHOWN, "key": f"{unknown[0]!r:.80}", "known": ", ".join(known) or "none"}
            raise PydanticCustomError("unknown_keys", text, context)
        return document


class LaunchRequest(_Request):
    """The environment of the caller's shell."""

    model_config = ConfigDict(extra="allow", strict=True)
    env: Texts = {}
    root: str | None = None
    links: Names = Field(default=[], description="paths below `root` that the bundle leaves out")

    def document(self) -> dict[str, object]:
        """Return the fields that were sent, including those that only a later version of the client knows.

        `model_dump` would walk through all that is of any type in one call, which nothing interrupts.
        """
        return {name: value for name, value in self if value is not None}


class WarmValue(_Request):
    """A value of a metric, and how sure it is."""

    value: float
    stddev: float | None = None


class WarmResult(_Request):
    """A result from elsewhere, as trials have it. It may lack parameters."""

    parameters: Parameters
    state: Literal["completed", "failed", "pruned"] = "completed"
    metrics: Annotated[dict[str, WarmValue], _at_most(MAX_PARAMETERS)] = {}


class WarmStartRequest(_Request):
    """Results that the engine is told before the first trial. They count for nothing else."""

    source: str = Field(max_length=10_000, description="where they come from, for people")
    results: Annotated[list[WarmResult], Field(fail_fast=True)]


class FirstTrial(_Request):
    """A configuration of the first trials, run before any suggestion."""

    parameters: Parameters
    seed: int = Field(ge=0, lt=2**32)


class CreateExperiment(_Request):
    """A new experiment."""

    specification: dict[str, Any] = Field(description="the normalised experiment file")
    bundle: str | None = Field(default=None, description="SHA-256 of the archive of the code")
    cluster: str | None = Field(default=None, description="the server's own place where it is left out")
    folder: Folder = Field(default="", description="where it was started, as `host:/abs/path`")
    owner: Owner | None = None
    launch: LaunchRequest = LaunchRequest()
    secrets: Texts = Field(default={}, description="never stored with the record, never given back")
    outgoing: Texts = Field(
        default={},
        description="addresses and secrets of `notify` and `mlflow` by name, such as notify.0.url; kept like `secrets`",
    )
    warm_start: WarmStartRequest | None = None
    first: FirstTrial | None = None


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./\-]+$", max_length=200)]
"""its name, as in experiment files; those of orchestune.dev/ are for command lines"""


class ChangeExperiment(_Request):
    """Changes to an experiment; omitted fields keep their values."""

    budget: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    parallelism: int | None = Field(default=None, ge=1, le=MAX_AT_ONCE)
    priority: int | None = Field(default=None, ge=PRIORITIES[0], le=PRIORITIES[1])
    labels: Annotated[dict[Label, Annotated[str, Field(max_length=1000)]], _at_most(1000)] | None = None


class ChangeCode(_Request):
    """The code of trials that have not begun."""

    bundle: str = Field(description="SHA-256 of the archive of the code", pattern=r"^[0-9a-f]{64}$")
    launch: LaunchRequest = Field(default=LaunchRequest(), description="its folder; what is left out stays as it is")


class Pause(_Request):
    """`now` also takes back what runs, to be offered again."""

    now: bool = False


class Nothing(_Request):
    """An empty document, or no body at all."""


class QueueTrial(_Request):
    """A configuration to be tried."""

    parameters: Parameters


class TerminalRequest(_Request):
    """One end of a terminal: `after` asks for what came from the other end; without it `data` goes there."""

    attempt: str
    data: str = Field(default="", description="bytes in base64, the first of them at place `at`", max_length=2**20)
    at: int = Field(default=0, ge=0, lt=2**53)
    after: int | None = Field(default=None, ge=0, lt=2**53, description="the place behind the last byte that arrived")
    wait: float = Field(default=0.0, ge=0, le=20, description="seconds in which to wait for news, or for room")
    size: list[int] | None = Field(
        default=None, min_length=2, max_length=2, fail_fast=True, description="rows and columns"
    )
    over: int | None = Field(default=None, description="this end is over; of a command its exit code")


class RerunTrial(_Request):
    """A rerun of a trial; omitted fields are as in its experiment."""

    continue_: bool = Field(default=False, alias="continue", description="start from the trial's checkpoint")
    run: str | Names | None = Field(default=None, min_length=1, description="another command, as in the file")
    cluster: str | None = Field(
        default=None, description="left out: the same one; where that is not here, the server's own place"
    )
    launch: LaunchRequest | None = None
    secrets: Texts | None = None
    folder: Folder | None = None
    owner: Owner | None = None


class ShareExperiment(_Request):
    """A link for others."""

    name: str = Field(default="", max_length=200, description="whom it is for, for people")
    days: int = Field(default=7, ge=1, le=365, description="after which it is of no use")


class IssueToken(_Request):
    """A token for another user."""

    name: str = Field(min_length=1, max_length=200, description="whose it is")
    role: Literal["viewer", "editor", "owner"] = "viewer"
    days: int = Field(default=90, ge=1, le=3650, description="after which it is of no use")


class SignedRecord(_Request):
    """The digest and the signature at a record's end."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="the SHA-256 of its lines")
    signature: str = Field(default="", max_length=64, description="by the server that wrote it")
