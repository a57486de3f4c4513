"""Reports of seeded experiments of every kind: what the file says, and that it requests nothing."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestune.cli.main import run
from orchestune.cli.terminal.console import Console
from orchestune.server.pages import assets
from orchestune.services.core import Core
from tests.testbeds.seed import HOSTILE, TOKEN, WIDE, serve

Report = Callable[[str], str]


@pytest.fixture(scope="module")
def report(core: Core, handles: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """Return the report of an experiment by its name, as the command line writes it."""
    folder = tmp_path_factory.mktemp("reports")
    with serve(core) as url:

        def written(name: str) -> str:
            target = folder / f"{handles[name]}.html"
            code, errors = command(folder, url, "report", handles[name], "-o", str(target))
            assert code == 0, errors
            return target.read_text(encoding="utf-8")

        yield written


def addresses(page: str) -> set[str]:
    """Return the value of each attribute that holds an address."""
    values = set[str]()

    class Elements(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values.update(value or "" for name, value in attrs if name in ("src", "href", "action", "srcset"))

    Elements().feed(page)
    return values


def command(folder: Path, url: str, *words: str) -> tuple[int, str]:
    errors = io.StringIO()
    environ = {"ORCHESTUNE_SERVER": url, "ORCHESTUNE_TOKEN": TOKEN, "ORCHESTUNE_HOME": str(folder)}
    code = run(Console(out=io.StringIO(), err=errors, environ=environ, started_in=folder), [*words])
    return code, errors.getvalue()


@pytest.mark.parametrize(
    "name", ["sgd classifier", "size against speed", "broken script", "nothing yet", WIDE, HOSTILE]
)
def test_a_report_names_no_address_that_a_browser_would_request(report: Report, name: str) -> None:
    page = report(name)
    assert {address for address in addresses(page) if not address.startswith(("data:", "#trials-"))} == set()
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!['\"]?data:)|@import", page)


def test_names_from_a_trial_are_text_and_cannot_end_the_script_that_holds_the_documents(report: Report) -> None:
    page = report(HOSTILE)
    assert HOSTILE not in page
    assert "&lt;script&gt;document.title" in page
    _, _, rest = page.partition('id="documents">')
    assert json.loads(rest.partition("</script>")[0])["status"]["name"] == HOSTILE


def test_a_report_says_what_was_searched_found_spent_and_lost(report: Report) -> None:
    text = re.sub(r"<[^>]+>", " ", report("sgd classifier").partition('<div id="plots">')[0].partition("<body>")[2])
    words = " ".join(text.split())
    for part in (
        "120 of 120",
        "maximize accuracy",
        "1e-06 to 0.1, logarithmic",
        "0 to 1; if penalty is elasticnet",
        "python train.py {args}",
        "CPU time",
        "3 lost or preempted",
        "the trial used more than its 2 GiB of memory",
    ):
        assert part in words, words


def test_a_pareto_front_is_shown_side_by_side(report: Report) -> None:
    page = report("size against speed")
    assert page.count('<th class="right" scope="col"><a href="#trials-') == 8
    assert "minimize error, minimize latency" in page


def test_a_report_of_an_experiment_without_results_says_so(report: Report) -> None:
    assert "No trial has completed." in report("nothing yet")
    assert "No trial has failed." in report("nothing yet")


def test_every_script_that_a_report_imports_is_in_the_file(report: Report) -> None:
    [text] = re.findall(r'<script type="importmap">(.*?)</script>', report("one trial"))
    modules = json.loads(text)["imports"]
    assert set(modules) >= {"report/plots.js", "tabs/analysis.js", "lib/api.js"}
    assert set(modules) - {"report/plots.js"} <= set(assets.imported("tabs/analysis.js")) | {"report/documents.js"}


def test_a_folder_is_no_file_to_write_to(core: Core, handles: dict[str, str], tmp_path: Path) -> None:
    with serve(core) as url:
        code, errors = command(tmp_path, url, "report", handles["one trial"], "-o", str(tmp_path))
    assert (code, errors.splitlines()[0]) == (2, f"error: '{tmp_path}' is a folder (expected a file)")
