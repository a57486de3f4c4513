"""Write a document as the text of an experiment file, with a comment above each key and a schema line for editors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestune.config.document.nodes import Entries, Items, Node, ScalarNode, printable
from orchestune.config.document.scalars import resolve
from orchestune.config.keys import KEYS, USER_NAMED

_SCHEMA = Path(__file__).parents[1] / "experiment.schema.json"
_FIRST = re.compile(r"[A-Za-z0-9_.$/+\-]")
_RISKY = re.compile(r"^-(?:\s|$)|^---|^\.\.\.|:(?:\s|$)|\s#")
_MARKS = re.compile(r"[\[\]{},:#&*!|>'\"%@`]")
_ABOUT = {key.name: key.about.partition(". ")[0].rstrip(".").replace("`", "") for key in KEYS}


def text(
    document: Entries,
    heading: str = "",
    remarks: Mapping[str, str] | None = None,
    asides: Sequence[tuple[str, str]] = (),
) -> str:
    """Format the file. `remarks` are comments at the end of entries, by dotted key, such as `parameters.lr`.

    `asides` are commented-out lines of `parameters`, each with its remark, for the user to enable by hand.
    """
    lines = [f"# yaml-language-server: $schema={_SCHEMA.as_uri()}"]
    lines += [f"# {words}" for words in heading.splitlines()]
    for key, node in document.entries:
        lines.append("")
        if key.text in _ABOUT:
            lines.append(f"# {_ABOUT[key.text]}")
        name = _scalar(key, inside=False)
        if key.text in USER_NAMED and isinstance(node, Entries) and node.entries:
            lines.append(f"{name}:")
            lines += [f"  {entry}" for entry in _block(key.text, node, remarks or {})]
            if key.text == "parameters" and asides:
                with_default = ", and add its default to try_first" if document.get("try_first") is not None else ""
                lines += ["  #", f"  # not varied; remove the # to vary one too{with_default}:"]
                lines += [f"  # {_with_remark(printable(aside), remark)}" for aside, remark in asides]
        else:
            lines.append(_with_remark(f"{name}: {_flow(node, inside=False)}", (remarks or {}).get(key.text)))
    return "\n".join(lines) + "\n"


def _block(section: str, node: Entries, remarks: Mapping[str, str]) -> list[str]:
    return [
        _with_remark(
            f"{_scalar(key, inside=False)}: {_flow(value, inside=False)}", remarks.get(f"{section}.{key.text}")
        )
        for key, value in node.entries
    ]


def _with_remark(line: str, remark: str | None) -> str:
    return f"{line}  # {printable(remark)}" if remark else line


def line(node: Node) -> str:
    """Format a value as it is written after its key."""
    return _flow(node, inside=False)


def _flow(node: Node, inside: bool) -> str:
    """Format a node on one line; `inside` brackets more has to be quoted."""
    if isinstance(node, Items):
        return f"[{', '.join(_flow(item, inside=True) for item in node.items)}]"
    if isinstance(node, Entries):
        pairs = (f"{_scalar(key, inside=True)}: {_flow(value, inside=True)}" for key, value in node.entries)
        return f"{{{', '.join(pairs)}}}"
    return _scalar(node, inside)


def _scalar(node: ScalarNode, inside: bool) -> str:
    if not isinstance(node.value, str):
        return node.text or "null"
    value = node.value
    plain = bool(_FIRST.match(value)) and value.isprintable() and resolve(value) == value
    if plain and value.strip() == value and not _RISKY.search(value) and not (inside and _MARKS.search(value)):
        return value
    return "".join(
        char if char.isprintable() else f"\\U{ord(char):08x}" for char in json.dumps(value, ensure_ascii=False)
    )
