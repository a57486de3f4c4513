"""Each page on a seeded server: what it shows, what it does, that it is safe and can be used by everybody."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shlex
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect

from orchestune.cli.inspect.export import _export_csv
from orchestune.client.api import Client
from orchestune.services.access import grant_access
from orchestune.services.core import Caller, Core
from orchestune.store import experiments
from tests.pages.conftest import OpenPage, Trouble, client_of, for_everybody, sign_in
from tests.testbeds.noisy import LUCKY, written
from tests.testbeds.seed import ACCURACY, HOSTILE, SGD, WIDE, Plan, Writer, core_of, seed, serve

TABS = ["", "?tab=trials", "?tab=logs"]
NAMES = [
    "image model", "sgd classifier", "size against speed", "broken script", "one trial", "nothing yet", HOSTILE, WIDE,
]  # fmt: skip


def settled(page: Page) -> None:
    """Wait until nothing is being loaded."""
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator(".skeleton:visible")).to_have_count(0)
    page.wait_for_load_state("load")


def test_the_list_is_searched_filtered_and_sorted_by_its_address(open_page: OpenPage) -> None:
    page = open_page("/experiments?search=text")
    names = page.locator("td.name > a")
    expect(names).to_have_text(["sgd classifier"])
    page.get_by_label("Search experiments").fill("")
    page.get_by_label("State").select_option("failed")
    expect(names).to_have_text(["broken script"])
    page.get_by_label("State").select_option("")
    page.get_by_role("button", name="Failed").click()
    page.get_by_role("button", name="Failed").click()
    expect(names.first).to_have_text("broken script")
    expect(page).to_have_url(re.compile("sort=-failed"))
    page.reload()
    expect(names.first).to_have_text("broken script")
    page.get_by_label("Search experiments").fill("there is nothing of this name")
    expect(page.get_by_text("No experiments match")).to_be_visible()
    page.get_by_role("button", name="Show all experiments").click()
    expect(names.first).to_have_text("broken script")


def test_the_list_changes_as_experiments_do(open_page: OpenPage, client: Client, handles: dict[str, str]) -> None:
    page = open_page("/experiments?search=nothing")
    row = page.get_by_role("row").filter(has_text="nothing yet")
    expect(row).to_contain_text("0 of 40")
    client.change(handles["nothing yet"], budget=41)
    expect(row).to_contain_text("0 of 41")
    client.change(handles["nothing yet"], budget=40)
    expect(row).to_contain_text("0 of 40")


def test_experiments_are_paused_and_resumed_together(
    open_page: OpenPage, client: Client, handles: dict[str, str]
) -> None:
    page = open_page("/experiments")
    for name in ("nothing yet", "image model"):
        page.get_by_role("checkbox", name=f"Select {handles[name]}").check()
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Pause 2 experiments?")
    dialog.get_by_role("button", name="Cancel").click()
    assert client.experiment(handles["nothing yet"])["desired"] == "running"
    page.get_by_role("button", name="Pause").click()
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator("#notes")).to_contain_text("pausing 2 experiments")  # all of them were answered
    expect(page.get_by_role("row").filter(has_text="nothing yet").locator(".state:visible")).to_have_text("paused")
    assert {client.experiment(handles[name])["desired"] for name in ("nothing yet", "image model")} == {"paused"}
    for name in ("nothing yet", "image model"):
        client.resume(handles[name])


def test_an_experiment_says_at_once_how_it_goes(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['image model']}")
    facts = page.locator(".facts")
    expect(facts).to_contain_text("57 of 200")
    expect(page.get_by_role("region", name="Running now").get_by_role("row")).to_have_count(9)
    expect(page.get_by_role("img", name=re.compile("accuracy of trial \\d+ so far"))).to_have_count(8)
    results = page.get_by_role("img", name=re.compile("accuracy of every trial"))
    expect(results).to_have_attribute("aria-label", re.compile(r"65 trials, the best accuracy is 0\.9\d+"))
    expect(page.get_by_role("region", name="Why trials failed")).to_contain_text("more than its 2 GiB of memory")


def test_metrics_that_only_have_a_limit_make_no_front(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles[WIDE]}")
    best = page.locator(".facts > div").filter(has_text="Best metric_0")
    expect(best).to_contain_text(re.compile(r"\d.*trial \d+"))
    expect(page.get_by_role("region", name="Best configuration")).to_contain_text("metric_29")
    expect(page.get_by_role("region", name="Pareto front")).to_have_count(0)


def test_the_best_configuration_can_be_copied(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}", permissions=["clipboard-read", "clipboard-write"])
    best = client.experiment(handles["sgd classifier"])["best"][0]["parameters"]
    card = page.get_by_role("region", name="Best configuration")
    card.get_by_role("button", name="JSON").click()
    expect(page.locator("#notes")).to_contain_text("JSON copied")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == best
    card.get_by_role("button", name="Command line").click()
    expect(page.locator("#notes")).to_contain_text("Command line copied")
    assert f"--alpha={best['alpha']}" in page.evaluate("navigator.clipboard.readText()")


def test_a_command_line_that_is_copied_runs_nothing_else(open_page: OpenPage, core: Core) -> None:
    names = ["$(touch x)", "a;b", "it's"]
    space = [{"name": name, "type": "float", "min": 0.0, "max": 1.0} for name in names]
    plan = Plan("quoting", space, ACCURACY, lambda *_: ("completed", {"accuracy": 0.5}, None), 1, 1)
    ref = Writer(core.store, plan, random.Random(1)).write()
    page = open_page(f"/experiments/{ref}", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("region", name="Best configuration").get_by_role("button", name="Command line").click()
    expect(page.locator("#notes")).to_contain_text("Command line copied")
    text = page.evaluate("navigator.clipboard.readText()")
    assert [word.partition("=")[0] for word in shlex.split(text)] == [f"--{name}" for name in names]
    assert "'--$(touch x)=" in text


def test_the_best_of_a_noisy_search_says_why_another_value_is_better(
    open_page: OpenPage, core: Core, client: Client
) -> None:
    ref = written(core, 0.2)
    page = open_page(f"/experiments/{ref}")
    card = page.get_by_role("region", name="Best configuration")
    number = r"-?0\.\d+"
    interval = rf"{number} \(95 %: {number} to {number}\)"
    expect(card).to_contain_text(re.compile(rf"Expected value given the noise: {interval}\."))
    hint = (
        rf"Best measured value: {number} ± {number} of trial {LUCKY}, expected {number} ± {number}\. Trial \d+ has the"
    )
    expect(card).to_contain_text(re.compile(hint))
    for_everybody(page)
    page.close()
    client.delete(ref, purge=True)


def test_what_stands_in_the_way_is_said(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['nothing yet']}")
    expect(page.get_by_text("no machine has 8 free GPUs; the largest has 4")).to_be_visible()
    expect(page.get_by_text("No trial has started.")).to_be_visible()


def test_what_the_server_notes_of_an_experiment_is_said(open_page: OpenPage, core: Core, client: Client) -> None:
    ref = written(core, None)
    with core.store.transaction() as session:
        row = experiments.find(session, ref)
        changed = json.loads(row.specification_json) | {"early_stopping": {"type": "asha"}}
        experiments.change(session, row.id, specification=json.dumps(changed))
    page = open_page(f"/experiments/{ref}")
    expect(page.get_by_text("early stopping (asha) has pruned no trial: each reports loss only once")).to_be_visible()
    page.close()
    client.delete(ref, purge=True)


def test_no_experiment_and_no_trial_of_that_name(
    open_page: OpenPage, handles: dict[str, str], trouble: Trouble
) -> None:
    trouble.expect("404")
    page = open_page("/experiments/there-is-none")
    expect(page.get_by_text("Experiment not found")).to_be_visible()
    page.goto(page.url.replace("there-is-none", f"{handles['one trial']}/trials/9"))
    expect(page.get_by_text("Trial not found")).to_be_visible()


def test_trials_are_sorted_on_the_server_and_filtered(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=trials")
    best = client.experiment(handles["sgd classifier"])["best"][0]["trial"]
    rows = page.locator(".virtual tbody tr:not(.space)")
    expect(rows.first).to_contain_text("120")
    page.get_by_role("button", name="accuracy", exact=True).click()
    expect(rows.first.get_by_role("link")).to_have_text(str(best))
    expect(page.locator("th[aria-sort=descending]")).to_have_text("accuracy")
    page.get_by_label("State").select_option("failed")
    expect(page.locator(".virtual tbody .state").first).to_have_text("failed")
    expect(page).to_have_url(re.compile(r"state=failed.*sort=-metrics\.accuracy|sort=-metrics\.accuracy.*state=failed"))


def test_trials_are_compared_and_exported(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=trials&sort=number")
    page.get_by_label("Compare trial 1", exact=True).check()
    page.get_by_label("Compare trial 2", exact=True).check()
    compared = page.get_by_role("region", name="Compared trials")
    expect(compared.get_by_role("link")).to_have_text(["trial 1", "trial 2"])
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 121 and lines[1].startswith("1,")
    rows = list(csv.DictReader(lines))
    file = io.StringIO()
    _export_csv(SimpleNamespace(client=client), client.experiment(handles["sgd classifier"]), file)  # type: ignore[arg-type]
    exported = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert lines[0].startswith(file.getvalue().splitlines()[0])
    for ours, theirs in zip(rows, exported, strict=True):
        assert {name: plain(ours[name]) for name in theirs} == {name: plain(value) for name, value in theirs.items()}


def plain(cell: str) -> float | str:
    """Return the number of a cell, or its text if it is none."""
    try:
        return float(cell)
    except ValueError:
        return cell


def test_columns_of_an_exported_table_stay_apart_where_names_are_the_same(open_page: OpenPage) -> None:
    page = open_page("/experiments")
    script = page.locator("script[type=module]").first.get_attribute("src") or ""
    measured = {name: {"value": value, "stddev": None} for name, value in {"loss": 1, "seed": 2, "x": 3}.items()}
    trial = {
        "number": 1, "state": "completed", "reason": None, "source": "sobol", "metrics": measured,
        "parameters": {"loss": 4, "seed": "=5"}, "seed": 6, "bundle": "b", "attempts": [{}], "started_at": None,
        "finished_at": None,
    }  # fmt: skip
    text = page.evaluate(
        """async ([path, trial]) => (await import(path)).csv([trial], ["loss"], ["loss", "seed"])""",
        [re.sub(r"(/static/[^/]+/).*", r"\1tabs/csv.js", script), trial],
    )
    header, line = csv.reader(io.StringIO(text))
    names = (
        "trial state reason source loss loss.stddev params.loss params.seed seed code attempts started_at finished_at"
    )
    assert header == [*names.split(), "seconds", "metrics.seed", "x"]
    assert line == ["1", "completed", "", "sobol", "1", "", "4", "'=5", "6", "b", "1", "", "", "", "2", "3"]


def test_the_log_is_merged_searched_and_of_one_trial(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=logs")
    log = page.get_by_role("log")
    expect(log).to_contain_text("epoch 3/3")
    page.get_by_label("Search in the log").fill("epoch 2/3")
    expect(log.locator("mark").first).to_have_text("epoch 2/3")
    expect(log.locator("> div:visible").first).to_contain_text("epoch 2/3")
    page.get_by_label("Search in the log").fill("")
    page.get_by_label("Trial", exact=True).fill("7")
    page.keyboard.press("Enter")
    expect(log.locator(".who").filter(has_not_text=re.compile("^7$"))).to_have_count(0)
    expect(log.locator(".who").first).to_have_text("7")


def test_a_trial_says_what_came_of_it(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}/trials/12")
    trial = client.trial(handles["sgd classifier"], 12)
    expect(page.get_by_role("heading", name="Trial 12")).to_be_visible()
    expect(page.get_by_role("region", name="Parameters")).to_contain_text(str(trial["parameters"]["penalty"]))
    expect(page.get_by_role("region", name="Attempts")).to_contain_text("gpu-node-1")
    expect(page.get_by_role("img", name=re.compile("accuracy over steps: 1 curve"))).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("epoch 1/3")
    page.get_by_role("link", name="Next trial").click()
    expect(page.get_by_role("heading", name="Trial 13")).to_be_visible()


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_for_everybody(open_page: OpenPage, handles: dict[str, str], name: str) -> None:
    """axe finds nothing, and a user's text in a field is text."""
    page = open_page("/experiments")
    where = page.url
    looks = [where] if name == NAMES[0] else []
    looks += [f"{where}/{handles[name]}{tab}" for tab in TABS]
    if name != "nothing yet":
        looks.append(f"{where}/{handles[name]}/trials/1")
    for look in looks:
        page.goto(look)
        settled(page)
        assert page.title().endswith("Orchestune"), look
        assert not page.title().startswith("pwned")
        expect(page.locator("main img")).to_have_count(0)
        for_everybody(page)


