"""The key `run`: the user's command and the placeholders in it."""

from __future__ import annotations

from collections.abc import Collection

from orchestune.config.document.kinds import ValueKind, string
from orchestune.config.document.nodes import Entries, Items, ScalarNode, plain, printable, quoted
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import either, list_of
from orchestune.config.sections.tokens import command_has_a_secret
from orchestune.domain.words import did_you_mean
from orchestune.worker.command import ALL_PARAMETERS, misplaced, placeholders

_WORDS = "a command, as text or as a list of words"


_SECRET = "contains what looks like a token or password, which everyone who can view the experiment could read"
_SECRET_HINT = "list it under `secrets`; the command then reads it from its environment, as $NAME"
_WORD = "a word of the command"
_MAX_LENGTH = 100_000
_TEXT = string(_WORDS, most=_MAX_LENGTH)
_SCALAR_WORD = string(_WORD, most=_MAX_LENGTH, any_scalar=True)
_WORD_SCHEMA = {"type": _SCALAR_WORD.schema["type"], "maxLength": _MAX_LENGTH}


def _read_word(field: Field) -> str | None:
    node = field.node
    if isinstance(node, Entries) and len(node.entries) == 1 and plain(node.entries[0][1]) is None:
        field.expected(_WORD, f"put quotes around it: '{{{printable(node.entries[0][0].text[:60])}}}'")
        return None
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and not node.text.strip():
        return node.text
    return _SCALAR_WORD.read(field)


_WORD_LIST = list_of(ValueKind[str](_WORD, _WORD_SCHEMA, _read_word), _WORDS)


def _read_list(field: Field) -> tuple[str, ...] | None:
    words = _WORD_LIST.read(field)
    if words and not words[0].strip():
        field.items()[0].expected("a program")
        return None
    return words


_COMMAND: ValueKind[str | tuple[str, ...]] = either(
    _WORDS,
    scalar=_TEXT,
    listing=ValueKind[tuple[str, ...]](_WORDS, {**_WORD_LIST.schema, "prefixItems": [_SCALAR_WORD.schema]}, _read_list),
    mapping=ValueKind[str](_WORDS, _TEXT.schema, _read_word),
)


def _read_command(field: Field) -> str | tuple[str, ...] | None:
    command = _COMMAND.read(field)
    if command is not None and command_has_a_secret(command):
        field.reject(_SECRET, _SECRET_HINT)
        return None
    return command


RUN: ValueKind[str | tuple[str, ...]] = _COMMAND.read_by(_read_command)


def check_placeholders(run: Field, names: Collection[str], with_config: bool) -> None:
    """Report each placeholder of the command that is no parameter or that the shell would not substitute.

    `with_config` allows `{config}`.
    """
    if isinstance(run.node, Items):
        for word in run.items():
            _check_word(word, names, with_config)
        return
    _check_word(run, names, with_config)
    for name, misplacement in misplaced(run.node.text if isinstance(run.node, ScalarNode) else "").items():
        if name in names or name in ALL_PARAMETERS or name == "config":
            run.reject(f"the placeholder {quoted('{' + name + '}')} is {misplacement}")


def _check_word(word: Field, names: Collection[str], with_config: bool) -> None:
    try:
        names_used = placeholders(word.node.text if isinstance(word.node, ScalarNode) else "")
    except ValueError as exc:
        word.reject(str(exc), "for literal braces write {{ and }}")
        return
    for name in dict.fromkeys(names_used):
        if name in names or name in ALL_PARAMETERS:
            continue
        if name == "config":
            if not with_config:
                word.reject(
                    "the placeholder '{config}' needs the key `config`",
                    "for example config: conf/base.yml, or --config conf/base.yml without an experiment file",
                )
            continue
        hint = did_you_mean(name, [*names, *ALL_PARAMETERS])
        word.reject(
            f"unknown placeholder {quoted('{' + name + '}')}",
            hint or f"for literal braces write {{{{{name}}}}}",
        )
