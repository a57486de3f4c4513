"""The whole error tree.

    OrchestuneError                 code, message, hint; shown to people as it stands
    ├── UsageError                  wrong use; exit 2, HTTP 400
    │   ├── BadInput                a file or a value is wrong; carries every problem found
    │   │   ├── InvalidCall         a worker's call does not fit the protocol; HTTP 422
    │   │   └── PolicyRefused       the place forbids it to experiments; exit 2, HTTP 403
    │   └── TooLarge                something is over its limit; HTTP 413
    ├── NotFound                    no such experiment, trial, file; exit 2, HTTP 404
    │   └── Purged                  it was there, and was removed for good; exit 2, HTTP 410
    ├── Ambiguous                   a prefix names several experiments; exit 2, HTTP 409
    ├── Conflict                    the state of things forbids it; exit 2, HTTP 409
    │   ├── Unverified              another server wrote the archive, whose contents have to be confirmed first
    │   └── SpaceExhausted          an Optimizer has nothing to suggest that it has not suggested before
    ├── Denied                      the token is missing or may not do this; exit 2, HTTP 401 or 403
    │   └── Throttled               too many unknown tokens from this address; exit 2, HTTP 429
    ├── StoreDamaged                the file of the store is broken; exit 2, HTTP 500
    ├── NothingCompleted            no trial of a search completed; holds the traceback of one
    └── TemporaryError              the same call may work later; exit 3
        ├── Unreachable             the server cannot be reached
        └── StoreUnavailable        the store is locked, full or away; HTTP 503

Whether a call may be repeated is the type: only a `TemporaryError` may.

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
    """Anything that goes wrong in a way which a user can understand."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # so that a traceback tells it

    def to_json(self) -> dict[str, object]:
        """The `{"error": {...}}` document of the command line and of the API."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class UsageError(OrchestuneError):
    """The request itself is wrong; repeating it cannot help."""

    code = "usage"
    exit_code = 2
    status = 400


PROBLEMS_SHOWN = 20
"""The most problems of one input that are reported one by one; a last line counts the others."""


@dataclass(frozen=True)
class Problem:
    """One mistake in an input: where it is, what was found, what is allowed."""

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
    """One or several mistakes in a file or a value, reported at once: the first `PROBLEMS_SHOWN` and a count."""

    code = "bad_input"

    def __init__(self, problems: list[Problem], hint: str = "") -> None:
        problems = _first(problems)
        super().__init__("\n".join(str(problem) for problem in problems), hint)
        self.problems = problems

    def to_json(self) -> dict[str, object]:
        """Also each mistake by itself, without what is not known of it."""
        problems = [{name: value for name, value in vars(problem).items() if value} for problem in self.problems]
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint, "problems": problems}}

    def __reduce__(self) -> tuple[type[BadInput], tuple[list[Problem], str]]:
        """Made anew from the mistakes where it comes to another process: its text alone would be taken for a list."""
        return type(self), (self.problems, self.hint)

    @classmethod
    def first_of(cls, problems: list[Problem], hint_if_many: str = "") -> Self:
        """Build the error; `hint_if_many` is its hint if not all problems are shown."""
        return cls(problems, hint_if_many if len(problems) > PROBLEMS_SHOWN else "")

    @classmethod
    def one(cls, message: str, key: str = "", hint: str = "") -> Self:
        """A single mistake in the value of `key`."""
        return cls([Problem(message, key=key, hint=hint)])


class InvalidCall(BadInput):
    """A call of a worker does not fit the protocol as a whole, so nothing of it was taken."""

    code = "invalid_call"
    status = 422


def more_problems(count: int) -> Problem:
    """Return the line that stands for `count` problems which are not shown."""
    return Problem(f"{_MORE}{count:,} more")


_MORE = "… and "


def _first(problems: list[Problem]) -> list[Problem]:
    """Return the problems that are shown. Applying it twice changes nothing: errors come again through HTTP."""
    counted = len(problems) == PROBLEMS_SHOWN + 1 and problems[-1].message.startswith(_MORE)
    if len(problems) <= PROBLEMS_SHOWN or counted:
        return problems
    return [*problems[:PROBLEMS_SHOWN], more_problems(len(problems) - PROBLEMS_SHOWN)]


class PolicyRefused(BadInput):
    """The experiment asks for access to its place that only an administrator can allow; names every such key."""

    code = "policy_refused"
    status = 403


class TooLarge(UsageError):
    """Something is over its size limit; the message names the limit and what to leave out."""

    code = "too_large"
    status = 413


class NotFound(OrchestuneError):
    """What was asked for does not exist."""

    code = "not_found"
    exit_code = 2
    status = 404


class Purged(NotFound):
    """It was there once, and was removed for good."""

    code = "purged"
    status = 410


class Ambiguous(OrchestuneError):
    """A prefix names more than one experiment; the message lists them."""

    code = "ambiguous"
    exit_code = 2
    status = 409


class Conflict(OrchestuneError):
    """The present state forbids it; the message says what would allow it."""

    code = "conflict"
    exit_code = 2
    status = 409


class Unverified(Conflict):
    """Another server wrote the archive: it is imported once a user has seen and confirmed what it contains."""

    code = "unverified"

    def __init__(self, message: str, hint: str = "", contents: Mapping[str, object] | None = None) -> None:
        super().__init__(message, hint)
        self.contents = contents

    def to_json(self) -> dict[str, object]:
        """Also what the archive contains."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint, "contents": self.contents}}


