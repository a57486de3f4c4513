"""Command lines whose mistakes are told as every other error is."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from typing import NoReturn

from orchestune.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"`{self.prog} --help` shows how it is used")


def unrecognized(parser: argparse.ArgumentParser, words: list[str]) -> UsageError:
    """The error for words that the command of `parser` has no place for."""
    hint = f"`{parser.prog} --help` shows how it is used"
    near = get_close_matches(words[0].partition("=")[0], list(parser._option_string_actions), 1, 0.7)
    if near:
        hint = f"did you mean {near[0]}? {hint}"
    return UsageError(f"unrecognized arguments: {' '.join(words)}", hint)
