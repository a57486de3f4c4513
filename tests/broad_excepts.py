"""Keep the number of handlers of any exception: `python -m tests.broad_excepts`.

Such a handler hides bugs, so it belongs only where a loop, a thread or a process must survive any of them, and it logs
the traceback or passes the exception on. Elsewhere: name the exceptions, use `system.isolation.failure_of`, or clean up
with `contextlib.ExitStack`.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "src" / "orchestune"

ALLOWED = {
    "backends/kubernetes/observation/watching.py": "the thread of a watch, whatever an API server sends",
    "controllers/loop.py": "the loop of the controllers",
    "engines/process/child.py": "the loop of the process that runs all engines",
    "server/auditing.py": "the loop that stores security events",
    "server/boundary.py": "the boundary of each request",
    "system/isolation.py": "the one isolation of jobs, which the others use",
    "worker/processes/guard.py": "a fork, which must not continue with its parent's code",
    "worker/processes/zygote.py": "the import of the user's modules",
    "worker/supervisor.py": "the loop of a worker, whatever a command prints",
    "worker/thread_pool.py": "the threads of a worker",
}
"""Each module with one such handler, and its reason. The list only shrinks."""

_BROAD = frozenset(("Exception", "BaseException"))


def broad_lines(source: str) -> list[int]:
    """Return the lines of the handlers of any exception."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _BROAD & _names(node.type))
    ]


def _names(node: ast.expr) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def main() -> int:
    """Print every handler that is not allowed, and what is allowed without need; return 1 if there is any."""
    problems = []
    for path in sorted(SOURCES.rglob("*.py")):
        name, lines = path.relative_to(SOURCES).as_posix(), broad_lines(path.read_text())
        allowed = 1 if name in ALLOWED else 0
        problems += [f"{name}:{line}: handles any exception (see tests/broad_excepts.py)" for line in lines[allowed:]]
        if len(lines) < allowed:
            problems.append(f"{name}: handles no exception of any kind: remove it from `ALLOWED`")
    problems += [
        f"{name}: no such module: remove it from `ALLOWED`" for name in ALLOWED if not (SOURCES / name).is_file()
    ]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
