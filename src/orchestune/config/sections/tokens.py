"""Detection of values that look like tokens or passwords."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Sequence

_KNOWN_TOKEN = re.compile(
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
_SECRET_WORDS = {"PASSWORD", "PASSWD", "PWD", "PASSPHRASE", "SECRET"}
_TOKEN_WORDS = {"TOKEN", "KEY", "APIKEY", "CREDENTIAL", "CREDENTIALS", "AUTH", "SECRETS"}
_REFERENCE = re.compile(
    r"\$\([^)]{0,1000}\)|`[^`]*`|\$\{[A-Za-z_]\w*(?:[:\-=?+][^}]{0,1000})?\}|\$[A-Za-z_]\w*|\{[A-Za-z_][\w.\-]*\}"
)
"""references that the shell or the trial substitutes: the recommended way to pass secrets to a command"""
_AUTHORIZATION = re.compile(r"(?i)\bauthorization\s*[:=]\s*(?:bearer|basic|token)\s+\S{8,}")
_ASSIGNED = re.compile(r"-{0,2}([A-Za-z][\w.\-]*)=(.+)", re.DOTALL)
_OPTION = re.compile(r"--?([A-Za-z][\w.\-]+)")
_SWITCHES = {"NO", "WITHOUT", "ASK", "PROMPT", "REQUIRE", "USE", "SKIP"}
"""first words of options without a value, such as --ask-password"""
_CODE = re.compile(r"[()\[\]<>]")
_HARMLESS = re.compile(r"(?i)true|false|yes|no|on|off|none|[0-9]{1,5}|[~.]{0,2}/[^\s]*|[a-z]:\\\S*")


def looks_like_a_secret(name: str, value: str) -> bool:
    """Return True if `value` of the variable `name` looks like a token or password."""
    if _KNOWN_TOKEN.search(value):
        return True
    words = set(re.split(r"[^A-Z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper()))
    if _HARMLESS.fullmatch(value):
        return False
    if words & _SECRET_WORDS:
        return len(value) >= 4 and name != "PWD"
    return bool(words & _TOKEN_WORDS) and _looks_random(value)


def command_has_a_secret(command: str | Sequence[str]) -> bool:
    """Return True if a command holds a value that looks like a token or password.

    `$NAME`, `$(…)` and placeholders are none: they are how a command should get it.
    """
    text = command if isinstance(command, str) else "\n".join(command)
    bare = _REFERENCE.sub("", text)
    if _KNOWN_TOKEN.search(bare) or _AUTHORIZATION.search(bare):
        return True
    words = _words(command)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option = _OPTION.fullmatch(word)
        if assigned := _ASSIGNED.fullmatch(word):
            name, value = assigned[1], assigned[2]
        elif option and not following.startswith("-"):
            name, value = option[1], following
        else:
            continue
        if _is_secret_assignment(name, value):
            return True
    return False


def _words(command: str | Sequence[str]) -> list[str]:
    """Return the words of a command, including those of quoted scripts."""
    if isinstance(command, str):
        try:
            words = shlex.split(command)
        except ValueError:  # an unclosed quote: the shell reports it
            words = command.split()
    else:
        words = list(command)
    return [word for each in words for word in (each.split() or [each])]


def _is_secret_assignment(name: str, value: str) -> bool:
    """Return True if an option or variable of this name gets a secret. Only the last word of its name counts.

    `--secret-size 512` is a size, and `password=input()` is code that prompts for one.
    """
    value = _REFERENCE.sub("", value)
    parts = re.split(r"[^A-Z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper())
    if parts[0] in _SWITCHES or _HARMLESS.fullmatch(value) or _CODE.search(value):
        return False
    if parts[-1] in _SECRET_WORDS:
        return len(value) >= 4 and name != "PWD"
    return parts[-1] in _TOKEN_WORDS and _looks_random(value)


def _looks_random(value: str) -> bool:
    """Return True if a value looks random: long, no spaces, letters mixed with digits, and high entropy."""
    if len(value) < 16 or re.search(r"\s", value):
        return False
    if not (re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)):
        return False
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
    return entropy >= 3.0
