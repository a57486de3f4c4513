"""The code tab: what is run, what its files say, what is different between two trials."""

from __future__ import annotations

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect
from sqlalchemy import update

from orchestune.client.api import Client
from orchestune.config.experiment_file import parse
from orchestune.services.core import Core
from orchestune.store import experiments, tables
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
    page = open_page("/experiments")
    held: list[Route] = []
    page.route(re.compile(r"/trials/\d+$"), lambda route: held.append(route), times=1)
    page.goto(f"{page.url}/{ref}?tab=code")
    card = page.get_by_role("region", name="Rerun a trial")
    expect(card).to_be_visible()
    while not held:
        page.wait_for_timeout(20)
    card.get_by_label("Trial to rerun").fill("7")
    page.keyboard.press("Enter")
    expect(card.get_by_label("Rerun command")).to_have_text(f"orchestune rerun {ref}/7")
    command = f"python train.py --alpha={client.trial(ref, 7)['parameters']['alpha']}"
    expect(card.get_by_label("Command of the trial")).to_contain_text(command)
    with page.expect_response(held[0].request.url):  # of the trial that stood there first, which comes late
        held.pop().continue_()
    page.wait_for_timeout(100)
    expect(card.get_by_label("Command of the trial")).to_contain_text(command)
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


FILE = """
name: all of it
run: [python, train.py, "--tag=a: b", "{args}"]
parameters:
  "a/b": {min: 1e-7, max: 1, log: true, prior: {median: 1e-3, factor: 3}}
  flag: {type: bool, prior: {weights: [1, 3]}}
  word: {values: ["1e3", "true", a, ""], when: {flag: true}}
  steps: {min: 0, max: 20, step: 5}
constraints: ["{a/b} <= 0.5", steps >= 5]
metrics:
  loss: {goal: minimize, constraint: "<= 3", take: best}
  memory: {constraint: "<= 200"}
  size: {goal: maximize, threshold: 2}
budget: 20
folds: {count: 5, prune_after: 2}
resources: {cpu: 2, memory: 1Gi, gpu: {count: 2, type: a100, memory: 40Gi}}
retry: {attempts: 1, oom: 2, memory_factor: 2}
stop: {patience: 8, time: 2h, futile: {above: 0.6, after: 20}}
early_stopping: {type: asha, min_steps: 3, reduction: 3, grace: 30s}
try_first: [{"a/b": 0.1, flag: false, steps: 5}, {"a/b": 0.1, flag: true, word: "", steps: 5}]
keep: {patterns: ["*.pt"], best: 3, limit: 20Mi}
checkpoint: {every: 30s}
env: {EMPTY: "", "LEVEL": "3"}
timeout: 20m
engine: {name: tpe, startup: 12}
labels: {team: vision}
collect: [{json: out.json}, {regex: 'x (?P<size>\\S+)'}]
image: python:3.12-slim
shm: 1G
volumes: [{claim: data, mount: /data}]
pod: {spec: {nodeSelector: {disk: ssd}}}
"""


def test_the_specification_is_a_file_that_runs(open_page: OpenPage, handles: dict[str, str], core: Core) -> None:
    expected = parse(FILE, "experiment.yml").specification.to_json()
    with core.store.transaction() as session:
        row = experiments.find(session, handles["one trial"])
        where = tables.revisions.c.experiment == row.id
        session.change(update(tables.revisions).where(where).values(specification=json.dumps(expected)))
        labels = update(tables.experiments).where(tables.experiments.c.id == row.id)
        session.change(labels.values(labels=json.dumps(expected["labels"])))  # these may be changed later
    page = open_page(f"/experiments/{handles['one trial']}?tab=code")
    card = page.get_by_role("region", name="Specification")
    expect(card).to_contain_text("all of it")
    text = card.locator("pre").inner_text()
    copied = parse(text, "copied.yml").specification.to_json()
    assert copied == expected | {"budget": 1, "parallelism": copied["parallelism"]}, "these two are the row's"
    assert "memory: {take: last" in text, "what has a limit alone has no goal"


def test_a_specification_that_did_not_come_is_asked_for_again(
    open_page: OpenPage, handles: dict[str, str], trouble: Trouble
) -> None:
    trouble.expect("ERR_FAILED")
    page = open_page("/experiments")
    page.route(re.compile("/specification"), lambda route: route.abort(), times=1)
    page.goto(f"{page.url}/{handles['sgd classifier']}?tab=code")
    expect(page.get_by_role("alert")).to_contain_text("The server does not respond")
    expect(page.get_by_role("region", name="Specification")).to_contain_text("alpha")


def test_what_went_wrong_with_one_file_does_not_stand_in_place_of_another(
    open_page: OpenPage, handles: dict[str, str], trouble: Trouble
) -> None:
    trouble.expect("ERR_FAILED")
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=code")
    files(page)
    held: list[Route] = []
    page.route(re.compile("/code/README.md"), lambda route: held.append(route))
    page.get_by_role("button", name="README.md").click()
    page.get_by_role("button", name="data/classes.txt").click()
    text = page.get_by_label("data/classes.txt", exact=True)
    expect(text).to_be_visible()
    with page.expect_event("requestfailed"):
        held.pop().abort()
    page.wait_for_timeout(100)
    expect(text).to_be_visible()
