"""Change the worker protocol and the state tables in many small ways, and expect that a test fails for each change.

Cosmic Ray provides the changes. Its own runner starts an interpreter for each of them, which takes 2 s of CPU. Here a
mutant is loaded into a fork of a process that has the libraries already, which takes 0.3 s. No file is written.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from tests.mutants.operators import OPERATORS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/orchestune"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
MODULES = [PACKAGE / "domain/lifecycle/transitions.py", *sorted((PACKAGE / "wire").glob("*.py"))]
PYTEST = [
    "--quiet", "--exitfirst", "-c", os.devnull, "--rootdir", ".", "--import-mode", "importlib", "--assert", "plain",
    "--noconftest", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-W", "error",
    # random documents would kill some mutants in some runs only
    "--deselect", "tests/unit/wire/test_work.py::test_no_document_raises_anything_but_an_invalid_call",
    "tests/unit/domain/test_transitions.py", "tests/unit/wire", "tests/contract/wire",
]  # fmt: skip
EXCLUDED = (
    "core/ReplaceBinaryOperator",  # arithmetic occurs in constants only, whose numbers are changed
    "core/ReplaceComparisonOperator_Is_Eq",  # members of an enumeration are equal only if they are identical
    "core/ReplaceComparisonOperator_IsNot_NotEq",
)
# what the tests import beside the mutated modules, loaded once for all forks
LIBRARIES = ("hypothesis", "msgspec", "orchestune.worker.attempt", "orchestune.worker.connection.reporting")
CPU_LIMIT = 30.0  # seconds after which a mutant runs forever
FORK = multiprocessing.get_context("fork")


class Mutant(NamedTuple):
    """The change with the number `occurrence` among those that an operator can make in a module."""

    path: Path
    operator: str
    occurrence: int

    @property
    def module(self) -> str:
        """The path below the package."""
        return str(self.path.relative_to(PACKAGE))

    def code(self) -> str:
        """Return the source of the module with the change."""
        operator = OPERATORS.get(self.operator) or get_operator(self.operator)
        return str(mutate_code(self.path.read_text(), operator(), self.occurrence))

    def diff(self) -> str:
        """Return the lines that differ, `-` before the old and `+` before the new ones."""
        sources = self.path.read_text().splitlines(), self.code().splitlines()
        return "\n".join(list(difflib.unified_diff(*sources, n=0, lineterm=""))[3:])


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every change of one module."""
    nodes = list(ast_nodes(get_ast(path.read_text())))
    theirs = {name: get_operator(name) for name in operator_names() if not name.startswith(EXCLUDED)}
    for name, operator in (theirs | OPERATORS).items():
        if not operator.arguments():
            count = sum(1 for node in nodes for _ in operator().mutation_positions(node))
            yield from (Mutant(path, name, occurrence) for occurrence in range(count))


def module_name(path: Path) -> str:
    """Return the name by which a source file is imported."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def load(mutant: Mutant) -> None:
    """Import the mutant in the place of its module."""
    name = module_name(mutant.path)
    spec = importlib.util.spec_from_file_location(name, mutant.path)
    assert spec is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    exec(compile(mutant.code(), mutant.path, "exec"), sys.modules[name].__dict__)


def run(mutant: Mutant | None) -> tuple[Mutant | None, bool]:
    """Return the mutant, and True if the tests pass with it. Runs in a process of its own."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT)
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        try:
            if mutant is not None:
                load(mutant)
        except Exception:  # noqa: BLE001  (a module that cannot be imported is noticed)
            return mutant, False
        return mutant, pytest.main(PYTEST) == pytest.ExitCode.OK


def main() -> None:
    """Print the mutants and survivors of each module. Exit with 1 if `equivalent.toml` differs from the survivors."""
    os.chdir(ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for library in LIBRARIES:
        importlib.import_module(library)
    assert not sys.modules.keys() & map(module_name, MODULES), "a mutant would come too late"
    mutants = [mutant for path in MODULES for mutant in mutants_of(path)]
    survivors = []
    with FORK.Pool(maxtasksperchild=1) as pool:
        if not pool.apply(run, (None,))[1]:
            sys.exit(f"the tests fail without a mutant: pytest {' '.join(PYTEST[-3:])}")
        for number, (mutant, survives) in enumerate(pool.imap_unordered(run, mutants), 1):
            print(f"\r{number} of {len(mutants)}", end="", file=sys.stderr, flush=True)
            if survives and mutant is not None:
                survivors.append(mutant)
    print(file=sys.stderr)
    survived = Counter(mutant.module for mutant in survivors)
    for module, count in Counter(mutant.module for mutant in mutants).items():
        print(f"{module:24}{count:4} mutants,{survived[module]:4} survived")
    groups = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    equivalent = {(group["module"], change.strip()) for group in groups for change in group["changes"]}
    changes = {(mutant.module, mutant.diff()) for mutant in survivors}
    for title, rows in (("survived", changes - equivalent), ("not survived", equivalent - changes)):
        for module, change in sorted(rows):
            print(f"\n{title}: {module}\n{change}")
    sys.exit(changes != equivalent)


if __name__ == "__main__":
    main()
