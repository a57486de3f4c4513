"""The key `run`: the user's command and the placeholders in it."""

from __future__ import annotations

from collections.abc import Collection

from orchestune.config.kinds import Kind, text
from orchestune.config.nodes import Items, quoted
from orchestune.config.report import Field, did_you_mean
from orchestune.config.shapes import either, list_of
from orchestune.worker.command import placeholders

ALL_PARAMETERS = ("args", "hydra")
_WORDS = "a command, as text or as a list of words"

RUN: Kind[str | tuple[str, ...]] = either(
    _WORDS,
    scalar=text(_WORDS, most=100_000),
    listing=list_of(text("a word of the command", most=100_000, loose=True), _WORDS),
)


def check_placeholders(run: Field, names: Collection[str]) -> None:
    """Note every placeholder of the command that names no parameter."""
    words = run.items() if isinstance(run.node, Items) else [run]
    for word in words:
        _check_word(word, names)


def _check_word(word: Field, names: Collection[str]) -> None:
    command = _TEXT.read(word)
    if command is None:
        return
    try:
        found = placeholders(command)
    except ValueError as exc:
        word.wrong(str(exc), "for braces that are meant as such write {{ and }}")
        return
    for name in dict.fromkeys(found):
        if name in names or name in ALL_PARAMETERS:
            continue
        hint = did_you_mean(name, [*names, *ALL_PARAMETERS])
        word.wrong(
            f"the placeholder {quoted('{' + name + '}')} names no parameter",
            hint or f"for braces that are meant as such write {{{{{name}}}}}",
        )


_TEXT: Kind[str] = text(_WORDS, most=100_000, loose=True)
