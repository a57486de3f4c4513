"""The documents that clients send: models that validate requests and appear in the OpenAPI document.

The responses are in `orchestune.documents`.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticCustomError

from orchestune.config.document.kinds import MAX_AT_ONCE, MAX_TRIALS, PRIORITIES
from orchestune.domain.search.space import MAX_PARAMETERS
from orchestune.domain.search.warm_start import MAX_RESULTS
from orchestune.errors import PROBLEMS_SHOWN

_OWNER = "owner of the experiment (default: the caller); only an owner of the server may name another user"
_ENVIRONMENT = "variables that trials of the cluster local inherit; stored like `secrets`, and deleted at the end"
_MAX_ENTRIES = 10_000
_MAX_WARM_RESULTS = 4 * MAX_RESULTS
"""those of which clients send the best; pydantic builds an object for each on the event loop"""


def _at_most(count: int) -> BeforeValidator:
    """Reject an object or list with more entries by one error, before pydantic builds anything for each entry."""

    def check(entries: object) -> object:
        if isinstance(entries, dict | list) and len(entries) > count:
            text = "has {entries} entries (expected at most {most})"
            raise PydanticCustomError("too_many_entries", text, {"entries": f"{len(entries):,}", "most": f"{count:,}"})
        return entries

    return BeforeValidator(check)


# Only the first invalid item of a list is reported (`fail_fast`): a list of a million invalid items costs one error.
Parameters = Annotated[dict[str, bool | int | float | str], _at_most(MAX_PARAMETERS)]
Texts = Annotated[dict[str, str], _at_most(_MAX_ENTRIES)]
Names = Annotated[list[str], Field(fail_fast=True)]


def _printable(text: str) -> str:
    """Reject control characters and line breaks, as in the header `Orchestune-User`."""
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
        """Raise one error for very many unknown keys: 116,000 in 1 MiB would block the event loop for seconds."""
        if not isinstance(document, dict) or cls.model_config.get("extra") != "forbid":
            return document
        known_keys = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = list(islice((key for key in document if key not in known_keys), PROBLEMS_SHOWN + 1))
        if len(unknown) > PROBLEMS_SHOWN:
            text = "has more than {shown} unknown keys, such as {key} (expected {known_keys})"
            context = {
                "shown": PROBLEMS_SHOWN,
                "key": f"{unknown[0]!r:.80}",
                "known_keys": ", ".join(known_keys) or "none",
            }
            raise PydanticCustomError("unknown_keys", text, context)
        return document


class LaunchRequest(_Request):
    """The environment of the caller's shell."""

    model_config = ConfigDict(extra="allow", strict=True)
    env: Texts = {}
    root: str | None = None
    links: Names = Field(default=[], description="paths below `root` that are not in the bundle")

    def document(self) -> dict[str, object]:
        """Return the fields that were sent, including those of a newer client.

        `model_dump` would traverse values of any type in one call, which cannot be interrupted.
        """
        return {name: value for name, value in self if value is not None}


class WarmValue(_Request):
    """A value of a metric and its standard deviation."""

    value: float
    stddev: float | None = None


class WarmResult(_Request):
    """An external result in the form of a trial. Parameters may be missing."""

    parameters: Parameters
    state: Literal["completed", "failed", "pruned"] = "completed"
    metrics: Annotated[dict[str, WarmValue], _at_most(MAX_PARAMETERS)] = {}


class WarmStartRequest(_Request):
    """Results that the engine learns before the first trial. They do not count as trials."""

    source: str = Field(max_length=10_000, description="origin of the results, for display")
    results: Annotated[SkipValidation[list[WarmResult]], _at_most(_MAX_WARM_RESULTS)]
    """as JSON: `checked_results` validates them in a thread, since a body of 4 MiB would block the event loop"""

    def checked_results(self) -> list[WarmResult]:
        """Validate the results. Raises ValidationError."""
        return _RESULTS.validate_python(self.results)


_RESULTS = TypeAdapter(Annotated[list[WarmResult], Field(fail_fast=True)])


class FirstTrial(_Request):
    """A configuration of the first trials, run before any suggestion."""

    parameters: Parameters
    seed: int = Field(ge=0, lt=2**32)


