"""The token file of a hosted server: its owners by token, read again when the file changes."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestune.errors import BadInput, Problem, StoreUnavailable
from orchestune.services import audit
from orchestune.services.core import UNNAMED, Core

logger = logging.getLogger("orchestune.server")

REREAD_SECONDS = 2.0
"""interval in seconds at which the file is read: it is small, and its time of change may not move (a mounted Secret)"""
_MIN_TOKEN_CHARACTERS = 16
_COMMENT = re.compile(r"(?:^|\s)#")


class TokenFile(Mapping[str, str]):
    """Token → name of each owner in a file.

    Every method returns one state of the whole file. A state that is malformed or cannot be read leaves the last valid
    one in place, so that a typing error excludes no owner.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises BadInput if it is unreadable or malformed."""
        self._path = path
        self._owners = read_owners(path)
        self._problem = ""

    def reread(self) -> bool:
        """Read the file again. Return True if its owners have changed; log what keeps it from being read, once."""
        try:
            owners = read_owners(self._path)
        except BadInput as error:
            if str(error) != self._problem:
                self._problem = str(error)
                logger.warning("the tokens read before remain valid: %s", error)
            return False
        self._problem = ""
        changed, self._owners = owners != self._owners, owners
        return changed

    def __getitem__(self, token: str) -> str:
        return self._owners[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._owners)

    def __len__(self) -> int:
        return len(self._owners)


def read_owners(path: Path) -> dict[str, str]:
    """Parse the token file and return the owners' names by token. Raises BadInput if it is unreadable or malformed.

    A line is `NAME TOKEN`, or only a token, whose name is then `owner`. `#` starts a comment, except within a token.
    """
    owners: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput([Problem(f"cannot read it: {exc}", key="token_file", file=str(path))]) from exc
    for number, line in enumerate(lines, 1):
        words = _COMMENT.split(line)[0].split()
        if not words:
            continue
        name = words[0] if len(words) == 2 else UNNAMED
        if len(words) > 2 or len(words[-1]) < _MIN_TOKEN_CHARACTERS or words[-1] in owners or name in owners.values():
            message = f"invalid line (expected NAME TOKEN, both unique; at least {_MIN_TOKEN_CHARACTERS} characters)"
            raise BadInput([Problem(message, key="token_file", file=str(path), line=number)])
        owners[words[-1]] = name
    if not owners:
        raise BadInput([Problem("contains no token", key="token_file", file=str(path))])
    return owners


def note_owners(core: Core) -> None:
    """Write an audit event if the owners in the token file differ from those of the last such event."""
    with contextlib.suppress(StoreUnavailable):
        event = audit.owners_event(core)
        if event is not None:
            audit.log(event)
            audit.record(core, [event])
