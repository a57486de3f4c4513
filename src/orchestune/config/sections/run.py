"""The key `run`: the user's command and the placeholders in it."""

from __future__ import annotations

from collections.abc import Collection

from orchestune.config.document.kinds import ValueKind, text
from orchestune.config.document.nodes import Entries, Items, ScalarNode, plain, printable, quoted
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import either, list_of
from orchestune.config.sections.tokens import command_has_a_secret
from orchestune.domain.words import did_you_mean
from orchestune.worker.command import KNOWN, misplaced, placeholders

_WORDS = "a command, as text or as a list of words"


_SECRET = "holds what looks like a token or password, which all who see the experiment could read"
_INSTEAD = "name it under `secrets`; the command then finds it in its environment, as $NAME"
_WORD = "a word of the command"
_MOST = 100_000
_TEXT = text(_WORDS, most=_MOST)
_LOOSE = text(_WORD, most=_MOST, loose=True)
_ANY = {"type": _LOOSE.schema["type"], "maxLength": _MOST}


def _read_word(found: Field) -> str | None:
    node = found.node
    if isinstance(node, Entries) and len(node.entries) == 1 and plain(node.entries[0][1]) is None:
        found.expected(_WORD, f"put quotes around it: '{{{printable(node.entries[0][0].text[:60])}}}'")
        return None
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and not node.text.strip():
        return node.text
    return _LOOSE.read(found)


_LISTED = list_of(ValueKind[str](_WORD, _ANY, _read_word), _WORDS)


def _read_list(found: Field) -> tuple[str, ...] | None:
    words = _LISTED.read(found)
    if words and not words[0].strip():
        found.items()[0].expected("a program")
        return None
    return words


_COMMAND: ValueKind[str | tuple[str, ...]] = either(
    _WORDS,
    scalar=_TEXT,
    listing=ValueKind[tuple[str, ...]](_WORDS, {**_LISTED.schema, "prefixItems": [_LOOSE.schema]}, _read_list),
    mapping=ValueKind[str](_WORDS, _TEXT.schema, _read_word),
)


def _read_command(found: Field) -> str | tuple[str, ...] | None:
    command = _COMMAND.read(found)
    if command is not None and command_has_a_secret(command):
        found.wrong(_SECRET, _INSTEAD)
        return None
    return command


RUN: ValueKind[str | tuple[str, ...]] = _COMMAND.read_by(_read_command)


def check_placeholders(run: Field, names: Collection[str], with_config: bool) -> None:
    """Note every placeholder of the command that names no parameter, or stands where the shell takes no value.

    `{config}` may be there `with_config`.
    """
    if isinstance(run.node, Items):
        for word in run.items():
            _check_word(word, names, with_config)
        return
    _check_word(run, names, with_config)
    for name, where in misplaced(run.node.text if isinstance(run.node, ScalarNode) else "").items():
        if name in names or name in KNOWN or name == "config":
            run.wrong(f"the placeholder {quoted('{' + name + '}')} stands {where}")


def _check_word(word: Field, names: Collection[str], with_config: bool) -> None:
    try:
        found = placeholders(word.node.text if isinstance(word.node, ScalarNode) else "")
    except ValueError as exc:
        word.wrong(str(exc), "for braces that are meant as such write {{ and }}")
        return
    for name in dict.fromkeys(found):
        if name in names or name in KNOWN:
            continue
        if name == "config":
            if not with_config:
                word.wrong(
                    "the placeholder '{config}' needs the key `config`",
                    "for example config: conf/base.yml; without a file --config conf/base.yml",
                )
            continue
        hint = did_you_mean(name, [*names, *KNOWN])
        word.wrong(
            f"the placeholder {quoted('{' + name + '}')} names no parameter",
            hint or f"for braces that are meant as such write {{{{{name}}}}}",
        )
