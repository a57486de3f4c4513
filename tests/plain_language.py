"""Find words and identifiers that this project replaced by the field's terms: `python -m tests.plain_language`.

It looks at identifiers, docstrings and comments below `src/`. A finding names the file, the line and the replacement.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).resolve().parents[1] / "src"

WORDS = {
    "anew": "again, or recreate",
    "foresee": "dry run, preflight check",
    "forsake": "abandon",
    "forsaken": "abandoned",
    "heir": "warm worker",
    "nobody": "no caller, no user, no owner",
    "somebody": "a caller, a user, an owner",
    "sparing": "warm pool",
    "undertaker": "cluster teardown",
    "whoever": "the caller, the user",
}
"""Words of docstrings and comments, each with the field's term."""

IDENTIFIERS = {
    "made": "the noun of what was created",
    "said": "output, message or answer",
    "shown": "the noun of what is displayed",
    "told": "arguments, history or answer",
}
"""Names of variables and parameters that say how a value was obtained instead of what it is."""

_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)


class Finding(NamedTuple):
    """A word or an identifier that may not come back."""

    line: int
    word: str
    replacement: str


def identifiers(tree: ast.AST) -> Iterator[Finding]:
    """Yield assigned names and parameters that are in `IDENTIFIERS`, with or without underscores around them.

    Annotated fields of classes are exempt: their names are stored or sent.
    """
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    fields = [statement.target for each in classes for statement in each.body if isinstance(statement, ast.AnnAssign)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in fields:
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        else:
            continue
        if name.strip("_") in IDENTIFIERS:
            yield Finding(node.lineno, name, IDENTIFIERS[name.strip("_")])


def words(source: str) -> Iterator[Finding]:
    """Yield the words of docstrings and comments that are in `WORDS`. Other strings are texts of users and tests."""
    is_statement = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_text = token.type == tokenize.COMMENT or (token.type == tokenize.STRING and is_statement)
        for match in _WORD.finditer(token.string) if is_text else ():
            line = token.start[0] + token.string.count("\n", 0, match.start())
            yield Finding(line, match[0], WORDS[match[0].lower()])
        if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            is_statement = True
        elif token.type not in (tokenize.COMMENT, tokenize.NL):
            is_statement = False


def findings(source: str) -> list[Finding]:
    """Return everything in one module that may not come back, in order of lines."""
    return sorted([*identifiers(ast.parse(source)), *words(source)])


def main() -> int:
    """Print what was found in the sources; return 1 if there is anything."""
    count = 0
    for path in sorted((SOURCES / "orchestune").rglob("*.py")):
        for finding in findings(path.read_text()):
            count += 1
            print(f"{path.relative_to(SOURCES)}:{finding.line}: '{finding.word}' (write: {finding.replacement})")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
