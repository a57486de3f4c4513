"""Detection of secrets that must not get into an image, because every user who can pull it can read them."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

_NAMES = (
    ".env", ".env.*", ".netrc", "_netrc", ".pypirc", ".git-credentials", "credentials", "credentials.json",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.p12", "*.pfx", "*.kubeconfig", "kubeconfig",
)  # fmt: skip
_FOLDERS = (".git", ".ssh", ".aws", ".kube", ".docker", ".gnupg", ".azure", ".orchestune")
_LOGIN = re.compile(r"://(?P<user>[^/\s:@'\"]*):(?P<password>[^/\s@'\"]+)@")
_TOKEN = re.compile(r"(?i)\b_(?:authToken|auth|password)\s*=\s*(?P<password>[^\s$]+)")
_KEY = "PRIVATE KEY-----"
_MAX_SEARCHED_BYTES = 1 << 20
"""maximum bytes of a file that is searched; longer ones are not written by hand"""


def by_name(path: str) -> str:
    """Return the reason why a file with this name must not be in an image; empty if it may."""
    *folders, name = path.split("/")
    for folder in folders:
        if folder in _FOLDERS:
            return f"{folder} contains secrets or history"
    if name.endswith((".example", ".sample", ".template")):
        return ""
    return "a file of this name usually contains secrets" if any(fnmatch(name, pattern) for pattern in _NAMES) else ""


def in_text(text: str) -> tuple[int, str] | None:
    """Return line and kind of the first secret in a text: a password in a URL, a token, a private key."""
    for number, line in enumerate(text.splitlines(), 1):
        if _KEY in line:
            return number, "a private key"
        for pattern, kind in ((_LOGIN, "a password in a URL"), (_TOKEN, "a token")):
            match = pattern.search(line)
            if match and not match["password"].startswith("$"):  # a variable, which the installer expands
                return number, kind
    return None


def in_file(path: Path) -> tuple[int, str] | None:
    """Search a file in the same way; binary files are skipped."""
    if path.stat().st_size > _MAX_SEARCHED_BYTES:
        return None
    try:
        return in_text(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return None
