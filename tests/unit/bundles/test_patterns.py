from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from orchestune.bundles.ignore import Rules, rules_for
from orchestune.bundles.listing import EntryKind, plan
from orchestune.bundles.patterns import parse, parse_all, parse_file
from orchestune.errors import BadInput

FOLDERS = ("", "a", "a/b", "a/b/src", "a/data", "b", "src", "src/data", "data", "data/a")
FILES = ("x.py", "y.txt", "keep.txt")
PATTERNS = (
    *("*", "!*/", "!*.py", "data/", "data", "/data", "data/*", "!data/keep.txt", "src/", "/src", "!src/", "!/src"),
    *("*.txt", "!keep.txt", "a/b", "a/**", "**/b", "!a/", "!a/b", "**/data/**", "/*", "!/a", "a/*/x.py", "!b/**"),
    *("b/**/y.txt", "\\!x", "?", "[ab]", "!data/*/", "src/*", "*/", "/*/", "# data", "", "x.py  ", "keep.txt\r"),
)


def git(folder: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")


def write_all(folder: Path, files: Iterable[tuple[str, str]]) -> None:
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, newline="")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("seed", range(4))
def test_the_same_files_are_taken_as_git_takes(tmp_path: Path, seed: int) -> None:
    git(tmp_path, "init", "--quiet")
    write_all(tmp_path, [(f"{folder}/{name}".lstrip("/"), "") for folder in FOLDERS for name in FILES])
    chance = random.Random(seed)
    for _ in range(25):
        for place in (".gitignore", "a/.gitignore", "data/.gitignore"):
            lines = chance.sample(PATTERNS, chance.randint(0, 4))
            (tmp_path / place).write_text("\n".join(lines), newline="")
        expected = git(tmp_path, "ls-files", "-z", "--cached", "--others", "--exclude-per-directory=.gitignore")
        listing = plan(tmp_path, (), 1 << 30)
        paths = [entry.path for entry in listing.entries if entry.kind is not EntryKind.FOLDER]
        assert paths == sorted(name for name in expected if name)
        project = chance.choice(FOLDERS[1:])
        if git(tmp_path, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore", "--", project) != [""]:
            listing = plan(tmp_path / project, (), 1 << 30)
            paths = [f"{project}/{entry.path}" for entry in listing.entries if entry.kind is not EntryKind.FOLDER]
            assert paths == [name for name in sorted(expected) if name.startswith(f"{project}/")]


def test_a_comment_a_blank_and_a_lone_slash_are_no_patterns() -> None:
    assert [parse(line) for line in ("", "   ", "# data", "/", "!/")] == [None] * 5


def test_a_range_that_runs_backwards_is_passed_over_in_files_and_refused_in_the_list(tmp_path: Path) -> None:
    write_all(tmp_path, [(".gitignore", "[z-a]\n*.txt\n"), (".orchestuneignore", "x[9-0]\n"), ("z", ""), ("b.txt", "")])
    paths = [entry.path for entry in plan(tmp_path, (), 1 << 30).entries if entry.kind is not EntryKind.FOLDER]
    assert paths == [".gitignore", ".orchestuneignore", "z"]
    with pytest.raises(BadInput, match=r"'\[z-a\]' is not a gitignore pattern"):
        rules_for(["[z-a]"], Rules())


def test_an_escaped_blank_at_the_end_belongs_to_the_name() -> None:
    (pattern,) = parse_all(["name\\  "])
    assert pattern.matches("name ", "name ", False)
    assert not pattern.matches("name", "name", False)


def test_a_line_that_is_no_pattern_is_passed_over_in_a_file() -> None:
    assert len(parse_all(["!", "data", "foo\\"])) == 1


def test_a_byte_order_mark_and_bytes_that_are_not_utf_8_are_read() -> None:
    patterns = parse_file(b"\xef\xbb\xbfdata\ncaf\xe9\n")
    assert [pattern.matches("data", "data", True) for pattern in patterns] == [False, True]
    assert patterns[0].matches("caf\udce9", "caf\udce9", False)


def test_wrong_patterns_of_the_experiment_file_are_reported_together() -> None:
    with pytest.raises(BadInput) as caught:
        rules_for(["data/", "bar\\", "foo\\"], Rules())
    assert len(caught.value.problems) == 2
    assert r"code.ignore: 'bar\\' is not" in str(caught.value)


@pytest.mark.parametrize("glob", ["*a" * 20 + "*b", "*(" * 20 + "*b", "*?a" * 20 + "*b", "*[ab]c" * 20 + "*b"])
def test_many_stars_in_a_name_take_no_time(glob: str) -> None:
    pattern = parse(glob)
    assert pattern is not None
    for name in ("a" * 255, "(" * 255, "bc" * 127):
        assert not pattern.matches(name, name, is_folder=False)
        matching = name + glob.replace("*", "").replace("?", "x").replace("[ab]", "a")
        assert pattern.matches(matching, matching, is_folder=False)


def test_many_double_stars_are_invalid() -> None:
    with pytest.raises(ValueError, match="more than 4 times"):
        parse("**/a" * 5)
