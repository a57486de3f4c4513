"""CI reports that a suite failed, and the results of all others."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/run"
MAKE = """\
#!/bin/sh
echo "$1 was made"
case " $FAILING " in *" $1 "*) echo "$1 went wrong"; exit 2 ;; esac
"""
SUITES = (
    "test", "test-long", "test-kubernetes", "test-docker", "chaos-short", "test-wheel", "test-pages",
    "test-torch", "test-mlflow", "test-postgres",
)  # fmt: skip


def run(folder: Path, failing: str) -> tuple[int, list[str]]:
    """The exit code, and what was said, where nothing is really made or installed."""
    (folder / ".ci").mkdir()
    (folder / "bin").mkdir()
    shutil.copy(SCRIPT, folder / ".ci/run")
    for name, text in {"make": MAKE, "apt-get": "#!/bin/sh\n"}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "FAILING": failing}
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_the_last_line_is_that_of_the_last_suite_where_all_is_well(tmp_path: Path) -> None:
    code, output = run(tmp_path, "")
    assert (code, output[-1]) == (0, "test-postgres was made")
    assert [suite for suite in SUITES if f"{suite} was made" not in output] == []


@pytest.mark.parametrize("failing", ["test-kubernetes", "test-docker", "test-pages", "test-postgres"])
def test_a_suite_that_fails_keeps_none_beside_or_behind_it_from_being_told(tmp_path: Path, failing: str) -> None:
    code, output = run(tmp_path, failing)
    assert [suite for suite in SUITES if f"{suite} was made" not in output] == []
    assert f"{failing} went wrong" in output
    assert code != 0 and output[-1].startswith("=== Failed (") and output[-1].endswith(f": make {failing}")


def test_what_everything_else_needs_ends_it_at_once_and_is_named(tmp_path: Path) -> None:
    code, output = run(tmp_path, "check")
    assert code != 0 and "test was made" not in output
    assert "=== Environment with PyTorch, cut off" in output and output[-1].endswith(
        ": Lint, types, imports, Python 3.8"
    )