def test_everything_is_reached_by_keyboard(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page("/experiments?search=sgd")
    expect(page.locator("td.name > a")).to_have_text(["sgd classifier"])
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    link = page.get_by_role("link", name="sgd classifier")
    for _ in range(30):
        page.keyboard.press("Tab")
        if link.evaluate("element => element === document.activeElement"):
            break
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="sgd classifier")).to_be_visible()


@pytest.mark.parametrize("tab", ["/experiments", *TABS, "/trials/12"])
def test_a_phone_is_wide_enough(open_page: OpenPage, handles: dict[str, str], tab: str) -> None:
    path = tab if tab == "/experiments" else f"/experiments/{handles['image model']}{tab}"
    page = open_page(path, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [320, 360])
def test_a_small_phone_of_somebody_with_a_long_name_is_wide_enough(
    browser: Browser, core: Core, url: str, handles: dict[str, str], width: int
) -> None:
    name = f"maximiliane.{width}@example.org"
    token_document = grant_access.issue_token(core, Caller("ada", "owner"), name=name, role="editor", days=1)
    page = browser.new_page(viewport={"width": width, "height": 640})
    sign_in(page, url, token_document["token"])
    page.goto(f"{url}/experiments/{handles['image model']}")
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    best = page.get_by_role("region", name="Best configuration")
    assert (
        best.evaluate(
            "box => [...box.querySelectorAll('button')]"
            ".filter(one => one.getBoundingClientRect().right > box.getBoundingClientRect().right).length"
        )
        == 0
    )
    page.close()


