from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestune.bundles.ignore import read_ignore_file
from orchestune.bundles.listing import EntryKind, Listing, plan
from orchestune.client.local.home import state_folder
from orchestune.domain.specification.code import FETCHED
from orchestune.errors import BadInput, TooLarge

LIMIT = 1 << 20
NOBODY = 65534


def write(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def paths(listing: Listing) -> list[str]:
    return [entry.path for entry in listing.entries]


def test_members_come_sorted_with_empty_folders(tmp_path: Path) -> None:
    write(tmp_path, "b.py", "a/z.py", "a-b.py")
    (tmp_path / "outputs").mkdir()
    listing = plan(tmp_path, (), LIMIT)
    assert paths(listing) == ["a", "a-b.py", "a/z.py", "b.py", "outputs"]
    assert (listing.files, listing.size, listing.left_out) == (3, 3, ())


def test_junk_is_neither_taken_nor_linked_in(tmp_path: Path) -> None:
    write(tmp_path, ".git/HEAD", "a/__pycache__/x.pyc", "x.pyc", ".ipynb_checkpoints/n", ".orchestune/s", "model.py")
    write(tmp_path, ".gitignore", text="__pycache__/\n*.py[co]\n")
    listing = plan(tmp_path, (), LIMIT)
    assert paths(listing) == [".gitignore", "a", "model.py"]
    assert listing.left_out == ()


def test_environments_and_files_of_credentials_are_left_out_and_linked_in(tmp_path: Path) -> None:
    write(tmp_path, ".venv/bin/python", "web/node_modules/m.js", ".env", ".env.local", ".env.example", "model.py")
    listing = plan(tmp_path, (), LIMIT)
    assert paths(listing) == [".env.example", "model.py", "web"]
    assert listing.left_out == (".env", ".env.local", ".venv", "web/node_modules")


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
def test_an_environment_is_known_by_what_is_in_it(tmp_path: Path, mark: str) -> None:
    """And what it links to, outside, is no mistake of the user's."""
    write(tmp_path, f"tools/mine/{mark}", "tools/mine/lib/x.py", "tools/x.py", "pyvenv.cfg", "conda-meta/x")
    (tmp_path / "tools/mine/python").symlink_to("/usr/bin/env")
    listing = plan(tmp_path, (), LIMIT)
    assert paths(listing) == ["conda-meta", "conda-meta/x", "pyvenv.cfg", "tools", "tools/x.py"]
    assert listing.left_out == ("tools/mine",)
    (tmp_path / "tools/mine/python").unlink()
    assert "tools/mine/lib/x.py" in paths(plan(tmp_path, ["!tools/mine"], LIMIT))


def test_what_hydra_has_written_is_not_packed_but_folders_of_the_same_name_are(tmp_path: Path) -> None:
    written = ("outputs/2026-11-30/12-00-00/.hydra/config.yaml", "app/multirun/2026-11-30/12-00-00/0/train.log")
    write(tmp_path, *written, "train.py", "lib/outputs/writer.py")
    listing = plan(tmp_path, (), LIMIT)
    assert paths(listing) == ["app", "lib", "lib/outputs", "lib/outputs/writer.py", "train.py"]
    assert listing.left_out == ("app/multirun", "outputs")
    assert "outputs/2026-11-30/12-00-00/.hydra/config.yaml" in paths(plan(tmp_path, ["!outputs"], LIMIT))


def test_left_out_names_the_topmost_paths(tmp_path: Path) -> None:
    write(tmp_path, "data/a/b", "data/c", "sub/big.bin", "sub/model.py")
    write(tmp_path, ".gitignore", text="data/\n*.bin\n")
    assert plan(tmp_path, (), LIMIT).left_out == ("data", "sub/big.bin")


def test_an_ignored_folder_is_not_looked_into(tmp_path: Path) -> None:
    write(tmp_path, "data/.gitignore", text="!*")
    (tmp_path / "data" / "out").symlink_to("/etc")
    assert plan(tmp_path, ["data"], LIMIT).left_out == ("data",)


def test_the_experiment_file_wins_over_own_ignore_files_and_those_over_git(tmp_path: Path) -> None:
    write(tmp_path, "one.bin", "two.bin", "three.bin", "sub/one.bin", "sub/two.bin")
    write(tmp_path, ".gitignore", text="*.bin\n")
    write(tmp_path, ".orchestuneignore", text="!one.bin\n!two.bin\n")
    write(tmp_path, "sub/.gitignore", text="*\n")
    listing = plan(tmp_path, ["two.bin", "!/sub/two.bin"], LIMIT)
    assert paths(listing) == [".gitignore", ".orchestuneignore", "one.bin", "sub", "sub/one.bin", "sub/two.bin"]
    assert listing.left_out == ("sub/.gitignore", "three.bin", "two.bin")


def test_what_git_ignores_by_a_file_above_the_folder_is_left_out(tmp_path: Path) -> None:
    """As in one repository with several projects."""
    project = tmp_path / "repository/projects/one"
    write(project, "data/a", "sub/data/b", "key.json", "big.bin", "model.py", "kept.bin", "log/a", "other.txt")
    write(project, ".gitignore", text="!kept.bin\n")
    write(tmp_path, ".gitignore", text="model.py\n")  # beyond the top of the repository
    write(project.parents[1], ".gitignore", text="data/\n/key.json\n/projects/one/other.txt\n*.bin\n")
    write(project.parents[0], ".gitignore", text="one/key.json\n/log\n")
    (project.parents[1] / ".git").mkdir()
    listing = plan(project, ["!other.txt"], LIMIT)
    assert paths(listing) == [".gitignore", "kept.bin", "log", "log/a", "model.py", "other.txt", "sub"]
    assert listing.left_out == ("big.bin", "data", "key.json", "sub/data")


@pytest.mark.parametrize("project", ["", "projects/one"])
def test_what_git_ignores_in_this_copy_of_a_repository_alone_is_left_out(tmp_path: Path, project: str) -> None:
    write(tmp_path / project, "data/a", "notes.txt", "kept.txt", "model.py")
    write(tmp_path / project, ".gitignore", text="!kept.txt\n")
    write(tmp_path, ".git/info/exclude", text="data/\n*.txt\n")
    listing = plan(tmp_path / project, (), LIMIT)
    assert paths(listing) == [".gitignore", "kept.txt", "model.py"]
    assert listing.left_out == ("data", "notes.txt")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_repository_or_ignore_file_of_another_user_above_the_folder_decides_nothing(tmp_path: Path) -> None:
    project = tmp_path / "shared/project"
    write(project, "model.py", "data.csv")
    write(tmp_path, "shared/.git/info/exclude", text="*.csv\n")
    write(tmp_path, "shared/.gitignore", text="*.py\n")
    assert paths(plan(project, (), LIMIT)) == []
    os.chown(tmp_path / "shared/.gitignore", NOBODY, NOBODY)
    assert paths(plan(project, (), LIMIT)) == ["model.py"]
    os.chown(tmp_path / "shared/.git/info/exclude", NOBODY, NOBODY)
    assert paths(plan(project, (), LIMIT)) == ["data.csv", "model.py"]
    os.chown(tmp_path / "shared/.gitignore", 0, 0)
    os.chown(tmp_path / "shared/.git", NOBODY, NOBODY)
    assert paths(plan(project, (), LIMIT)) == ["data.csv", "model.py"]
    os.chown(project, NOBODY, NOBODY)
    assert paths(plan(project, (), LIMIT)) == [], "the owner of the code decides"


@pytest.mark.parametrize("place", ["", "project"])
def test_an_ignore_file_that_is_a_pipe_or_huge_neither_blocks_nor_fills_the_memory(tmp_path: Path, place: str) -> None:
    project, file = tmp_path / "project", tmp_path / place / ".gitignore"
    write(project, "model.py", "data.csv")
    (tmp_path / ".git").mkdir()
    os.mkfifo(file)
    assert "data.csv" in paths(plan(project, (), LIMIT))
    assert read_ignore_file(file) == b""
    file.unlink()
    file.write_text("*.csv\n")
    os.truncate(file, 1 << 40)
    assert "data.csv" not in paths(plan(project, (), 1 << 50))


@pytest.mark.parametrize("ignored", ["*", "project", "projects/", "/projects/*"])
def test_a_folder_that_git_ignores_as_a_whole_is_code_all_the_same(tmp_path: Path, ignored: str) -> None:
    """Many a home folder is a repository that ignores everything."""
    write(tmp_path, ".git/HEAD", "projects/project/model.py", "projects/project/data/x")
    write(tmp_path, ".gitignore", text=f"data/\n{ignored}\n")
    assert paths(plan(tmp_path / "projects/project", (), LIMIT)) == ["data", "data/x", "model.py"]


def test_a_default_can_be_taken_back(tmp_path: Path) -> None:
    write(tmp_path, "venv/module.py", "x.pyc")
    assert paths(plan(tmp_path, ["!venv", "!*.pyc"], LIMIT)) == ["venv", "venv/module.py", "x.pyc"]


def test_gitignore_does_not_bring_a_default_back_and_nothing_brings_git_back(tmp_path: Path) -> None:
    write(tmp_path, "model.py", "sub/model.py", ".venv/lib/x.py", ".git/hooks/x.py", "notes.txt")
    write(tmp_path, ".gitignore", text="*\n!*/\n!*.py\n")
    listing = plan(tmp_path, ["!.git"], LIMIT)
    assert paths(listing) == ["model.py", "sub", "sub/model.py"]
    assert listing.left_out == (".gitignore", ".venv", "notes.txt")


def test_links_inside_the_folder_are_kept_and_made_relative(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(project, "a/model.py", "b/x")
    (project / "latest").symlink_to("a")
    (project / "absolute").symlink_to(project / "a" / "model.py")
    (project / "b" / "around").symlink_to("../../project/a")
    (project / "b" / "up").symlink_to("../a/model.py")
    (project / "missing").symlink_to("not/there")
    (project / "itself").symlink_to("itself")
    links = {entry.path: entry.target for entry in plan(project, (), LIMIT).entries if entry.kind is EntryKind.LINK}
    assert links == {
        "absolute": "a/model.py",
        "b/around": "../a",
        "b/up": "../a/model.py",
        "itself": "itself",
        "latest": "a",
        "missing": "not/there",
    }


def test_links_that_leave_the_folder_are_refused_all_at_once(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(tmp_path, "project2/secret", "project/model.py")
    (project / "data").symlink_to("/usr/share")
    (project / "next").symlink_to("../project2")
    (project / "sub").mkdir()
    (project / "sub" / "via").symlink_to("../next/secret")
    with pytest.raises(BadInput) as caught:
        plan(project, (), LIMIT)
    assert {problem.file for problem in caught.value.problems} == {"data", "next", "sub/via"}
    assert "data: the symbolic link leads out of the folder, to /usr/share" in str(caught.value)
    assert "add `/data` to .orchestuneignore" in str(caught.value)


def test_of_very_many_links_that_leave_the_folder_the_first_are_told(tmp_path: Path) -> None:
    for number in range(1500):
        (tmp_path / f"link-{number:04}").symlink_to("/usr/share")
    with pytest.raises(BadInput) as caught:
        plan(tmp_path, (), LIMIT)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("link-0000: the symbolic link leads out of the folder")
    assert lines[20:] == ["… and 1,480 more"]
    assert caught.value.hint == f"run from the folder of your program: all of {tmp_path} counts as its code"


def test_an_ignored_link_may_leave_the_folder_and_is_linked_in(tmp_path: Path) -> None:
    write(tmp_path, "model.py")
    (tmp_path / "data").symlink_to("/usr/share")
    (tmp_path / "gone").symlink_to("/nowhere/at/all")
    listing = plan(tmp_path, ["data/", "gone"], LIMIT)
    assert paths(listing) == ["model.py"]
    assert listing.left_out == ("data", "gone")


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "real/a/model.py")
    (tmp_path / "real" / "b").symlink_to("a")
    (tmp_path / "project").symlink_to("real")
    assert paths(plan(tmp_path / "project", (), LIMIT)) == ["a", "a/model.py", "b"]


def test_over_the_limit_the_largest_files_are_named(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path, f"sub/file{number:02d}", text="x" * (number + 1) * 1000)
    with pytest.raises(TooLarge) as caught:
        plan(tmp_path, (), 50_000)
    assert "is 76.2 KiB, the limit is 48.8 KiB" in caught.value.message
    lines = caught.value.message.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [f"sub/file{number:02d}" for number in range(11, 1, -1)]
    assert ".orchestuneignore" in caught.value.hint
    assert "limit" in caught.value.hint


def test_special_files_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "model.py")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))
        assert paths(plan(tmp_path, (), LIMIT)) == ["model.py"]


