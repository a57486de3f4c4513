"""Trials get the project that contains the script, and run in the script's folder of it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.testbeds.home import Home

SCRIPT = """
import sys
sys.path.append("..")
import helper
rows = open("../data/rows.csv").read().split()
print("loss=%g" % (float(sys.argv[1]) + helper.offset(rows)))
"""
HELPER = "def offset(rows):\n    return len(rows)\n"
FILES = {"helper.py": HELPER, "data/rows.csv": "1\n2\n3\n", "src/train.py": SCRIPT}
ARGUMENTS = ("--minimize", "loss", "x=0.0..1.0", "--budget", "1", "--engine", "random")
COMMAND = ("--", "python3", "train.py", "{x}")


def repository(folder: Path, files: Mapping[str, str] = FILES, *, git: bool = True) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if git:
        commit(folder)
    return folder


def commit(folder: Path) -> None:
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "--all"], check=True)
    subprocess.run(["git", "-C", str(folder), *author, "commit", "--quiet", "-m", "first"], check=True)


def run(home: Home, folder: Path, *options: str) -> str:
    """Run one trial in the folder and return the plan; the trial must complete."""
    output = home.run("run", "--verbose", *ARGUMENTS, *options, *COMMAND, cwd=folder).stdout
    assert "1 of 1 trials" in output and "(1 completed)" in output, output
    return output


def failure(home: Home, folder: Path, *options: str) -> str:
    """Return the reason of the only trial, which must fail."""
    output = home.run("run", *ARGUMENTS, *options, *COMMAND, cwd=folder, expect=None).stdout
    [reason] = [line for line in output.splitlines() if line.startswith("fail  trial 1")]
    return reason


def test_a_script_in_a_subfolder_reads_what_is_beside_the_folder(shared_home: Home, tmp_path: Path) -> None:
    root = repository(tmp_path / "nested")
    plan = run(shared_home, root / "src")
    assert f"project    {root} (because of .git); the command runs in src" in plan
    log = shared_home.run("logs", cwd=root / "src").stdout
    assert "loss=" in log


def test_repeating_trying_and_opening_a_trial_run_in_the_same_folder(shared_home: Home, tmp_path: Path) -> None:
    home, source = shared_home, repository(tmp_path / "again") / "src"
    run(home, source)
    assert "(1 completed)" in home.run("rerun", "/1", cwd=source).stdout
    (source / "train.py").write_text(SCRIPT.replace("loss=%g", "where=%g"))
    tried = home.run("try", "/1", cwd=source, expect=1)
    assert "where=" in tried.stdout
    (source / "train.py").write_text(SCRIPT)
    assert "loss=" in home.run("try", "/1", cwd=source).stdout
    output = home.run("shell", "/1", "--", "sh", "-c", "pwd; cat ../data/rows.csv", cwd=source).stdout
    assert output.splitlines()[0].endswith("/src") and output.split()[1:] == ["1", "2", "3"]


def test_a_copy_of_the_repository_elsewhere_is_tried_in_the_same_folder(shared_home: Home, tmp_path: Path) -> None:
    source = repository(tmp_path / "first") / "src"
    run(shared_home, source)
    handle = shared_home.json("status", cwd=source)[0]["handle"]
    other = repository(tmp_path / "clone", {**FILES, "src/train.py": SCRIPT + "print('clone=1')\n"}) / "src"
    tried = shared_home.run("try", handle, cwd=other)
    assert "clone=1" in tried.stdout and f"using the code in {other.parent}" in tried.stderr


def test_a_file_that_init_writes_in_a_subfolder_names_the_project(shared_home: Home, tmp_path: Path) -> None:
    script = SCRIPT.replace("import sys\n", "import argparse, sys\n").replace("float(sys.argv[1])", "options.x")
    parsed = "parser = argparse.ArgumentParser()\nparser.add_argument('--x', type=float, default=0.5)\n"
    source = repository(tmp_path / "drafted", FILES | {"src/train.py": script}) / "src"
    text = (source / "train.py").read_text()
    (source / "train.py").write_text(text.replace("rows = ", f"{parsed}options = parser.parse_args()\nrows = "))
    shared_home.run("init", "train.py", "--yes", cwd=source)
    assert "root: .." in (source / "experiment.yml").read_text()
    shared_home.run("init", "train.py", "--yes", "--force", cwd=source)
    assert "root: .." in (source / "experiment.yml").read_text(), (
        "the file of the first time marks no project of its own"
    )
    assert "(2 completed)" in shared_home.run("run", "--budget", "2", cwd=source).stdout


def test_constants_of_a_script_in_a_subfolder_are_replaced(shared_home: Home, tmp_path: Path) -> None:
    files = {"src/legacy.py": "RATE = 0.1\nprint('loss=%g' % RATE)\n"}
    source = repository(tmp_path / "constants", files) / "src"
    shared_home.run("init", "legacy.py", "--yes", cwd=source)
    assert "(2 completed)" in shared_home.run("run", "--budget", "2", "--set", "try_first=[]", cwd=source).stdout


@pytest.mark.parametrize("options", [(), ("--config", "settings/net.json")])
def test_a_script_that_opens_its_configuration_file_by_name_gets_the_values(
    shared_home: Home, tmp_path: Path, options: tuple[str, ...]
) -> None:
    script = "import json\nprint('loss=%g' % json.load(open('settings/net.json'))['optim']['rate'])\n"
    files = {"src/train.py": script, "src/settings/net.json": '{"optim": {"rate": 0.5}, "epochs": 3}\n'}
    source = repository(tmp_path / f"by-name-{len(options)}", files) / "src"
    shared_home.run("init", "train.py", *options, "--yes", cwd=source)
    shared_home.run("run", "--budget", "3", cwd=source)
    trials = shared_home.json("trials", shared_home.json("status", cwd=source)[0]["handle"], cwd=source)
    values = [trial["metrics"]["loss"]["value"] for trial in trials]
    rates = [trial["parameters"]["optim.rate"] for trial in trials]
    assert len({*rates}) == 3 and [f"{value:g}" for value in values] == [f"{rate:g}" for rate in rates]
    assert (source / "settings/net.json").read_text() == files["src/settings/net.json"], "the file itself is unchanged"


def test_a_submodule_is_a_project_of_its_own(shared_home: Home, tmp_path: Path) -> None:
    repository(tmp_path / "model")
    outer = repository(tmp_path / "outer", {"README": "all", "data/rows.csv": "1\n"})
    add = ("submodule", "--quiet", "add", str(tmp_path / "model"), "model")
    subprocess.run(["git", "-c", "protocol.file.allow=always", "-C", str(outer), *add], check=True)
    plan = run(shared_home, outer / "model" / "src")
    assert f"project    {outer / 'model'} (because of .git)" in plan


def test_a_package_of_a_monorepo_is_a_project_and_a_larger_one_on_request(shared_home: Home, tmp_path: Path) -> None:
    package = {f"services/ml/{name}": text for name, text in FILES.items()}
    root = repository(tmp_path / "mono", {"shared.py": "", "services/ml/pyproject.toml": "", **package})
    plan = run(shared_home, root / "services/ml/src")
    assert f"project    {root / 'services/ml'} (because of pyproject.toml)" in plan
    (root / "services/ml/src/train.py").write_text("open('../../../shared.py')\nprint('loss=1')\n")
    reason = failure(shared_home, root / "services/ml/src")
    assert f"'../../../shared.py' exists in the original folder ({root / 'shared.py'})" in reason
    assert f"start it with --root {root}" in reason
    plan = run(shared_home, root / "services/ml/src", "--root", str(root))
    assert f"project    {root} (because of code.root); the command runs in services/ml/src" in plan


def test_a_script_of_a_folder_of_notebooks_imports_the_package_beside_it(shared_home: Home, tmp_path: Path) -> None:
    files = {"helper.py": HELPER, "data/rows.csv": "1\n", "notebooks/train.py": SCRIPT, "notebooks/a.ipynb": "{}"}
    root = repository(tmp_path / "analysis", {**files, "setup.py": ""}, git=False)
    assert f"project    {root} (because of setup.py); the command runs in notebooks" in run(
        shared_home, root / "notebooks"
    )


def test_large_data_are_linked_and_named_with_what_a_cluster_would_need(shared_home: Home, tmp_path: Path) -> None:
    root = repository(tmp_path / "large")
    (root / "data/images").mkdir()
    for number in range(4):
        (root / f"data/images/{number}.bin").write_bytes(bytes(2**20))
    (tmp_path / "elsewhere").write_text("7")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    plan = run(shared_home, root / "src", "--set", "code.limit=1Mi")
    assert "linked from this folder, not packed: data (4.0 MiB), linked; all trials share them" in plan
    assert "mount such data with `volumes:`" in plan
    assert f"links that lead out of the project: linked -> {tmp_path / 'elsewhere'}" in plan
    script = "print(len(open('../data/images/3.bin','rb').read()), open('../linked').read()); print('loss=1')"
    (root / "src/train.py").write_text(script)
    run(shared_home, root / "src", "--set", "code.limit=1Mi")
    assert "1048576 7" in shared_home.run("logs", cwd=root / "src").stdout


def test_code_that_is_too_large_is_refused_as_before(shared_home: Home, tmp_path: Path) -> None:
    root = repository(tmp_path / "generated", {"train.py": SCRIPT, "tables.py": "#" * 2**21}, git=False)
    refused = shared_home.run("run", *ARGUMENTS, "--set", "code.limit=1Mi", *COMMAND, cwd=root, expect=None)
    assert refused.returncode and "the limit is 1.0 MiB" in refused.stderr and "tables.py" in refused.stderr


def test_without_any_mark_the_folder_is_the_project_and_a_failure_says_what_is_outside(
    shared_home: Home, tmp_path: Path
) -> None:
    root = repository(tmp_path / "plain", git=False)
    reason = failure(shared_home, root / "src")
    assert (
        f"'helper' exists in the original folder ({root / 'helper.py'}), but trials only get {root / 'src'}" in reason
    )
    assert f"start it with --root {root}" in reason
    run(shared_home, root / "src", "--root", "..")


def test_a_folder_that_the_project_ignores_is_packed_by_itself(shared_home: Home, tmp_path: Path) -> None:
    root = repository(tmp_path / "scratch", {".gitignore": "/tries/\n", "tries/train.py": "print('loss=1')\n"})
    plan = run(shared_home, root / "tries")
    assert "this folder is packed by itself" in plan and "  project " not in plan


@pytest.mark.parametrize(("root", "message"), [("/", "more than one project"), ("sub", "not the folder of")])
def test_a_root_that_is_no_folder_above_is_refused(shared_home: Home, tmp_path: Path, root: str, message: str) -> None:
    folder = repository(tmp_path / "wrong", git=False) / "src"
    (folder / "sub").mkdir()
    refused = shared_home.run("run", *ARGUMENTS, "--root", root, *COMMAND, cwd=folder, expect=2)
    assert message in refused.stderr
