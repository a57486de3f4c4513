"""The file with the tokens of the server's owners."""

from __future__ import annotations

import re
from pathlib import Path

from orchestune.errors import BadInput, Problem
from orchestune.services.core import UNNAMED

_COMMENT = re.compile(r"(?:^|\s)#")


def read_owners(path: Path) -> dict[str, str]:
    """Parse the token file and return the owners' names by token. Raises BadInput if it is unreadable or malformed.

    A line is `NAME TOKEN`, or only a token, whose name is then `owner`. `#` starts a comment, except within a token.
    """
    owners: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput([Problem(f"cannot be read: {exc}", key="token_file", file=str(path))]) from exc
    for number, line in enumerate(lines, 1):
        words = _COMMENT.split(line)[0].split()
        if not words:
            continue
        name = words[0] if len(words) == 2 else UNNAMED
        if len(words) > 2 or len(words[-1]) < 16 or words[-1] in owners or name in owners.values():
            message = "a line holds a name and a token of at least 16 characters, each used once"
            raise BadInput([Problem(message, key="token_file", file=str(path), line=number)])
        owners[words[-1]] = name
    if not owners:
        raise BadInput([Problem("holds no token", key="token_file", file=str(path))])
    return owners
