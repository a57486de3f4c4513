"""The whole error tree.

    OrchestuneError                 code, message, hint; shown to users unchanged
    ├── UsageError                  invalid request; exit 2, HTTP 400
    │   ├── BadInput                invalid file or value; lists every problem
    │   │   ├── InvalidCall         a worker's call does not fit the protocol; HTTP 422
    │   │   └── PolicyRefused       the cluster's policy forbids it; exit 2, HTTP 403
    │   └── TooLarge                over a size limit; HTTP 413
    ├── NotFound                    no such experiment, trial, file; exit 2, HTTP 404
    │   └── Purged                  deleted permanently; exit 2, HTTP 410
    ├── Ambiguous                   a prefix matches several experiments; exit 2, HTTP 409
    ├── Conflict                    not possible in the current state; exit 2, HTTP 409
    │   ├── Unverified              archive of another server; its contents must be confirmed first
    │   └── SpaceExhausted          every configuration of the space was suggested
    ├── Denied                      token missing or not permitted; exit 2, HTTP 401 or 403
    │   └── Throttled               rate limit exceeded; exit 2, HTTP 429
    ├── StoreDamaged                the database file is corrupt; exit 2, HTTP 500
    ├── NothingCompleted            no trial of a search completed; contains one traceback
    └── TemporaryError              retry later; exit 3
        ├── Unreachable             the server cannot be reached
        ├── ProviderUnavailable     the identity provider does not answer; HTTP 503
        └── StoreUnavailable        the store is locked, full or unreachable; HTTP 503

Only a call that raised a `TemporaryError` is worth a retry.

>>> import orchestune
>>> from orchestune.errors import BadInput
>>> try:
...     orchestune.Optimizer({"lr": "1..0"}, {"loss": "minimize"})
... except BadInput as exc:
...     print(exc.problems[0].key)
parameters.lr
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self


class OrchestuneError(Exception):
    """An error that is reported to the user with a message and a hint, without a traceback."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # shown below a traceback

    def to_json(self) -> dict[str, object]:
        """Return the `{"error": {...}}` document of the command line and the API."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class UsageError(OrchestuneError):
    """The request is invalid; a retry cannot succeed."""

    code = "usage"
    exit_code = 2
    status = 400


PROBLEMS_SHOWN = 20
"""Number of problems of one input that are reported individually; a last line counts the others."""


@dataclass(frozen=True)
class Problem:
    """One mistake in an input: its location, the value, and the allowed values."""

    message: str
    key: str = ""
    file: str = ""
    line: int | None = None
    column: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}" if self.column is None else f":{self.line}:{self.column}"
        parts = [part for part in (place, self.key) if part]
        text = f"{': '.join(parts)}: {self.message}" if parts else self.message
        return f"{text} ({self.hint})" if self.hint else text


class BadInput(UsageError):
    """A file or value is invalid. All problems are reported at once: the first `PROBLEMS_SHOWN` and a count."""

    code = "bad_input"

    def __init__(self, problems: list[Problem], hint: str = "") -> None:
        problems = _first(problems)
        super().__init__("\n".join(str(problem) for problem in problems), hint)
        self.problems = problems

    def to_json(self) -> dict[str, object]:
        """Return the document with the list of problems; empty fields are left out."""
        problems = [{name: value for name, value in vars(problem).items() if value} for problem in self.problems]
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint, "problems": problems}}

    def __reduce__(self) -> tuple[type[BadInput], tuple[list[Problem], str]]:
        """Pickle the problems: the default would pass the message string as the list of problems."""
        return type(self), (self.problems, self.hint)

    @classmethod
    def first_of(cls, problems: list[Problem], hint_if_many: str = "") -> Self:
        """Return an error with these problems; `hint_if_many` is its hint if some are not shown."""
        return cls(problems, hint_if_many if len(problems) > PROBLEMS_SHOWN else "")

    @classmethod
    def one(cls, message: str, key: str = "", hint: str = "") -> Self:
        """Return an error with one problem, in the value of `key`."""
        return cls([Problem(message, key=key, hint=hint)])


class InvalidCall(BadInput):
    """The envelope of a worker's call is invalid; no report in it was applied."""

    code = "invalid_call"
    status = 422


def more_problems(count: int) -> Problem:
    """Return the line that replaces `count` problems that are not shown."""
    return Problem(f"{_MORE}{count:,} more")


_MORE = "… and "


def _first(problems: list[Problem]) -> list[Problem]:
    """Return the problems that are shown. Idempotent, since clients rebuild errors from their documents."""
    counted = len(problems) == PROBLEMS_SHOWN + 1 and problems[-1].message.startswith(_MORE)
    if len(problems) <= PROBLEMS_SHOWN or counted:
        return problems
    return [*problems[:PROBLEMS_SHOWN], more_problems(len(problems) - PROBLEMS_SHOWN)]


