"""Parser whose errors are reported like every other error."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from typing import NoReturn

from orchestune.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError if the arguments are invalid; argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see `{self.prog} --help`")


def unrecognized(parser: argparse.ArgumentParser, words: list[str]) -> UsageError:
    """Return the error for arguments that the command of `parser` does not accept."""
    hint = f"see `{parser.prog} --help`"
    matches = get_close_matches(words[0].partition("=")[0], list(parser._option_string_actions), 1, 0.7)
    if matches:
        hint = f"did you mean {matches[0]}? {hint}"
    return UsageError(f"unrecognized arguments: {' '.join(words)}", hint)
