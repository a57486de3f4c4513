"""The example's notebook is executed by a real kernel, and its bars move while the cells wait."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbeds.home import Home

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


def bars(heard: list[dict[str, Any]], cell: int) -> list[tuple[int, int]]:
    """(done, budget) of every bar that the cell showed, in order; the first one is made, the others replace it."""
    displays = [item for item in heard if item["cell"] == cell and item["type"].endswith("display_data")]
    assert [item["type"] for item in displays] == ["display_data", *["update_display_data"] * (len(displays) - 1)]
    assert len({item["content"]["transient"]["display_id"] for item in displays}) == 1
    progress = [
        re.search(r'<progress value="(\d+)" max="(\d+)"', item["content"]["data"]["text/html"]) for item in displays
    ]
    return [(int(match[1]), int(match[2])) for match in progress if match]


def test_cells_show_a_bar_that_moves_and_what_came_of_it(home: Home, tmp_path: Path) -> None:
    notebook = Path(shutil.copytree(ROOT / "examples/17-notebook", tmp_path / "17-notebook")) / "tune.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "tests.testbeds.notebook", str(notebook)],
        cwd=ROOT,
        env={**home.env, "JUPYTER_PLATFORM_DIRS": "1", "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{done.stderr[-4000:]}{home.server_log()}"
    heard = json.loads(done.stdout)
    cells = json.loads(notebook.read_text())["cells"]
    for number, budget in ((3, 12), (6, 4)):
        assert "budget=" in "".join(cells[number]["source"])
        positions = bars(heard, number)
        assert positions == sorted(positions)
        assert {most for _, most in positions} == {budget}
        assert positions[0][0] < budget and positions[-1][0] == budget
        assert len(set(positions)) > (2 if budget == 12 else 1)
    table = next(item for item in heard if item["cell"] == 4 and item["type"] == "execute_result")
    assert "metrics.accuracy" in table["content"]["data"]["text/html"]
    printed = "".join(item["content"]["text"] for item in heard if item["type"] == "stream" and item["cell"] == 6)
    assert re.search(r"^best: accuracy 0\.\d+, \{'alpha': ", printed)
    statuses = home.json("status", cwd=notebook.parent)
    assert [status["state"] for status in statuses] == ["completed", "completed"]
