"""The sections `env` and `secrets`: variables whose values may be written down, and names of those that may not."""

from __future__ import annotations

import re

from orchestune.config.document.kinds import Key, ValueKind, text
from orchestune.config.document.nodes import Entries, Items, ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, mapping_of, section
from orchestune.config.sections.tokens import looks_like_a_secret
from orchestune.domain.specification.experiment import Secret

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NAMES = NamedEntry("a variable", rf"(?!ORCHESTUNE_){_NAME}",
               "letters, digits and _ are allowed, no digit first, and none that begins with ORCHESTUNE_")  # fmt: skip
_INSTEAD = "name it under `secrets`; its value is then taken from your environment or a file"
SOURCE = "env:NAME or file:PATH"


def _read_value(found: Field) -> str | None:
    if not isinstance(found.node, ScalarNode):
        found.expected("text or a number")
        return None
    if len(found.node.text) > 100_000:
        found.wrong("is longer than 100000 characters", "put it into a file of the project")
        return None
    if looks_like_a_secret(found.key.rpartition(".")[2], found.node.text):
        found.wrong("looks like a token or password, which must not stand in a file", _INSTEAD)
        return None
    return found.node.text


ENV = mapping_of(
    _NAMES,
    ValueKind[str]('text or a number ("" for an empty text)',
              {"type": ["string", "number", "boolean"], "maxLength": 100_000}, _read_value),
    "a mapping from names of variables to values",
)  # fmt: skip

KEYS = (
    Key("env", text("the name of a variable", _NAME, most=200), "A variable of the shell that says `orchestune run`."),
    Key("file", text("the path of a file", most=1000), "A file of that machine; relative to the experiment file."),
)
_LONG = section(KEYS)


def read_source(found: Field) -> str | None:
    """`env:NAME`, `file:PATH`, or a mapping with one of them. What stands there is never shown: it may be the value."""
    pairs: list[tuple[str, str]] = []
    if isinstance(found.node, ScalarNode):
        kind, colon, place = found.node.text.partition(":")
        pairs = [(kind, place)] if colon else []
    elif isinstance(found.node, Entries):
        pairs = [(key.text, node.text) for key, node in found.node.entries if isinstance(node, ScalarNode)]
    if len(pairs) == 1 and not looks_like_a_secret("", pairs[0][1]):
        kind, place = pairs[0]
        fits = re.fullmatch(_NAME, place) if kind == "env" else len(place) <= 1000 and place.strip()
        if kind in ("env", "file") and fits:
            return f"{kind}:{place}"
    found.wrong(f"expected {SOURCE}, which say where the value is", "never write the value itself")
    return None


SOURCE_PATTERN = {"type": "string", "pattern": rf"^(?:env:{_NAME}|file:.*\S.*)$"}
_MAPPING = mapping_of(
    _NAMES,
    ValueKind[str](
        SOURCE, {"anyOf": [SOURCE_PATTERN, {**_LONG.schema, "minProperties": 1, "maxProperties": 1}]}, read_source
    ),
    f"a mapping from names to {SOURCE}",
)


def _read_secrets(found: Field) -> tuple[Secret, ...] | None:
    if isinstance(found.node, Entries):
        return tuple(Secret(name, source) for name, source in (_MAPPING.read(found) or {}).items())
    if not isinstance(found.node, Items):
        found.wrong("expected a list of names of variables, or a mapping from names to env:NAME or file:PATH")
        return None
    names: list[str] = []
    for item in found.items():
        name = item.node.text if isinstance(item.node, ScalarNode) else ""
        if not re.fullmatch(_NAMES.pattern, name) or len(name) > 200 or looks_like_a_secret("", name):
            mapped = "a mapping from names goes without a list: `secrets: {NAME: file:PATH}`"
            hint = mapped if isinstance(item.node, Entries) else "never write the value itself"
            item.wrong("expected the name of a variable of your environment", hint)
        elif name in names:
            item.wrong(f"names {name} twice")
        else:
            names.append(name)
    return tuple(Secret(name, f"env:{name}") for name in names)


SECRETS = ValueKind[tuple[Secret, ...]](
    f"a list of names of variables, or a mapping from names to {SOURCE}",
    {
        "anyOf": [
            {"type": "array", "maxItems": 1000, "uniqueItems": True,
             "items": {"type": "string", "pattern": f"^(?:{_NAMES.pattern})$", "maxLength": 200}},
            _MAPPING.schema,
        ]
    },
    _read_secrets,
    KEYS,
)  # fmt: skip
