"""The pages that follow from the code do so, and no page points to nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import get_type_hints

import pytest

from docs import generate
from orchestune import documents
from orchestune.cli.main import build_parser, parser_commands
from orchestune.server.settings import load

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src/orchestune"
PROTOCOL = (ROOT / "docs/reference/protocol.md").read_text()
ANSWERS = (
    "Status Best RunningTrial Worker RoomForTrials Asked Trial Attempt Fold Event LogChunk Cluster SurveyedMachine"
    " ClusterExperiment Gpu GpuHolder Retirement Grant Imported"
)
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("benchmarks/*.md")]
)


def test_every_generated_page_is_what_the_code_says() -> None:
    assert generate.differing() == [], "run: make docs"


def test_the_page_of_states_shows_every_change_of_every_table() -> None:
    from orchestune.domain.lifecycle.transitions import MACHINES

    page = generate.state_machines()
    for table in MACHINES.values():
        for (state, cause), after in table.items():
            assert re.search(rf"^    {state} --> {after}: .*\b{cause}\b", page, re.MULTILINE), (state, cause, after)


def test_the_page_of_states_tells_what_every_reason_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "REASONS", {**generate.REASONS, "a trial has failed": {}})
    with pytest.raises(KeyError, match="exit_code"):
        generate.state_machines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    inside = [link.partition("#") for link in links if "://" not in link]
    targets = {file: (page.parent / file if file else page) for file, _, _ in inside}
    assert [file for file, path in targets.items() if not path.exists()] == []
    assert [f"{file}#{at}" for file, _, at in inside if at and at not in headings(targets[file])] == []


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def headings(page: Path) -> set[str]:
    """Return the fragments of the page that links may name."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", ANSWERS.split())
def test_the_protocol_shows_every_field_of_what_the_server_answers_with(name: str) -> None:
    assert [field for field in get_type_hints(getattr(documents, name)) if f'"{field}"' not in PROTOCOL] == []


def test_the_protocol_lists_every_kind_of_event() -> None:
    text = "".join(path.read_text() for part in ("services", "controllers") for path in (SOURCES / part).rglob("*.py"))
    kinds = set(re.findall(r'\.record\(\s*"(\w+)"', text))
    assert len(kinds) > 15
    assert sorted(kind for kind in kinds if f"`{kind}`" not in PROTOCOL) == []


def test_the_protocol_lists_every_variable_of_a_trial() -> None:
    text = "".join((SOURCES / "worker" / name).read_text() for name in ("environment.py", "processes/launcher.py"))
    names = set(re.findall(r'"(ORCHESTUNE_(?!WORKER_|PARAM_)\w+)"', text))
    assert "ORCHESTUNE_SEED" in names
    assert sorted(name for name in names if f"`{name}`" not in PROTOCOL) == []


def test_each_call_on_the_page_of_python_is_written_as_python() -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    calls = re.findall(r"^```python\n((?:await )?orchestune[\w.]+\(.*)\n```", page, re.MULTILINE)
    calls += re.findall(r"^\*\*`(.+\(.*)`\*\*", page, re.MULTILINE)
    assert len(calls) > 60
    for call in calls:
        assert call.startswith("await ") == ("_async(" in call and "AsyncIterator" not in call), call
        name, _, rest = call.removeprefix("await ").partition("(")
        ast.parse(f"def {name.rpartition('.')[2]}({rest}: ...")


def test_the_page_of_the_command_line_lists_every_variable_that_commands_read() -> None:
    text = "".join(path.read_text() for part in ("cli", "client") for path in (SOURCES / part).rglob("*.py"))
    names = set(re.findall(r'environ\.get\("(ORCHESTUNE_\w+)"', text))
    page = (ROOT / "docs/reference/cli.md").read_text()
    assert "ORCHESTUNE_SERVER" in names
    assert sorted(name for name in names if f"| `{name}` |" not in page) == []


def test_the_examples_name_those_that_have_no_experiment_file() -> None:
    folders = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
    *first, last = [path.name[:2] for path in folders if not (path / "experiment.yml").exists()]
    text = (ROOT / "examples/README.md").read_text()
    assert f"{', '.join(first)} and {last} have no experiment file" in text
    assert [path.name for path in folders if f"[{path.name}]({path.name})" not in text] == []


def test_the_readme_lists_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    install = (ROOT / "README.md").read_text().partition("## Install it")[2].partition("\n## ")[0]
    rows = "".join(re.findall(r"^\| (`.*?) \|", install, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == set(extras)


def test_the_page_about_runs_without_a_file_lists_every_option_that_stands_for_a_key() -> None:
    page = (ROOT / "docs/how-to/without-a-file.md").read_text()
    [group] = [
        group
        for group in parser_commands(build_parser(["run"]))["run"]._action_groups
        if group.title == "experiment without a file, or overrides of its keys"
    ]
    options = [action.option_strings[0] for action in group._group_actions if action.option_strings]
    assert len(options) > 10
    assert [option for option in options if not re.search(rf"[` ]{option}[` ]", page)] == []


def test_the_file_on_the_page_of_settings_is_one_that_the_server_takes(tmp_path: Path) -> None:
    [text] = re.findall(r"```\n(.*?)```", (ROOT / "docs/reference/server-settings.md").read_text(), re.DOTALL)
    (tmp_path / "server.toml").write_text(text)
    assert load(["--config", str(tmp_path / "server.toml")], {}).retention == 90 * 24 * 3600


def test_the_list_of_what_make_does_stands_in_two_columns() -> None:
    words = ["make", "--no-print-directory", "help"]  # within another make it would say where it is
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(listed) > 20
    assert len({re.match(r"\S+ +", line).end() for line in listed}) == 1  # type: ignore[union-attr]


def test_the_map_shows_every_layer_in_the_order_that_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"][1:] for contract in contracts if contract["id"] == "layers"]
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    [drawn] = re.findall(r"^```\n(cli .*?)```", page, re.MULTILINE | re.DOTALL)
    assert [re.findall(r"\w+", layer) for layer in drawn.split("→")] == [re.findall(r"\w+", layer) for layer in layers]


def test_the_list_of_benchmarks_has_each_that_can_be_run() -> None:
    folder = ROOT / "benchmarks"
    programs = {path.stem for path in folder.glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    listed = set(re.findall(r"^\| `([\w.]+)` \|", (folder / "README.md").read_text(), re.MULTILINE))
    assert programs - listed == {"simulated_server"}, "which others start"


def test_no_entry_of_the_changelog_stands_there_twice() -> None:
    entries = re.split(r"\n(?=- )", (ROOT / "CHANGELOG.md").read_text())
    ends = Counter(" ".join(entry.split()[-12:]) for entry in entries)
    assert len(entries) > 20
    assert [words for words, times in ends.items() if times > 1] == []