def test_names_that_are_not_utf_8_are_taken_but_not_linked_in(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write(tmp_path, name, f"{name}.bin")
    listing = plan(tmp_path, ["*.bin"], LIMIT)
    assert paths(listing) == [name]
    assert listing.left_out == ()


def test_names_in_messages_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).symlink_to("/usr")
    with pytest.raises(BadInput) as caught:
        plan(tmp_path, (), LIMIT)
    assert str(caught.value).encode()


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "file")
    for folder in (tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(BadInput, match="is not a folder"):
            plan(folder, (), LIMIT)


def test_what_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, "closed/model.py", "weights.bin", "readable.py")
    (tmp_path / "weights.bin").chmod(0)
    (tmp_path / "closed").chmod(0)
    script = """
import encodings.idna, os, sys, tempfile
from pathlib import Path
from orchestune.bundles.pack import pack
from orchestune.errors import BadInput
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with tempfile.TemporaryDirectory() as out:
    for ignore in ([], ["closed"]):
        try:
            pack(Path("."), ignore, 1 << 20, Path(out))
        except BadInput as exc:
            print(exc)
    print(os.listdir(out))
"""
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    (tmp_path / "closed").chmod(0o700)
    advice = "cannot be read: Permission denied (make it readable, or add it to .orchestuneignore)"
    assert done.stdout.splitlines() == [f"closed: {advice}", f"weights.bin: {advice}", "[]"], done.stderr