class SpaceExhausted(Conflict):
    """Every configuration of the space was suggested once, or no other one was found."""

    code = "exhausted"


class Denied(OrchestuneError):
    """The caller is unknown (401) or known and not allowed to do this (403).

    Wrong use, not a server that cannot be reached: waiting for it does not help, another token does.
    """

    code = "denied"
    exit_code = 2
    status = 403


class Throttled(Denied):
    """Too many unknown tokens came from the caller's address, from which a right token is accepted all the same; or
    the caller has too many requests in progress.
    """

    code = "throttled"
    status = 429

    def __init__(self, message: str, hint: str = "", seconds: int = 60) -> None:
        super().__init__(message, hint)
        self.seconds = seconds
        """after which another request may be answered: the `Retry-After` of the answer"""


class NothingCompleted(OrchestuneError):
    """Every trial of a search failed; the message holds the traceback of one."""

    code = "nothing_completed"


class TemporaryError(OrchestuneError):
    """The same call may work later."""

    code = "temporary"
    exit_code = 3
    status = 503


class Unreachable(TemporaryError):
    """The server cannot be reached."""

    code = "unreachable"


class StoreUnavailable(TemporaryError):
    """The store is locked, full, read-only or away."""

    code = "store_unavailable"


class StoreDamaged(OrchestuneError):
    """The file of the store is broken."""

    code = "store_damaged"
    exit_code = 2


ERROR_HEADER = "Orchestune-Error"
"""in which the answer to a HEAD, which has no body, carries the document of its error"""


def from_json(document: dict[str, object]) -> OrchestuneError:
    """Rebuild the error that a server sent, so that the command line exits as if it had raised it itself."""
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
        Ambiguous,
        Conflict,
        Unverified,
        SpaceExhausted,
        Denied,
        Throttled,
        NothingCompleted,
        TemporaryError,
        Unreachable,
        StoreUnavailable,
        StoreDamaged,
    ):
        if kind.code == code:
            return kind(message, hint)
    return OrchestuneError(message, hint)


def _problems(documents: object) -> list[Problem]:
    """Those of `BadInput.to_json`; what a newer server says more of them is left out."""
    names = {field.name for field in fields(Problem)}
    found = (
        [item for item in documents if isinstance(item, dict) and item.get("message")]
        if isinstance(documents, list)
        else []
    )
    return [Problem(**{name: value for name, value in item.items() if name in names}) for item in found]
