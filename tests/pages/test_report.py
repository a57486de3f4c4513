"""A report in a browser, from a file and without any server."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from orchestune.cli.main import run
from orchestune.cli.terminal.console import Console
from tests.pages.conftest import for_everybody
from tests.pages.test_analysis import PLOTS, drawn
from tests.testbeds.seed import HOSTILE, TOKEN


def opened(browser: Browser, url: str, handle: str, folder: Path) -> tuple[Page, list[str]]:
    """Write the report and open it offline; return the page, and what it complains of and requests."""
    target = folder / "report.html"
    environ = {"ORCHESTUNE_SERVER": url, "ORCHESTUNE_TOKEN": TOKEN, "ORCHESTUNE_HOME": str(folder)}
    console = Console(out=io.StringIO(), err=io.StringIO(), environ=environ, started_in=folder)
    assert run(console, ["report", handle, "-o", str(target)]) == 0
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True, color_scheme="light")
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "console", lambda message: trouble.append(message.text) if "willReadFrequently" not in message.text else None
    )
    page.on("request", lambda sent: trouble.append(sent.url) if re.match("http|ws", sent.url) else None)
    page.goto(target.as_uri())
    return page, trouble


@pytest.mark.parametrize("name", PLOTS)
def test_a_report_draws_the_plots_of_the_page_without_a_server(
    browser: Browser, url: str, handles: dict[str, str], tmp_path: Path, name: str
) -> None:
    page, trouble = opened(browser, url, handles[name], tmp_path)
    for plot in PLOTS[name]:
        expect(page.get_by_role("img", name=re.compile(f"^{plot}: "))).to_be_visible()
        assert drawn(page, plot), plot
    for_everybody(page)
    assert trouble == []
    page.context.close()


def test_a_reader_of_a_report_selects_trials_parameters_and_the_row_of_a_trial(
    browser: Browser, url: str, handles: dict[str, str], tmp_path: Path
) -> None:
    page, trouble = opened(browser, url, handles["sgd classifier"], tmp_path)
    card = page.get_by_role("region", name="Two parameters")
    card.get_by_label("Parameter across").select_option("layers")
    card.get_by_label("Parameter upwards").select_option("alpha")
    expect(card.get_by_role("img")).to_have_attribute("aria-label", re.compile("layers and alpha, coloured"))
    page.get_by_role("button", name="Select by values…").click()
    page.get_by_label("At least").fill("0.001")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_text(re.compile(r"\d+ of 120 trials: alpha: at least 0.001"))).to_be_visible()
    page.get_by_role("region", name="Best configuration").get_by_role("link").click()
    best = page.locator("tr:target")
    expect(best).to_be_in_viewport()
    assert page.url.endswith(str(best.get_attribute("id")))
    assert trouble == []
    page.context.close()


def test_names_in_a_report_run_nothing(browser: Browser, url: str, handles: dict[str, str], tmp_path: Path) -> None:
    page, trouble = opened(browser, url, handles[HOSTILE], tmp_path)
    expect(page.get_by_role("img", name=re.compile("^History: "))).to_be_visible()
    assert page.title().endswith("· report · Orchestune")
    assert trouble == []
    page.context.close()