def test_light_and_dark_are_chosen_and_kept(open_page: OpenPage) -> None:
    page = open_page("/experiments", color_scheme="light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_page_notices_that_the_server_went_and_came_back(
    open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory, trouble: Trouble
) -> None:
    trouble.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY")
    core = core_of(tmp_path_factory.mktemp("restarting"))
    handle = seed(core)["image model"]
    with serve(core) as address:
        page = open_page("/experiments")
        port = int(address.rpartition(":")[2])
        sign_in(page, address)
        page.goto(f"{address}/experiments/{handle}")
        settled(page)
    connection = page.locator("#connection")
    expect(connection).to_have_attribute("data-state", "stale")
    expect(page.locator(".facts")).to_contain_text("57 of 200")  # what was known stays
    with serve(core, port) as address:
        client = client_of(address)
        client.change(handle, budget=201)
        client.close()
        expect(connection).to_have_attribute("data-state", "live")
        expect(page.locator(".facts")).to_contain_text("57 of 201")
        page.close()
    core.store.close()


def test_actions_ask_first_and_say_what_was_refused(
    open_page: OpenPage, handles: dict[str, str], client: Client, trouble: Trouble
) -> None:
    trouble.expect("409")
    ref = handles["image model"]
    page = open_page(f"/experiments/{ref}")
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="Change").click()
    dialog.get_by_label("Budget").fill("10")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.get_by_role("alert")).to_contain_text("trials were started already")
    dialog.get_by_label("Budget").fill("210")
    dialog.get_by_label("Parallelism").fill("4")
    dialog.get_by_role("button", name="Change").click()
    expect(page.locator(".facts")).to_contain_text("57 of 210")
    assert (client.experiment(ref)["budget"], client.experiment(ref)["parallelism"]) == (210, 4)
    page.get_by_role("button", name="Pause").click()
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    dialog.get_by_role("button", name="Resume").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert client.experiment(ref)["desired"] == "running"
    page.get_by_role("button", name="Stop").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert client.experiment(ref)["desired"] == "running"
    page.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    assert client.experiment(ref)["desired"] == "stopped"


