"""Signing in and out, and what a viewer sees."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, expect

from orchestune.client.local import endpoint
from orchestune.client.local.endpoint import EmbeddedEndpoint
from orchestune.services.core import Core
from tests.pages.conftest import OpenPage, Trouble, sign_in
from tests.testbeds.home import Home
from tests.testbeds.seed import TOKEN, serve
from tests.testbeds.vouching import Vouching


def test_who_is_nobody_signs_in_with_a_token_and_comes_to_where_they_wanted(
    browser: Browser, url: str, handles: dict[str, str]
) -> None:
    page = browser.new_page()
    page.goto(f"{url}/experiments/{handles['one trial']}?tab=logs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Or enter your token").fill("a guess that is wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("This token is unknown")
    page.get_by_label("Or enter your token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="one trial")).to_be_visible()
    assert page.url.endswith(f"/experiments/{handles['one trial']}?tab=logs")
    page.close()


def test_signing_out_ends_the_session_of_every_tab(open_page: OpenPage, url: str) -> None:
    page = open_page("/experiments")
    other = page.context.new_page()
    other.goto(f"{url}/experiments")
    expect(other.get_by_role("link", name="image model")).to_be_visible()
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_is_over_sends_an_open_page_to_sign_in(
    open_page: OpenPage, handles: dict[str, str], url: str, trouble: Trouble
) -> None:
    """The page notices without a reload: its stream ends, and it asks for the reason."""
    trouble.expect("401")
    page = open_page(f"/experiments/{handles['sgd classifier']}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    assert page.request.post(f"{url}/sign-out", headers={"Origin": url}).ok
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.url.endswith("next=" + quote(f"/experiments/{handles['sgd classifier']}", safe=""))


def test_a_viewer_sees_everything_and_no_buttons_that_change_it(
    browser: Browser, core: Core, handles: dict[str, str]
) -> None:
    with serve(replace(core, identities=(Vouching(),))) as url:
        page = browser.new_page()
        sign_in(page, url, "viewer-token")
        page.goto(f"{url}/experiments/{handles['image model']}")
        expect(page.get_by_role("heading", name="image model")).to_be_visible()
        expect(page.get_by_role("table").first).to_be_visible()
        for name in ("Stop", "Pause", "Change"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
        refused = page.evaluate(
            "ref => fetch(`/api/v1/experiments/${ref}/stop`, {method: 'POST'}).then((answer) => answer.status)",
            handles["image model"],
        )
        assert refused == 403
        page.goto(f"{url}/experiments")
        expect(page.get_by_role("link", name="image model")).to_be_visible()
        page.get_by_role("checkbox", name="Select all").check()
        expect(page.get_by_role("link", name="Compare")).to_be_visible()
        expect(page.get_by_role("button", name="Stop")).to_have_count(0)
        page.close()


def test_the_command_prints_a_link_to_an_experiment_that_runs(browser: Browser, tmp_path: Path) -> None:
    with Home() as home:
        (tmp_path / "model.py").write_text("import os\nprint('loss=', float(os.environ['ORCHESTUNE_PARAM_X']) ** 2)\n")
        words = ["--minimize", "loss", "x=-1..1.0", "--budget", "6", "--", "python", "model.py"]
        started = json.loads(home.run("run", "--json", "--detach", *words, cwd=tmp_path).stdout)
        link = home.run("ui", started["handle"], "--print").stdout.strip()
        assert re.fullmatch(r"http://[0-9a-f]{16}\.localhost:\d+/sign-in\?code=\S+&next=%2Fexperiments%2F\S+", link)
        page = browser.new_page()
        page.goto(link)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".facts")).to_contain_text("6 of 6")
        expect(page.locator(".head .state")).to_have_text("completed")
        page.get_by_role("link", name="Logs", exact=True).click()
        expect(page.get_by_role("log")).to_contain_text("loss=")

        # it goes away, and comes back with another origin: the page notices both
        server = EmbeddedEndpoint.read(home.folder / endpoint.FILE)
        assert server is not None
        os.kill(server.process.pid, signal.SIGKILL)
        expect(page.locator("#connection")).to_have_attribute("data-state", "stale")
        home.run("status")
        expect(page.locator("body")).to_contain_text("orchestune ui")
        page.close()
