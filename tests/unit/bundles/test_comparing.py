"""Differences between two archives of code."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestune.bundles.compare import MAX_COMPARED_BYTES, PathChange, compare
from orchestune.bundles.pack import pack
from orchestune.bundles.unpack import MAX_TEXT_FILE_BYTES, Archive, archive_at
from orchestune.errors import BadInput

Files = Mapping[str, bytes | str]
"""path → content, or what a link leads to"""


def archive(folder: Path, files: Files, programs: tuple[str, ...] = ()) -> Archive:
    """The folder with these files, packed."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
            path.chmod(0o755 if name in programs else 0o644)
        else:
            path.symlink_to(content)
    path = pack(folder, (), 10 * MAX_TEXT_FILE_BYTES, folder.parent / "packed").path
    return archive_at(path)


def test_lines_that_changed_are_shown_and_what_is_the_same_is_not(tmp_path: Path) -> None:
    old = archive(tmp_path / "old", {"a.py": b"one\ntwo\nthree\n", "same.py": b"x\n"})
    new = archive(tmp_path / "new", {"a.py": b"one\n2\nthree\nfour\n", "same.py": b"x\n"})
    (change,) = compare(old, new)
    diff = "--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n"
    assert change == PathChange("a.py", "changed", 2, 1, diff)


def test_files_that_came_went_or_are_no_text_are_named(tmp_path: Path) -> None:
    old = archive(tmp_path / "old", {"gone.py": b"x\n", "model.bin": b"\0\1", "run.sh": b"true\n", "to": "gone.py"})
    files: Files = {"new/deep.py": b"a\nb\n", "model.bin": b"\0\2", "run.sh": b"true\n", "to": "run.sh"}
    new = archive(tmp_path / "new", files, programs=("run.sh",))
    changes = {change.path: (change.change, change.added, change.removed) for change in compare(old, new)}
    assert changes == {
        "gone.py": ("removed", 0, 1),
        "model.bin": ("changed", None, None),
        "new/deep.py": ("added", 2, 0),
        "run.sh": ("mode", None, None),
        "to": ("changed", 1, 1),
    }


def test_a_large_file_is_named_and_not_compared(tmp_path: Path) -> None:
    old = archive(tmp_path / "old", {"a.csv": b"1\n" * MAX_TEXT_FILE_BYTES})
    new = archive(tmp_path / "new", {"a.csv": b"2\n" * MAX_TEXT_FILE_BYTES})
    assert compare(old, new) == [PathChange("a.csv", "changed")]


def test_a_file_that_says_the_same_again_and_again_is_named_and_not_compared(tmp_path: Path) -> None:
    """Its lines would be weighed each against each: for a minute where they are in no order."""
    numbers = [f"{number * number % 1009}\n" for number in range(200_000)]
    old = archive(tmp_path / "old", {"classes.txt": "".join(numbers).encode(), "a.py": b"x\n"})
    new = archive(tmp_path / "new", {"classes.txt": "".join(reversed(numbers)).encode(), "a.py": b"y\n"})
    changed = {change.path: change.diff is not None for change in compare(old, new)}
    assert changed == {"a.py": True, "classes.txt": False}


def test_one_changed_line_of_a_long_program_is_shown(tmp_path: Path) -> None:
    lines = [f"    step({number})\n" if number % 20 else "\n" for number in range(20_000)]
    old = archive(tmp_path / "old", {"a.py": "".join(lines).encode()})
    new = archive(tmp_path / "new", {"a.py": "".join([*lines[:9_999], "    other()\n", *lines[10_000:]]).encode()})
    (change,) = compare(old, new)
    assert (change.added, change.removed) == (1, 1)


def test_of_very_many_changes_the_rest_is_named(tmp_path: Path) -> None:
    size = MAX_TEXT_FILE_BYTES // 2
    count = MAX_COMPARED_BYTES // size
    old = archive(tmp_path / "old", {f"{number}.txt": b"a" * size for number in range(count)})
    new = archive(tmp_path / "new", {f"{number}.txt": b"b" * size for number in range(count)})
    changes = compare(old, new)
    assert len(changes) == count
    assert [change.diff is not None for change in changes] == [True] * (count // 2) + [False] * (count // 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\nb", b"a\nc"),
        (b"a\n", b"a"),
        (b"a", b"a\n"),
        (b"", b"x\n"),
        (b"x\x0cy\rz\n", b"x\x0cy\rw\n"),
        (b"-- x\n", b"++ y\n"),
    ],
)
def test_the_diff_is_one_that_patch_takes(tmp_path: Path, before: bytes, after: bytes) -> None:
    files = [archive(tmp_path / name, {"f": content}) for name, content in (("old", before), ("new", after))]
    (change,) = compare(*files)
    assert change.diff is not None
    target = tmp_path / "target"
    target.mkdir()
    (target / "f").write_bytes(before)
    done = subprocess.run(["git", "apply", "-"], input=change.diff.encode(), cwd=target, capture_output=True)
    assert done.returncode == 0, (done.stderr, change.diff)
    assert (target / "f").read_bytes() == after


def test_no_code_at_all_is_an_empty_archive(tmp_path: Path) -> None:
    new = archive(tmp_path / "new", {"a.py": b"x\n"})
    assert [(change.path, change.change) for change in compare(None, new)] == [("a.py", "added")]
    assert [(change.path, change.change) for change in compare(new, None)] == [("a.py", "removed")]


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="not a complete"):
        compare(archive_at(tmp_path / "x"), None)
