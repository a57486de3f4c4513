"""Options of programs in JavaScript, Perl and Go, from calls of their option parsers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts.option import KINDS, Kind, Option, Script, plain

_TEXT = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"""
_LITERAL = rf"{_TEXT}|[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][-+]?\d+)?|true|false"


def read(text: str, suffix: str) -> Script | None:
    """Return the options, or None if no known library is used or none of its calls is recognized."""
    by_name: dict[str, Option] = {}
    for library, options in _LIBRARIES.get(suffix, ()):
        if re.search(library, text):
            for option in options(text):
                by_name.setdefault(option.name, option)
    return Script("its text", tuple(by_name.values())) if by_name else None


def _value(literal: str) -> Any:
    """Parse a literal. A number may be quoted, as all command-line values are."""
    return resolve(literal[1:-1] if literal[0] in "\"'`" else literal.replace("_", ""))


def _of_value(name: str, default: Any, kind: Kind | None = None) -> Option:
    return Option(name, kind or KINDS.get(type(default), "other"), plain(default))


_DECLARED = re.compile(rf"(?:(?<![\w$])([\w$]+)|({_TEXT}))\s*[:,]\s*\{{([^{{}}]*)\}}")
"""`lr: { type: 'string', default: '0.1' }`, and `.option('lr', { … })`"""
_TYPE = re.compile(r"""\btype\s*:\s*["'`](\w+)["'`]""")
_DEFAULT = re.compile(rf"\bdefault\s*:\s*({_LITERAL})")
_OF_JAVASCRIPT: dict[str, Kind] = {"number": "float", "string": "text"}
_CHOICES = re.compile(r"\bchoices\s*:\s*\[([^\]]*)\]")


def _in_objects(text: str) -> Iterator[Option]:
    """Yield the options of `parseArgs` and yargs, each an object with its type, default and choices."""
    has_negation = re.search(r"\byargs\b|\ballowNegative\s*:\s*true", text)
    for word, quoted, body in _DECLARED.findall(text):
        kind, default, choices = _TYPE.search(body), _DEFAULT.search(body), _CHOICES.search(body)
        name, value = word or quoted[1:-1], _value(default[1]) if default else None
        if kind and kind[1] == "boolean":
            if value is not True or has_negation:
                yield Option(f"no-{name}" if value is True else name, "bool", False)
        elif choices:
            values = tuple(_value(one) for one in re.findall(_LITERAL, choices[1]))
            yield Option(name, "text", value, values)
        elif kind or default:
            yield _of_value(name, value, _OF_JAVASCRIPT.get(kind[1]) if kind and value is None else None)


_FLAG = re.compile(
    r"""\.(?:option|requiredOption)\(\s*["'`](?:-\w\s*[,| ]\s*)?--([A-Za-z][\w-]*)([ =]*[<\[][^"'`]*)?["'`]"""
)
_ARGUMENT = re.compile(rf"\s*,\s*({_TEXT}|[^\s,()\"'`]+(?:\([^()]*\))?)")


def _of_commander(text: str) -> Iterator[Option]:
    """Yield the options of commander, whose last argument is the default.

    Example: `.option('-l, --lr <n>', 'how fast', parseFloat, 0.1)`.
    """
    for flag in _FLAG.finditer(text):
        arguments, at = list[str](), flag.end()
        while argument := _ARGUMENT.match(text, at):
            arguments.append(argument[1])
            at = argument.end()
        if not flag[2]:
            yield Option(flag[1], "bool", False)
        elif len(arguments) > 1 and re.fullmatch(_LITERAL, arguments[-1]):
            yield _of_value(flag[1], _value(arguments[-1]))


_SPECIFIED = re.compile(
    r"""["']([A-Za-z][\w-]*)(?:\|[\w?-]+)*(?:[=:]([sif])|([!+]))?["'](?:\s*(?:=>|,)\s*\\[\s(]*(?:my\s+|our\s+)?\$(\w+)"""
    r"""(?:\{\s*["']?(\w+)["']?\s*\})?)?"""
)
_CALL = re.compile(r"\bGetOptions\s*\(((?:[^()]|\([^()]*\))*)\)")
_LISTED = re.compile(r"\b(?:my|our)\s*\(([^()]*)\)\s*=\s*\(([^()]*)\)")
_OF_PERL: dict[str, Kind] = {"f": "float", "i": "int", "s": "text"}


def _of_perl(text: str) -> Iterator[Option]:
    """`GetOptions("lr=f" => \\$lr)`, where `$lr` was given its default, or a hash has it."""
    assigned = dict(re.findall(rf"\$(\w+)\s*=\s*({_LITERAL})", text)[::-1])  # the first assignment counts
    hashed = dict(re.findall(rf"""\b(\w+)["']?\s*=>\s*({_LITERAL})""", text)[::-1])
    for names, values in _LISTED.findall(text):
        literals = [value.strip() for value in values.split(",")]
        pairs = zip(re.findall(r"\$(\w+)", names), literals, strict=False)
        assigned |= {name: value for name, value in pairs if re.fullmatch(_LITERAL, value)}
    for call in _CALL.findall(text):
        for name, letter, sign, variable, key in _SPECIFIED.findall(call):
            literal = hashed.get(key or name) if key or not variable else assigned.get(variable)
            if letter:
                value = _value(literal) if literal else None
                fits = letter == "s" or isinstance(value, (int, float))
                yield _of_value(name, value if fits else None, _OF_PERL[letter])
            elif sign != "+":
                is_on = sign == "!" and literal is not None and _value(literal) not in (0, "", False)
                yield Option(f"no-{name}" if is_on else name, "bool", False)


_DEFINED = re.compile(
    rf"""\bflag\.(Float64|Int|Int64|Uint|Uint64|String|Bool)(?:Var)?\(\s*(?:&[^,]+,\s*)?"([A-Za-z][\w.-]*)"\s*,\s*({_LITERAL})"""
)
_OF_GO: dict[str, Kind] = {"Float64": "float", "String": "text", "Bool": "bool"}


def _of_go(text: str) -> Iterator[Option]:
    """Yield the options of Go: `flag.Float64("lr", 0.1, "how fast")`. Booleans are passed as words."""
    for kind, name, literal in _DEFINED.findall(text):
        if kind == "Bool":
            yield Option(name, "text", literal, ("true", "false"))
        else:
            yield _of_value(name, literal[1:-1] if kind == "String" else _value(literal), _OF_GO.get(kind, "int"))


_JAVASCRIPT = ((r"\bparseArgs\b|\byargs\b", _in_objects), (r"\bcommander\b", _of_commander))
_LIBRARIES: dict[str, tuple[tuple[str, Callable[[str], Iterator[Option]]], ...]] = {
    **dict.fromkeys((".js", ".mjs", ".cjs", ".ts", ".mts"), _JAVASCRIPT),
    **dict.fromkeys((".pl", ".pm"), ((r"\bGetopt::Long\b", _of_perl),)),
    ".go": ((r"\bflag\.Parse\(", _of_go),),
}
"""by file extension: the pattern that shows the use of a library, and its parser"""
