"""Tokens, shared links, the server, and how the pages look."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Route, expect

from orchestune import __version__
from tests.pages.conftest import OpenPage, for_everybody, sign_in


def test_a_token_is_made_used_and_revoked(open_page: OpenPage, browser: Browser, url: str) -> None:
    page = open_page("/settings")
    card, dialog = page.get_by_role("region", name="Tokens"), page.get_by_role("dialog")
    card.get_by_role("button", name="Create token").click()
    dialog.get_by_label("User name").fill("grace")
    dialog.get_by_label("Role").select_option("viewer")
    for_everybody(page)
    dialog.get_by_role("button", name="Create", exact=True).click()
    token = dialog.get_by_label("The token").input_value()
    dialog.get_by_role("button", name="Done").click()
    expect(card.get_by_role("row").filter(has_text="grace")).to_contain_text("viewer")
    for_everybody(page)

    other = browser.new_page()
    sign_in(other, url, token)
    other.goto(f"{url}/settings")
    expect(other.get_by_role("region", name="Server")).to_contain_text("grace, viewer")
    for name in ("Tokens", "Shared links"):
        expect(other.get_by_role("region", name=name)).to_have_count(0)

    card.get_by_role("button", name="Revoke grace").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(card.get_by_text("No tokens yet")).to_be_visible()
    other.goto(f"{url}/experiments")
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    other.close()


def test_an_experiment_is_shared_by_a_link_and_no_longer(
    open_page: OpenPage, browser: Browser, url: str, handles: dict[str, str]
) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}")
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="Share…").click()
    dialog.get_by_label("Recipient").fill("reviewers")
    dialog.get_by_role("button", name="Create link").click()
    link = dialog.get_by_label("The link").input_value()
    assert link.startswith(f"{url}/share?code=")
    for_everybody(page)

    guest = browser.new_page()
    guest.goto(link)
    expect(guest.get_by_role("heading", name="sgd classifier")).to_be_visible()
    expect(guest.locator("#connection")).to_have_attribute("data-state", "live")
    assert "code" not in guest.url
    for name in ("Share…", "Extend", "Change", "Stop"):
        expect(guest.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(guest.get_by_role("navigation", name="Pages")).to_have_count(0)
    for tab, part in (("Trials", "Trials"), ("Code", "Specification"), ("Analysis", "History")):
        guest.get_by_role("link", name=tab, exact=True).click()
        expect(guest.get_by_role("region", name=part, exact=True)).to_be_visible()
    guest.get_by_role("link", name="Logs", exact=True).click()
    expect(guest.get_by_role("log")).to_contain_text("epoch 3/3")
    expect(guest.get_by_role("alert").filter(visible=True)).to_have_count(0)
    for_everybody(guest)
    guest.goto(f"{guest.url.partition('?')[0]}/trials/1")
    expect(guest.get_by_role("heading", name="Trial 1")).to_be_visible()
    expect(guest.get_by_role("button", name="Rerun", exact=True)).to_have_count(0)

    dialog.get_by_role("button", name="Done").click()
    page.goto(f"{url}/settings")
    shares = page.get_by_role("region", name="Shared links")
    expect(shares.get_by_role("row").filter(has_text="reviewers")).to_contain_text(handles["sgd classifier"])
    shares.get_by_role("button", name="Revoke reviewers").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(shares.get_by_text("No shared links")).to_be_visible()
    expect(guest.get_by_role("heading", name="Sign in")).to_be_visible()  # the page noticed without a reload
    guest.goto(link)
    expect(guest.get_by_role("alert")).to_contain_text("no longer valid")
    guest.close()


def test_the_server_says_how_it_is_and_the_theme_is_chosen(open_page: OpenPage) -> None:
    page = open_page("/settings", color_scheme="light", viewport={"width": 390, "height": 844})
    server = page.get_by_role("region", name="Server")
    expect(server).to_contain_text("healthy: the database is available")
    expect(server).to_contain_text(__version__)
    html = page.locator("html")
    for choice, theme in (("Dark", "dark"), ("Light", "light"), ("System theme", "light")):
        page.get_by_label(choice, exact=True).check()
        expect(html).to_have_attribute("data-theme", theme)
    page.emulate_media(color_scheme="dark")
    expect(html).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.get_by_label("System theme")).to_be_checked()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="light")
    for_everybody(page)


def test_a_token_is_told_though_the_question_was_closed_before_the_answer(open_page: OpenPage) -> None:
    page = open_page("/settings")
    page.get_by_role("button", name="Create token…").click()
    page.get_by_label("User name").fill("hasty")
    held: list[Route] = []
    page.route("**/api/v1/tokens", lambda route: held.append(route), times=1)
    page.get_by_role("button", name="Create", exact=True).click()
    while not held:
        page.wait_for_timeout(20)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    held.pop().continue_()
    expect(page.get_by_role("textbox", name="The token")).to_have_value(re.compile("^t[.]"))
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("row").filter(has_text="hasty")).to_be_visible()
