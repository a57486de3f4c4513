"""One sign-in in a real Chromium."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.integration.oidc.conftest import Team
from tests.pages.conftest import browser, for_everybody

__all__ = ["browser"]


def test_a_person_signs_in_with_the_button_and_out_again(browser: Browser, team: Team) -> None:
    page = browser.new_page()
    page.goto(f"{team.url}/settings")
    for_everybody(page)
    page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    page.get_by_placeholder("Enter any login").fill("ada")
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
    assert page.url == f"{team.url}/settings"
    page.get_by_text("ada@example.org").first.click()
    expect(page.get_by_text("Signed in as ada@example.org, owner")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{team.url}/settings")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.close()