def test_a_tab_that_could_not_be_loaded_is_loaded_again(
    open_page: OpenPage, handles: dict[str, str], trouble: Trouble
) -> None:
    trouble.expect("ERR_FAILED|dynamically imported module")
    page = open_page(f"/experiments/{handles['sgd classifier']}")
    settled(page)
    page.route(re.compile("/tabs/trials.js"), lambda route: route.abort(), times=1)
    page.get_by_role("link", name="Trials").click()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("120 trials")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_form_that_cannot_be_made_says_why(open_page: OpenPage, core: Core, trouble: Trouble) -> None:
    trouble.expect("ERR_FAILED")
    plan = Plan("a form", SGD, ACCURACY, lambda *_: ("completed", {"accuracy": 0.5}, None), 1, 40, 1, "running")
    page = open_page(f"/experiments/{Writer(core.store, plan, random.Random(1)).write()}")
    page.route(re.compile("/specification"), lambda route: route.abort(), times=1)
    page.get_by_role("button", name="Try…").click()
    expect(page.locator("#notes")).to_contain_text("The server does not respond")


def test_what_the_server_refuses_for_good_is_asked_for_once(
    open_page: OpenPage, handles: dict[str, str], trouble: Trouble
) -> None:
    trouble.expect("400")
    page = open_page("/experiments")
    page.clock.install()
    request_urls: list[str] = []
    page.on("request", lambda request: request_urls.append(request.url) if "sort=nothing" in request.url else None)
    page.goto(f"{page.url}/{handles['sgd classifier']}?tab=trials&sort=nothing")
    expect(page.get_by_role("alert").filter(has_text="Unknown column: 'nothing'")).to_be_visible()
    before = len(request_urls)
    for _ in range(10):
        page.clock.run_for(4000)
    page.wait_for_timeout(100)
    assert len(request_urls) == before
    page.get_by_label("State").select_option("completed")
    page.clock.run_for(4000)
    expect(page.get_by_role("alert").filter(has_text="Unknown column: 'nothing'")).to_be_visible()
    assert len(request_urls) > before
