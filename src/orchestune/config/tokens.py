"""Telling a value that should be a secret from one that may be written into a file."""

from __future__ import annotations

import math
import re
from collections import Counter

_KNOWN = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"A(?:KIA|SIA)[0-9A-Z]{12,}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{10,}|github_pat_[A-Za-z0-9_]{10,}|glpat-[A-Za-z0-9_\-]{10,}"
    r"|hf_[A-Za-z0-9]{10,}"
    r"|sk-(?=[a-z_\-]*[0-9A-Z])[A-Za-z0-9_\-]{16,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}"
    r"|xox[a-z]-[A-Za-z0-9\-]{8,}"
    r"|AIza[A-Za-z0-9_\-]{30,}"
    r"|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_\-]{20,}"
    r"|eyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{6,}"  # a JSON web token
    r")|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|[a-z][a-z0-9+.\-]*://[^\s/:@]*:[^\s/@]+@"  # a URL with a password
)
_ANY_VALUE = {"PASSWORD", "PASSWD", "PWD", "PASSPHRASE", "SECRET"}
_LONG_VALUE = {"TOKEN", "KEY", "APIKEY", "CREDENTIAL", "CREDENTIALS", "AUTH", "SECRETS"}
_HARMLESS = re.compile(r"(?i)true|false|yes|no|on|off|none|[0-9]{1,5}|[~.]{0,2}/[^\s]*|[a-z]:\\\S*")


def looks_like_a_secret(name: str, value: str) -> bool:
    """Whether `value`, given to the variable `name`, had better not stand in a file."""
    if _KNOWN.search(value):
        return True
    words = set(re.split(r"[^A-Z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper()))
    if _HARMLESS.fullmatch(value):
        return False
    if words & _ANY_VALUE:
        return len(value) >= 4 and name != "PWD"
    return bool(words & _LONG_VALUE) and _random(value)


def _random(value: str) -> bool:
    """Long, without spaces, letters and digits mixed, and hardly a character more often than by chance."""
    if len(value) < 16 or re.search(r"\s", value):
        return False
    if not (re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)):
        return False
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
    return entropy >= 3.0
