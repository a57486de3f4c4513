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
        if re.match(r"\s*\d+/\d+  trial \d+  ", line) or re.match(r"\s{6}\S+\s+\S+$", line) or line in ("", "…"):
            continue
        if re.match(r"\s{6}trial \d+ measured better", line):  # where chance has it
            continue
        line = re.sub(r"\b(sgd-classifier|first)-[a-z0-9]{4}\b", "HANDLE", line)
        line = re.sub(r"\d+(\.\d+)?( KiB| ms|[smh]\b)( \d+s\b)?", "0", line)
        lines.append(re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?(e[-+]?\d+)?", "0", line)).strip())
    return lines


def transcript() -> dict[str, str]:
    """Each command of the README's example with what it prints there."""
    [block] = [text for text in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if "$ orchestune run\n" in text]
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_transcript_of_the_readme_is_what_comes(home: Home, tmp_path: Path) -> None:
    project = Path(shutil.copytree(ROOT / "examples/01-sgd-classifier", tmp_path / "project"))
    shown = transcript()
    came = home.run("run", "--budget", "10", cwd=project).stdout
    assert shape(came) == shape(shown["orchestune run"])
    trial = re.compile(
        r"^ *\d+/\d+  trial \d+  accuracy [\d.]+ ± [\d.]+  [\d.]+m?s  alpha=\S+ penalty=\w+", re.MULTILINE
    )
    assert len(trial.findall(came)) == 10
    assert len(trial.findall(shown["orchestune run"])) >= 6
    table = home.run("trials", cwd=project).stdout.splitlines()
    there = shown["orchestune trials"].splitlines()
    assert table[0].split() == there[0].split()
    assert {len(line.split()) for line in table[1:]} == {len(line.split()) for line in there[1:] if line != "…"}
    assert list(shown) == ["orchestune run", "orchestune trials"]


def test_the_tutorial_can_be_followed_as_it_stands(home: Home, tmp_path: Path) -> None:
    [script] = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)
    [file] = re.findall(r"```yaml\n(.*?)```", TUTORIAL, re.DOTALL)
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "experiment.yml").write_text(file)
    install, *blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    assert "pip install" in install  # that part is tests/e2e/test_wheel.py
    said = []
    for line in "".join(blocks).splitlines():
        command = line.partition("#")[0].strip()
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=home.env, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{home.server_log()}"
        said.append(done.stdout)
    assert "20 of 20 trials" in "".join(said)
    for handle in re.findall(r"`orchestune (status \w+)` shows|`orchestune (trials \w+/\d+)`", TUTORIAL):
        home.run(*"".join(handle).split(), cwd=tmp_path)
