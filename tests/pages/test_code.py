"""The code tab: what is run, what its files say, what is different between two trials."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from orchestune.client.api import Client
from tests.pages.conftest import OpenPage, Trouble
from tests.testbeds.seed import CHANGED, HOSTILE, IMAGE


def files(page: Page) -> list[str]:
    """The paths that are listed, once they are."""
    listed = page.get_by_role("group", name="Files").locator("button")
    expect(listed.first).to_be_visible()
    return [str(each.get_attribute("data-path")) for each in listed.all()]


def test_the_files_of_the_code_are_listed_and_read(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=code")
    assert files(page) == sorted(CHANGED)
    text = page.get_by_label("train.py", exact=True)
    expect(text).to_have_text(CHANGED["train.py"])
    card = page.get_by_role("region", name="Files")
    expect(card).to_contain_text("4 files")
    expect(card.get_by_role("button", name="setup.sh")).to_contain_text("executable")
    card.get_by_role("button", name="data/classes.txt").click()
    expect(page.get_by_label("data/classes.txt", exact=True)).to_have_text("cat\ndog\n")
    page.reload()  # it stands in the address
    expect(page.get_by_label("data/classes.txt", exact=True)).to_be_visible()
    page.get_by_label("Code of trial").fill("1")
    page.keyboard.press("Enter")
    expect(card).to_contain_text("3 files")
    assert "README.md" not in files(page)


def test_what_the_engine_does_now_is_told(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    ref = handles["sgd classifier"]
    page = open_page(f"/experiments/{ref}?tab=code")
    card = page.get_by_role("region", name="Code", exact=True)
    expect(card).to_contain_text(client.experiment(ref)["search"])


def test_two_trials_are_compared(
    open_page: OpenPage, handles: dict[str, str], client: Client, trouble: Trouble
) -> None:
    trouble.expect("404")
    ref = handles["sgd classifier"]
    page = open_page(f"/experiments/{ref}?tab=code&from=3&to=100")
    card = page.get_by_role("region", name="Differences")
    changes = card.get_by_label("Changes of train.py")
    expect(changes.locator(".minus")).to_contain_text("max_iter=50")
    expect(changes.locator(".plus")).to_contain_text("max_iter=200")
    expect(card).to_contain_text("parameters.alpha")
    trial = client.trial(ref, 100)
    expect(card.get_by_role("row", name=re.compile("^seed"))).to_contain_text(str(trial["seed"]))
    card.get_by_label("To trial").fill(f"{handles['image model']}/1")
    page.keyboard.press("Enter")
    expect(card).to_contain_text(IMAGE)  # of another experiment
    expect(card.get_by_role("columnheader")).to_have_text([f"{ref}/3", f"{handles['image model']}/1"])
    expect(card).to_contain_text("The same.")
    card.get_by_label("To trial").fill("12345")
    page.keyboard.press("Enter")
    expect(card.get_by_role("alert")).to_contain_text("has no trial 12345")


def test_a_trial_can_be_run_again_from_what_stands_there(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    ref = handles["image model"]
    page = open_page(f"/experiments/{ref}?tab=code")
    card = page.get_by_role("region", name="Run a trial again")
    card.get_by_label("Trial to run again").fill("7")
    page.keyboard.press("Enter")
    expect(card.get_by_label("Command that repeats the trial")).to_have_text(f"orchestune rerun {ref}/7")
    expect(card.get_by_label("Command of the trial")).to_contain_text(
        f"python train.py --alpha={client.trial(ref, 7)['parameters']['alpha']}"
    )
    expect(page.get_by_role("region", name="Code", exact=True)).to_contain_text(IMAGE.partition("@")[2])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["sgd classifier", "nothing yet", HOSTILE])
def test_code_is_text_and_for_everybody(open_page: OpenPage, handles: dict[str, str], name: str, scheme: str) -> None:
    page = open_page(f"/experiments/{handles[name]}?tab=code", color_scheme=scheme)
    expect(page.get_by_role("region", name="Specification")).to_be_visible()
    if name == HOSTILE:
        page.get_by_label("From trial").fill("1")
        page.get_by_label("To trial").fill("12")
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Differences")).to_contain_text(HOSTILE)
        page.get_by_label("Code of trial").fill("1")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="<img src=x>.py").click()
        expect(page.get_by_label("<img src=x>.py", exact=True)).to_have_text(HOSTILE)
    else:
        page.wait_for_load_state("networkidle")
    assert not page.title().startswith("pwned")
    expect(page.locator("main img, main script, main b")).to_have_count(0)
    assert [each["id"] for each in Axe().run(page).response["violations"]] == []


def test_the_code_fits_on_a_phone(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(
        f"/experiments/{handles['image model']}?tab=code",
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True,
    )  # fmt: skip
    files(page)
    expect(page.get_by_label("train.py", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_files_are_chosen_by_keyboard(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=code")
    files(page)
    page.get_by_label("Code of trial").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="README.md")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("README.md", exact=True)).to_have_text(CHANGED["README.md"])
