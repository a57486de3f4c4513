"""Code, cluster, comparison, and a configuration of one's own."""

from __future__ import annotations

import random
import re

from playwright.sync_api import Page, Route, expect

from orchestune.client.api import Client
from orchestune.services.core import Core
from tests.pages.conftest import OpenPage, Trouble, for_everybody
from tests.testbeds.seed import ACCURACY, CARDS, QUARANTINE_REASON, SGD, Plan, Writer, plans


def clean(page: Page) -> None:
    """No barriers, at the width of a desktop and of a phone."""
    for_everybody(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_no_time_is_less_than_none_though_clocks_differ_and_go_back(open_page: OpenPage) -> None:
    page = open_page("/cluster")
    script = page.locator("script[type=module]").first.get_attribute("src") or ""
    durations = page.evaluate(
        """async (path) => {
            const { between, duration } = await import(path);
            const later = new Date(Date.now() + 3600e3).toISOString();
            return [between(later, null), between("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), duration(-3)];
        }""",
        re.sub(r"(/static/[^/]+/).*", r"\1lib/format.js", script),
    )
    assert durations == [0, 0, "0.0 s"]


def an_hour_on(route: Route) -> None:
    """The page as a server gives it whose clock is ahead."""
    answer = route.fetch()
    text = re.sub(r'data-now="(\d+)"', lambda match: f'data-now="{int(match[1]) + 3_600_000}"', answer.text())
    route.fulfill(response=answer, body=text)


def test_ages_are_counted_by_the_clock_of_the_server(open_page: OpenPage, handles: dict[str, str], url: str) -> None:
    page = open_page("/cluster")
    expect(page.locator("#connection")).to_have_text("live")
    page.route(re.compile("/settings$|/compare[?]"), an_hour_on)
    page.goto(f"{url}/settings")
    expect(page.get_by_text(re.compile(r", (60 min|1\.0 h) ago"))).to_be_visible()
    page.goto(f"{url}/compare?experiments={handles['image model']},{handles['one trial']}")
    expect(page.get_by_role("row", name="Duration").get_by_role("cell").first).to_have_text(re.compile("^2.[345] h$"))


def test_the_specification_and_the_command_of_a_rerun_are_there(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=code")
    text = page.get_by_role("region", name="Specification").locator("pre")
    expect(text).to_contain_text("alpha: {type: float, min: 0.000001, max: 0.1, log: true}")
    expect(text).to_contain_text("l1_ratio: {type: float, min: 0, max: 1, when: {penalty: [elasticnet]}}")
    rerun = page.get_by_role("region", name="Rerun a trial")
    expect(rerun).to_contain_text(re.compile(rf"orchestune rerun {handles['sgd classifier']}/\d+"))
    clean(page)


def test_the_cluster_says_who_runs_and_who_waits(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page("/cluster")
    waiting = page.get_by_role("region", name="Experiments").get_by_role("row").filter(has_text="nothing yet")
    expect(waiting).to_contain_text("no machine has 8 free GPUs")
    expect(page.get_by_role("region", name="Machines").get_by_role("row")).to_have_count(3)
    users = page.get_by_role("region", name="Users").get_by_role("row")
    expect(users.filter(has_text="ada")).to_have_text(re.compile(r"^ada\D*2\s*8\s*16\s*32 GiB\s*2$"))
    cards = page.get_by_role("region", name="GPUs").get_by_role("row").filter(has_text="NVIDIA A100")
    expect(cards).to_have_count(4)
    first = cards.filter(has_text=CARDS[0].id)
    expect(first).to_contain_text(
        re.compile(rf"gpu-node-1.*40 GiB.*{handles['image model']} w\d, 25 % of it: trial \d+")
    )
    expect(cards.filter(has_text=CARDS[3].id)).to_contain_text("free")
    machine = page.get_by_role("region", name="Machines").get_by_role("row").filter(has_text="cpu-node-1")
    expect(machine).to_contain_text("no space left on device")
    events = page.get_by_role("region", name="Events").get_by_role("row")
    expect(events.filter(has_text="worker started").first).to_be_visible()
    expect(events.filter(has_text=handles["sgd classifier"]).filter(has_text="worker ended").first).to_be_visible()
    assert "pwned" not in page.title()
    clean(page)


def test_a_machine_in_quarantine_is_released_and_whoever_looks_sees_it(
    open_page: OpenPage, handles: dict[str, str], core: Core
) -> None:
    page, other = open_page("/cluster"), open_page("/cluster")
    for each in (page, other):
        row = each.get_by_role("region", name="In quarantine").get_by_role("row").filter(has_text="cpu-node-1")
        expect(row).to_contain_text(QUARANTINE_REASON)
    page.get_by_role("button", name="Release").click()
    page.get_by_role("dialog").get_by_role("button", name="Release").click()
    for each in (page, other):
        expect(each.get_by_role("region", name="In quarantine")).to_have_count(0)
        expect(each.get_by_role("region", name="Machines")).not_to_contain_text(QUARANTINE_REASON)


def test_nothing_moves_under_the_mouse_on_the_cluster(
    open_page: OpenPage, handles: dict[str, str], core: Core, client: Client
) -> None:
    page, other = open_page("/cluster"), open_page("/cluster")
    table = page.get_by_role("region", name="Experiments")
    link = table.get_by_role("link", name="image model")
    link.focus()
    link.hover()
    link.evaluate("element => { element.mark = true; }")
    plan = Plan("one more", SGD, ACCURACY, plans(0)[2].outcome, 3, 9, running=1, state="running")
    Writer(core.store, plan, random.Random(1)).write()
    client.change(handles["image model"], parallelism=9)
    expect(other.get_by_role("region", name="Experiments")).to_contain_text("one more")
    expect(table).not_to_contain_text("one more")
    page.get_by_role("region", name="Machines").hover()
    expect(table).to_contain_text("one more")
    expect(table.get_by_role("row").filter(has_text="image model")).to_contain_text("of 9")
    assert link.evaluate("element => element.mark && element === document.activeElement")


def test_experiments_are_compared(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page("/experiments")
    for name in ("sgd classifier", "image model"):
        page.get_by_role("checkbox", name=f"Select {handles[name]}").check()
    page.get_by_role("link", name="Compare").click()
    both = [handles[name] for name in ("image model", "sgd classifier")]
    expect(page.get_by_role("img", name=re.compile("^Best accuracy: "))).to_have_attribute(
        "aria-label", re.compile(rf"{both[0]} 0\.\d+.*{both[1]} 0\.\d+|{both[1]} 0\.\d+.*{both[0]} 0\.\d+")
    )
    for way in ("time", "compute"):
        page.get_by_label("Across").select_option(way)
        expect(page).to_have_url(re.compile(f"by={way}"))
    expect(page.get_by_role("rowheader").first.locator("b")).to_be_visible()  # what differs comes first
    clean(page)


def test_one_experiment_is_no_comparison(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/compare?experiments={handles['one trial']}")
    expect(page.get_by_text("Nothing to compare")).to_be_visible()


def test_a_configuration_of_ones_own_is_queued(
    open_page: OpenPage, handles: dict[str, str], client: Client, trouble: Trouble
) -> None:
    trouble.expect("400")
    ref = handles["nothing yet"]
    page = open_page(f"/experiments/{ref}")
    page.get_by_role("button", name="Try…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("l1_ratio")).to_be_hidden()  # of elasticnet alone
    dialog.get_by_label("penalty").select_option("elasticnet")
    dialog.get_by_label("l1_ratio").fill("0.25")
    dialog.get_by_label("alpha").fill("7")
    dialog.get_by_label("layers").fill("3")
    dialog.get_by_role("button", name="Queue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("alpha: out of range: 7 (expected 1e-06..0.1)")
    for_everybody(page)
    dialog.get_by_label("alpha").fill("0.01")
    dialog.get_by_role("button", name="Queue").click()
    expect(page.locator("#notes")).to_contain_text("queued as trial 1")
    trial = client.trial(ref, 1)
    assert trial["parameters"] == {"alpha": 0.01, "penalty": "elasticnet", "layers": 3, "l1_ratio": 0.25}
    assert trial["source"] == "user"


def test_a_configuration_beyond_the_budget_is_refused_with_what_to_do(
    open_page: OpenPage, handles: dict[str, str], client: Client, trouble: Trouble
) -> None:
    trouble.expect("409")
    ref = handles["image model"]
    before = client.experiment(ref)["budget"]
    client.change(ref, budget=65)
    page = open_page(f"/experiments/{ref}")
    page.get_by_role("button", name="Try…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("layers").fill("3")
    dialog.get_by_label("alpha").fill("0.01")
    dialog.get_by_role("button", name="Queue").click()
    message = "The budget of 65 trials is used up: 57 finished, 8 running or queued."
    expect(dialog.get_by_role("alert")).to_have_text(f"{message} In a terminal: orchestune extend {ref} --budget N")
    client.change(ref, budget=before)


def test_labels_are_written_and_taken_away(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    ref = handles["size against speed"]
    page = open_page(f"/experiments/{ref}")
    dialog = page.get_by_role("dialog")
    commas = {"team": "vision", "note": 'so "far", good', "path": "C:\\new, old", "lines": "a\nb"}
    client.change(ref, labels=commas)
    expect(page.locator(".head .label")).to_have_count(4)
    page.get_by_role("button", name="Extend").click()
    labels = dialog.get_by_label("Labels")
    labels.fill(labels.input_value() + ', other="x, y"')
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    assert client.experiment(ref)["labels"] == commas | {"other": "x, y"}
    for text, expected in (("team=vision, paper", {"team": "vision", "paper": ""}), ("", {})):
        page.get_by_role("button", name="Extend").click()
        dialog.get_by_label("Labels").fill(text)
        dialog.get_by_role("button", name="Change").click()
        expect(dialog).to_have_count(0)
        assert client.experiment(ref)["labels"] == expected
        expect(page.locator(".head .label")).to_have_count(len(expected))  # the head is drawn again, buttons too


def test_one_trial_is_stopped_after_a_question(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    ref = handles["image model"]
    page = open_page(f"/experiments/{ref}/trials/60")
    expect(page.locator(".head .state").first).to_have_text("running")
    page.get_by_role("button", name="Stop", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("does not count toward the budget")
    clean(page)
    dialog.get_by_role("button", name="Stop").click()
    expect(page.locator(".head .state").first).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Rerun", exact=True)).to_be_visible()
    assert client.trial(ref, 60)["reason"] == {"code": "stopped", "message": "stopped by ada"}


def test_two_who_change_an_experiment_at_once_do_not_undo_each_other(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    ref = handles["sgd classifier"]
    page = open_page(f"/experiments/{ref}")
    page.get_by_role("button", name="Extend").click()
    client.change(ref, parallelism=3, labels={"team": "both"})
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Budget").fill("121")
    dialog.get_by_role("button", name="Change").click()
    expect(page.locator(".facts")).to_contain_text("120 of 121")
    experiment = client.experiment(ref)
    assert (experiment["budget"], experiment["parallelism"], experiment["labels"]) == (121, 3, {"team": "both"})