class PolicyRefused(BadInput):
    """The experiment requests access that only an administrator can allow; names every such key."""

    code = "policy_refused"
    status = 403


class TooLarge(UsageError):
    """A size limit is exceeded; the message names the limit and how to stay below it."""

    code = "too_large"
    status = 413


class NotFound(OrchestuneError):
    """The requested object does not exist."""

    code = "not_found"
    exit_code = 2
    status = 404


class Purged(NotFound):
    """The requested object was deleted permanently."""

    code = "purged"
    status = 410


class ClusterDestroyed(OrchestuneError):
    """The cluster was destroyed; the message says where its archive is."""

    code = "cluster_destroyed"
    exit_code = 2
    status = 410


class Ambiguous(OrchestuneError):
    """A prefix matches more than one experiment; the message lists them."""

    code = "ambiguous"
    exit_code = 2
    status = 409


class Conflict(OrchestuneError):
    """The request is not possible in the current state; the hint says what would make it possible."""

    code = "conflict"
    exit_code = 2
    status = 409


class Unverified(Conflict):
    """Another server wrote the archive; a user must confirm its contents before it is imported."""

    code = "unverified"

    def __init__(self, message: str, hint: str = "", contents: Mapping[str, object] | None = None) -> None:
        super().__init__(message, hint)
        self.contents = contents

    def to_json(self) -> dict[str, object]:
        """Return the document with a summary of the archive."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint, "contents": self.contents}}


class SpaceExhausted(Conflict):
    """Every configuration of the space was suggested, or the search for another one gave up."""

    code = "exhausted"


class Denied(OrchestuneError):
    """The caller is not authenticated (401) or not authorized (403).

    Not a `TemporaryError`: a retry needs another token.
    """

    code = "denied"
    exit_code = 2
    status = 403


class Throttled(Denied):
    """A rate limit is exceeded.

    There were too many unknown tokens from an address (a valid token is still accepted) or too many requests in
    progress, or an action was repeated too often.
    """

    code = "throttled"
    status = 429

    def __init__(self, message: str, hint: str = "", seconds: int = 60) -> None:
        super().__init__(message, hint)
        self.seconds = seconds
        """until a retry may succeed: the `Retry-After` header of the response"""


class NothingCompleted(OrchestuneError):
    """No trial of a search completed; the message contains the traceback of one."""

    code = "nothing_completed"


class TemporaryError(OrchestuneError):
    """A retry of the call may succeed."""

    code = "temporary"
    exit_code = 3
    status = 503


class Unreachable(TemporaryError):
    """The server cannot be reached."""

    code = "unreachable"


class ProviderUnavailable(TemporaryError):
    """The identity provider does not answer; sessions that have begun go on."""

    code = "provider_unavailable"


class StoreUnavailable(TemporaryError):
    """The store is locked, full, read-only or unreachable."""

    code = "store_unavailable"


class StoreDamaged(OrchestuneError):
    """The database file is corrupt."""

    code = "store_damaged"
    exit_code = 2


ERROR_HEADER = "Orchestune-Error"
"""header with the error document in the response to a HEAD request, which has no body"""


def from_json(document: dict[str, object]) -> OrchestuneError:
    """Return the error that a server sent, of the same class, so that the exit code is the same."""
    body = document.get("error")
    body = body if isinstance(body, dict) else {}
    message, hint = str(body.get("message", "unknown error")), str(body.get("hint", ""))
    code = body.get("code")
    for several in (BadInput, InvalidCall, PolicyRefused):
        if code == several.code:
            return several(_problems(body.get("problems")) or [Problem(message)], hint)
    for kind in (
        UsageError,
        TooLarge,
        NotFound,
        Purged,
        ClusterDestroyed,
        Ambiguous,
        Conflict,
        Unverified,
        SpaceExhausted,
        Denied,
        Throttled,
        NothingCompleted,
        TemporaryError,
        Unreachable,
        ProviderUnavailable,
        StoreUnavailable,
        StoreDamaged,
    ):
        if kind.code == code:
            return kind(message, hint)
    return OrchestuneError(message, hint)


def _problems(documents: object) -> list[Problem]:
    """Return the problems of a `BadInput.to_json` document; fields that a newer server added are ignored."""
    names = {field.name for field in fields(Problem)}
    items = (
        [item for item in documents if isinstance(item, dict) and item.get("message")]
        if isinstance(documents, list)
        else []
    )
    return [Problem(**{name: value for name, value in item.items() if name in names}) for item in items]
