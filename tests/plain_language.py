"""Find words and identifiers that this project replaced by the field's terms: `python -m tests.plain_language`.

It looks at identifiers, docstrings and comments below `src/`, and at identifiers in tests, benchmarks, examples and the
scripts of the documentation. A finding names the file, the line and the replacement.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("src/orchestune",)
OTHERS = ("tests", "benchmarks", "examples", "docs")
"""folders of Python files in which only identifiers are checked"""

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
    "came": "the noun of what arrived",
    "given": "settings, arguments or configuration",
    "got": "the noun of what was received",
    "made": "the noun of what was created",
    "meant": "the noun of what is intended",
    "said": "output, message or answer",
    "seen": "the noun of what was observed",
    "shown": "the noun of what is displayed",
    "taken": "the noun of what is in use",
    "there": "the noun of what exists",
    "told": "arguments, history or answer",
    "wanted": "request or expected value",
}
"""Names of variables and parameters that say how a value was obtained instead of what it is."""

OTHER_IDENTIFIERS = IDENTIFIERS | {
    "asked": "requests, suggestions or calls",
    "found": "the noun of what was read or computed",
    "gone": "the noun of what was removed, or a predicate",
    "here": "the noun of what is local",
    "kept": "the noun of what remains",
    "known": "the noun of what is known",
    "left": "the noun of what remains",
}
"""Those in `OTHERS`, where no algorithm needs the additional ones."""

_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)


class Finding(NamedTuple):
    """A word or an identifier that may not come back."""

    line: int
    word: str
    replacement: str


def identifiers(
    tree: ast.AST, vague: Mapping[str, str] = IDENTIFIERS, *, with_functions: bool = False
) -> Iterator[Finding]:
    """Yield assigned names and parameters that are in `vague`, with or without underscores around them.

    Annotated fields of classes are exempt, because their names are stored or sent, and so are methods.
    """
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    members = [statement for each in classes for statement in each.body]
    exempt = {statement.target if isinstance(statement, ast.AnnAssign) else statement for statement in members}
    for node in ast.walk(tree):
        if node in exempt:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif with_functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name
        else:
            continue
        if name.strip("_") in vague:
            yield Finding(node.lineno, name, vague[name.strip("_")])


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


def other_findings(source: str) -> list[Finding]:
    """Return the names in one module of `OTHERS` that may not come back, functions included."""
    return sorted(identifiers(ast.parse(source), OTHER_IDENTIFIERS, with_functions=True))


def modules(folders: tuple[str, ...]) -> Iterator[Path]:
    """Yield the Python files of the folders, sorted."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def main() -> int:
    """Print all findings; return 1 if there is any."""
    report = [(path, finding) for path in modules(SOURCES) for finding in findings(path.read_text())]
    for path in modules(OTHERS):
        report += [(path, finding) for finding in other_findings(path.read_text())]
    for path, finding in report:
        print(f"{path.relative_to(ROOT)}:{finding.line}: '{finding.word}' (write: {finding.replacement})")
    return 1 if report else 0


if __name__ == "__main__":
    sys.exit(main())
