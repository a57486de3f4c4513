"""The sections `env` and `secrets`: environment variables, and those whose values must not be stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.config.document.kinds import BOOLEAN, Key, ValueKind, string
from orchestune.config.document.nodes import Entries, Items, ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import NamedEntry, mapping_of, section
from orchestune.config.sections.tokens import looks_like_a_secret
from orchestune.domain.specification.experiment import Secret

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NAMES = NamedEntry("a variable", rf"(?!ORCHESTUNE_){_NAME}",
               "use letters, digits and _, not starting with a digit or ORCHESTUNE_")  # fmt: skip
_SECRET_HINT = "list it under `secrets`; its value is then read from your environment or a file"
SOURCE = "env:NAME or file:PATH"


def _read_value(field: Field) -> str | None:
    if not isinstance(field.node, ScalarNode):
        field.expected("text or a number")
        return None
    if len(field.node.text) > 100_000:
        field.reject("longer than 100000 characters", "write it to a file of the project")
        return None
    if looks_like_a_secret(field.key.rpartition(".")[2], field.node.text):
        field.reject("looks like a token or password, which must not be written to a file", _SECRET_HINT)
        return None
    return field.node.text


@dataclass(frozen=True)
class EnvironmentSettings:
    """The section `env`: variables, and whether trials on this machine inherit those of the shell."""

    variables: Mapping[str, str] = field(default_factory=dict)
    inherit: bool = True


_VARIABLES = mapping_of(
    _NAMES,
    ValueKind[str]('text or a number ("" for an empty text)',
              {"type": ["string", "number", "boolean"], "maxLength": 100_000}, _read_value),
    "a mapping from variable names to values",
)  # fmt: skip
_INHERIT = "inherit"


def _read_env(field: Field) -> EnvironmentSettings | None:
    if not isinstance(field.node, Entries):
        field.expected(_VARIABLES.words)
        return None
    setting = field.entries().get(_INHERIT)
    inherit = True if setting is None else BOOLEAN.read(setting[1])
    variables = _VARIABLES.read(Field(field.node.without(_INHERIT), field.key, field.report))
    return None if variables is None or inherit is None else EnvironmentSettings(variables, inherit)


ENV = ValueKind[EnvironmentSettings](
    _VARIABLES.words,
    {
        **_VARIABLES.schema,
        "properties": {
            _INHERIT: {
                "description": "False: trials on this machine do not inherit the environment of your shell.",
                **BOOLEAN.schema,
            }
        },
    },
    _read_env,
)

KEYS = (
    Key(
        "env", string("the name of a variable", _NAME, most=200), "A variable of the shell that runs `orchestune run`."
    ),
    Key("file", string("the path of a file", most=1000), "A file on that machine, relative to the experiment file."),
)
_SOURCE_SECTION = section(KEYS)


def read_source(field: Field) -> str | None:
    """Parse `env:NAME`, `file:PATH`, or a mapping with one of them.

    Messages never show the text, which may be the secret.
    """
    pairs: list[tuple[str, str]] = []
    if isinstance(field.node, ScalarNode):
        kind, colon, location = field.node.text.partition(":")
        pairs = [(kind, location)] if colon else []
    elif isinstance(field.node, Entries):
        pairs = [(key.text, node.text) for key, node in field.node.entries if isinstance(node, ScalarNode)]
    if len(pairs) == 1 and not looks_like_a_secret("", pairs[0][1]):
        kind, location = pairs[0]
        fits = re.fullmatch(_NAME, location) if kind == "env" else len(location) <= 1000 and location.strip()
        if kind in ("env", "file") and fits:
            return f"{kind}:{location}"
    field.reject(f"expected {SOURCE}, the source of the value", "never write the value itself")
    return None


SOURCE_PATTERN = {"type": "string", "pattern": rf"^(?:env:{_NAME}|file:.*\S.*)$"}
_MAPPING = mapping_of(
    _NAMES,
    ValueKind[str](
        SOURCE,
        {"anyOf": [SOURCE_PATTERN, {**_SOURCE_SECTION.schema, "minProperties": 1, "maxProperties": 1}]},
        read_source,
    ),
    f"a mapping from names to {SOURCE}",
)


def _read_secrets(field: Field) -> tuple[Secret, ...] | None:
    if isinstance(field.node, Entries):
        return tuple(Secret(name, source) for name, source in (_MAPPING.read(field) or {}).items())
    if not isinstance(field.node, Items):
        field.reject("expected a list of variable names, or a mapping from names to env:NAME or file:PATH")
        return None
    names: list[str] = []
    for item in field.items():
        name = item.node.text if isinstance(item.node, ScalarNode) else ""
        if not re.fullmatch(_NAMES.pattern, name) or len(name) > 200 or looks_like_a_secret("", name):
            mapped = "write the mapping without a list: `secrets: {NAME: file:PATH}`"
            hint = mapped if isinstance(item.node, Entries) else "never write the value itself"
            item.reject("expected the name of a variable of your environment", hint)
        elif name in names:
            item.reject(f"lists {name} twice")
        else:
            names.append(name)
    return tuple(Secret(name, f"env:{name}") for name in names)


SECRETS = ValueKind[tuple[Secret, ...]](
    f"a list of variable names, or a mapping from names to {SOURCE}",
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
