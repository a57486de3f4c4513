"""The commands of the README and of the tutorial are run here, and their output is compared with what they show."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.testbeds.home import Home

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs/tutorial.md").read_text()
pytestmark = pytest.mark.timeout(600)


def shape(text: str) -> list[str]:
    """The lines without what differs from run to run; lines of trials and of the best values are left out."""
    lines = []
    for line in text.splitlines():
        if re.match(r"\s*\d+/\d+  trial \d+  ", line) or re.match(r"\s{6}\S+\s+\S+$", line):
            continue
        line = re.sub(r"\b(digits|random)-[a-z0-9]{4}\b", "HANDLE", line)
        line = re.sub(r"\d+(\.\d+)?( KiB| ms|[smh]\b)( \d+s\b)?", "0", line)
        line = re.sub(r"importance .*", "importance", re.sub("[▁▂▃▄▅▆▇█ ]{8,}", " BARS ", line))
        lines.append(re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?(e[-+]?\d+)?", "0", line)).strip())
    return lines


def test_the_demo_prints_what_the_readme_shows_and_the_search_beats_chance(home: Home, tmp_path: Path) -> None:
    [block] = [
        text for text in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if text.startswith("$ make demo\n")
    ]
    project = Path(shutil.copytree(ROOT / "examples/30-kernel-ridge", tmp_path / "project"))
    done = subprocess.run(["sh", "demo.sh"], cwd=project, env=home.env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{home.server_log()}"
    printed = iter(shape(done.stdout))
    block_lines = [line for line in shape(block.partition("\n")[2]) if line not in ("", "…")]
    assert len(block_lines) > 12
    assert [line for line in block_lines if line not in printed] == [], (
        done.stdout
    )  # in this order, others between them
    handles = re.findall(r"^(\S+) completed: 60 of 60 trials", done.stdout, re.MULTILINE)
    chance, search = (home.json("best", handle)[0]["metrics"]["loss"]["value"] for handle in handles)
    assert search < 0.85 * chance
    assert re.search(r"^http://\S+/sign-in\?code=\S+digits-\w+$", done.stdout, re.MULTILINE)


def test_the_file_of_the_demo_is_the_one_in_the_readme() -> None:
    file = (ROOT / "examples/30-kernel-ridge/experiment.yml").read_text()
    [example_file] = re.findall(r"```yaml\n(name: digits\n.*?)```", README, re.DOTALL)
    assert file.startswith(example_file)


def test_the_tutorial_can_be_followed_as_it_stands(home: Home, tmp_path: Path) -> None:
    [script] = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)
    [file] = re.findall(r"```yaml\n(.*?)```", TUTORIAL, re.DOTALL)
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "experiment.yml").write_text(file)
    install, *blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    assert "pip install" in install  # that part is tests/e2e/test_wheel.py
    outputs = []
    for line in "".join(blocks).splitlines():
        command = line.partition("#")[0].strip()
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=home.env, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{home.server_log()}"
        outputs.append(done.stdout)
    assert "20 of 20 trials" in "".join(outputs)
    for handle in re.findall(r"`orchestune (status \w+)` shows|`orchestune (trials \w+/\d+)`", TUTORIAL):
        home.run(*"".join(handle).split(), cwd=tmp_path)