def test_a_file_that_takes_our_output_is_no_code(tmp_path: Path) -> None:
    write(tmp_path, "train.py", "old.log")
    program = "import sys; from pathlib import Path; from orchestune.bundles.listing import plan\n"
    program += "print(*(entry.path for entry in plan(Path.cwd(), (), 1 << 20).entries), file=sys.stderr)"
    with open(tmp_path / "run.log", "w") as out, open(tmp_path / "err.log", "w") as err:
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, stdout=out, stderr=err, check=True)
    assert (tmp_path / "err.log").read_text() == "old.log train.py\n"


def test_the_state_folder_of_orchestune_is_no_code(tmp_path: Path) -> None:
    write(tmp_path, "model.py", "deep/state/token", "deep/state/files/log")
    assert "deep/state/token" in paths(plan(tmp_path, (), LIMIT))
    state_folder({"ORCHESTUNE_HOME": str(tmp_path / "deep" / "state")})
    listing = plan(tmp_path, ("!token",), LIMIT)
    assert paths(listing) == ["deep", "deep/state", "model.py"]
    assert listing.left_out == ()


def test_fetched_files_change_nothing_of_the_code_and_are_left_out_as_one_folder(tmp_path: Path) -> None:
    write(tmp_path, "model.py", "runs/notes.txt")
    before = plan(tmp_path, (), LIMIT).entries
    for folder in ("sgd-7f3a-12", "runs/best"):
        write(tmp_path, *(f"{folder}/{name}" for name in ("a.pt", "b.pt", "logs/c.txt")))
        write(tmp_path, f"{folder}/.gitignore", text=FETCHED)
    listing = plan(tmp_path, (), LIMIT)
    assert listing.entries == before
    assert listing.left_out == ("runs/best", "sgd-7f3a-12")
    write(tmp_path, "runs/.gitignore", text="*\n!.gitignore\n")
    assert "runs" in paths(plan(tmp_path, (), LIMIT)), "a folder to write into that git keeps empty is there"
