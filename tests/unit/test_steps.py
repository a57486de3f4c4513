"""The counted steps of each tool match the page, and the programs match their descriptions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.steps.__main__ import TOOLS, table
from benchmarks.steps.tasks import TASKS, Task

PAGE = Path(__file__).parents[2] / "docs/explanation/fewer-steps.md"


def test_the_page_has_the_table_that_was_counted() -> None:
    assert table() in PAGE.read_text(), "python -m benchmarks.steps"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_no_tool_takes_fewer_steps_and_where_one_takes_as_few_the_page_says_so(task: Task) -> None:
    steps = {tool: solution.steps for tool, find in TOOLS.items() if (solution := find(task)) is not None}
    own = steps.pop("Orchestune")
    assert steps and own <= min(steps.values())
    assert (own == min(steps.values())) == (task.title == "Hydra")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_solution_fits_its_program_which_knows_no_tool(task: Task, tmp_path: Path) -> None:
    for tool, find in TOOLS.items():
        folder = tmp_path / tool
        folder.mkdir()
        task.lay_out(folder)
        for path in folder.rglob("*.py"):
            assert "orchestune" not in path.read_text().replace("knows nothing of Orchestune", "")
        solution = find(task)
        if solution is not None:
            solution.lay_out(folder)
            for path in folder.rglob("*.py"):
                ast.parse(path.read_text())