class CreateExperiment(_Request):
    """A request to create an experiment."""

    specification: dict[str, Any] = Field(description="the normalized experiment file")
    bundle: str | None = Field(default=None, description="SHA-256 of the archive of the code")
    cluster: str | None = Field(default=None, description="cluster to run in (default: that of the server)")
    folder: Folder = Field(default="", description="folder in which it was started, as `host:/abs/path`")
    owner: Owner | None = None
    launch: LaunchRequest = LaunchRequest()
    secrets: Texts = Field(default={}, description="values of secrets; not stored in the record and never returned")
    environment: Texts = Field(default={}, description=_ENVIRONMENT)
    outgoing: Texts = Field(
        default={},
        description="URLs and secrets of `notify` and `mlflow` by name, such as notify.0.url; stored like `secrets`",
    )
    warm_start: WarmStartRequest | None = None
    first: FirstTrial | None = None


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./\-]+$", max_length=200)]
"""name of a label, as in experiment files; names with `orchestune.dev/` are reserved for the command line"""


class ChangeExperiment(_Request):
    """Changes to an experiment; omitted fields keep their values."""

    budget: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    parallelism: int | None = Field(default=None, ge=1, le=MAX_AT_ONCE)
    priority: int | None = Field(default=None, ge=PRIORITIES[0], le=PRIORITIES[1])
    labels: Annotated[dict[Label, Annotated[str, Field(max_length=1000)]], _at_most(1000)] | None = None
    environment: Texts = Field(default={}, description=f"{_ENVIRONMENT}; used if the experiment is over")


class ChangeCode(_Request):
    """New code for trials that have not started."""

    bundle: str = Field(description="SHA-256 of the archive of the code", pattern=r"^[0-9a-f]{64}$")
    launch: LaunchRequest = Field(
        default=LaunchRequest(), description="its environment; omitted fields keep their values"
    )


class Pause(_Request):
    """Options of a pause: `now` also preempts and requeues running trials."""

    now: bool = False


class Resume(_Request):
    """Options of a resumption."""

    environment: Texts = Field(default={}, description=f"{_ENVIRONMENT}; used if the experiment is over")


class Nothing(_Request):
    """An empty document; the body may also be omitted."""


class QueueTrial(_Request):
    """The parameters of a trial to queue."""

    parameters: Parameters


class TerminalRequest(_Request):
    """A call of one end of a terminal: `after` reads from the other end; without it, `data` is sent there."""

    attempt: str
    data: str = Field(default="", description="bytes in base64, the first of which has offset `at`", max_length=2**20)
    at: int = Field(default=0, ge=0, lt=2**53)
    after: int | None = Field(default=None, ge=0, lt=2**53, description="offset after the last received byte")
    wait: float = Field(default=0.0, ge=0, le=20, description="seconds to wait for data, or for room in the buffer")
    size: list[int] | None = Field(
        default=None, min_length=2, max_length=2, fail_fast=True, description="rows and columns"
    )
    over: int | None = Field(default=None, description="set when this end closes: for a command, its exit code")


class RerunTrial(_Request):
    """A rerun of a trial; omitted fields keep the values of its experiment."""

    continue_: bool = Field(default=False, alias="continue", description="start from the trial's checkpoint")
    run: str | Names | None = Field(
        default=None, min_length=1, description="another command, as `run` of the experiment file"
    )
    cluster: str | None = Field(
        default=None, description="default: the same cluster or, if this server does not have it, that of the server"
    )
    launch: LaunchRequest | None = None
    secrets: Texts | None = None
    environment: Texts | None = None
    folder: Folder | None = None
    owner: Owner | None = None


class ShareExperiment(_Request):
    """A request for a share link."""

    name: str = Field(default="", max_length=200, description="recipient, for display")
    days: int = Field(default=7, ge=1, le=365, description="days until it expires")


class IssueToken(_Request):
    """A request for a token of another user."""

    name: str = Field(min_length=1, max_length=200, description="name of the user")
    role: Literal["viewer", "editor", "owner"] = "viewer"
    days: int = Field(default=90, ge=1, le=3650, description="days until it expires")


class FinishLogin(_Request):
    """The body of `POST /login/token`."""

    login: Annotated[str, Field(max_length=8192)]


class SignedRecord(_Request):
    """The digest and the signature at the end of a record."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of its lines")
    signature: str = Field(default="", max_length=64, description="signature of the server that exported it")
