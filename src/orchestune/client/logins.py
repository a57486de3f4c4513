"""Sign-ins of this user at servers, by `orchestune login`: a private file in the state folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestune.errors import UsageError
from orchestune.system.private import locked, write_private

FILE = "logins.json"
_LOCK = "logins.lock"


@dataclass(frozen=True)
class StoredLogin:
    """A sign-in at one server."""

    url: str
    token: str = field(repr=False)
    name: str
    role: str
    expires_at: str
    """RFC 3339"""


class Logins:
    """The sign-ins in one state folder. Each call rereads the file. Raises UsageError if the file is unusable."""

    def __init__(self, state: Path) -> None:
        self._path, self._lock = state / FILE, state / _LOCK

    def find(self, url: str) -> StoredLogin | None:
        """Return the sign-in at the server with this address; None if absent."""
        return self._read().get(url)

    def add(self, login: StoredLogin) -> None:
        """Add or replace the sign-in at a server."""
        self._change(lambda logins: logins.update({login.url: login}))

    def remove(self, url: str) -> None:
        """Remove the sign-in at a server. Idempotent."""
        self._change(lambda logins: logins.pop(url, None))

    def _change(self, change: Callable[[dict[str, StoredLogin]], object]) -> None:
        try:
            with locked(self._lock):
                logins = self._read()
                change(logins)
                write_private(self._path, json.dumps([asdict(login) for login in logins.values()], indent=1))
        except OSError as exc:
            raise self._unusable(exc.strerror) from exc

    def _read(self) -> dict[str, StoredLogin]:
        try:
            return {each["url"]: StoredLogin(**each) for each in json.loads(self._path.read_bytes())}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise self._unusable(exc) from exc

    def _unusable(self, reason: object) -> UsageError:
        return UsageError(f"invalid file {self._path}: {reason}", "move it away, and sign in again: `orchestune login`")
