"""The plots: drawn from what the server has, linked, and saved as files."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from orchestune.client.api import Client
from orchestune.services.core import Core
from tests.pages.conftest import OpenPage, Trouble, for_everybody, no_more_time_passes
from tests.testbeds.seed import ACCURACY, SGD, Outcome, Plan, Writer

PLOTS = {
    "sgd classifier": [
        "Parallel coordinates",
        "History",
        "Two parameters",
        "Intermediate values",
        "Timeline of attempts",
    ],
    "size against speed": [
        "Parallel coordinates",
        "History",
        "Two parameters",
        "Pareto front",
        "Hypervolume",
        "Timeline of attempts",
    ],
    "broken script": ["Timeline of attempts"],
}


def drawn(page: Page, name: str) -> bool:
    """Return True if there is more than one colour on the canvas."""
    canvas = page.get_by_role("img", name=re.compile(f"^{name}: "))
    return bool(
        canvas.evaluate(
            """canvas => {
                const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                const reds = new Set();
                for (let at = 0; at < data.length; at += 4) if (data[at + 3]) reds.add(data[at] >> 4);
                return reds.size > 1;
            }"""
        )
    )


@pytest.mark.parametrize("name", PLOTS)
def test_each_experiment_has_the_plots_that_fit_it(
    open_page: OpenPage, handles: dict[str, str], trouble: Trouble, name: str
) -> None:
    trouble.expect("willReadFrequently")  # `drawn` looks at a canvas twice
    page = open_page(f"/experiments/{handles[name]}?tab=analysis", color_scheme="dark")
    for plot in PLOTS[name]:
        expect(page.get_by_role("img", name=re.compile(f"^{plot}: "))).to_be_visible()
        assert drawn(page, plot), plot
    page.emulate_media(color_scheme="light")  # they are drawn again
    assert all(drawn(page, plot) for plot in PLOTS[name])
    absent = {plot for plots in PLOTS.values() for plot in plots} - set(PLOTS[name])
    for plot in absent:
        expect(page.get_by_role("region", name=plot, exact=True)).to_be_hidden()
    for_everybody(page)


def test_two_parameters_are_drawn_from_what_the_server_makes_of_all_trials(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    ref = handles["sgd classifier"]
    page = open_page(f"/experiments/{ref}?tab=analysis")
    card = page.get_by_role("region", name="Two parameters")
    most = sorted(client.importance(ref)["parameters"], key=lambda each: -each["importance"])
    both = " and ".join(each["name"] for each in most[:2])
    expect(card.get_by_role("img")).to_have_attribute("aria-label", re.compile(f"{both}, coloured"))
    card.get_by_label("Parameter across").select_option("alpha")
    card.get_by_label("Parameter upwards").select_option("layers")
    trials = client.contour(ref, "alpha", "layers")["trials"]
    expect(card).to_contain_text(f"from {trials} completed trials with both parameters")
    expect(card.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile(f"alpha and layers.* of {trials} trials")
    )
    assert drawn(page, "Two parameters")
    card.get_by_label("Parameter upwards").select_option("alpha")
    expect(card).to_contain_text("Choose two different parameters.")
    card.get_by_label("Parameter upwards").select_option("l1_ratio")
    fewer = client.contour(ref, "alpha", "l1_ratio")["trials"]
    expect(card).to_contain_text(f"from {fewer} completed trials with both parameters")
    assert fewer < trials


def test_the_hypervolume_is_that_of_the_api(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    ref = handles["size against speed"]
    page = open_page(f"/experiments/{ref}?tab=analysis")
    hypervolume = client.hypervolume(ref)
    plot = page.get_by_role("img", name=re.compile("^Hypervolume: "))
    expect(plot).to_have_attribute("aria-label", re.compile(f"in {len(hypervolume['value'])} steps"))
    expect(plot).to_have_attribute("aria-label", re.compile(f": {hypervolume['value'][-1]:.4g} after 150 trials"))


def test_importance_is_measured(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=analysis")
    bars = page.get_by_role("region", name="Importance").get_by_role("listitem")
    expect(bars).to_have_count(4)
    expect(bars.first).to_have_attribute("aria-label", re.compile(r"^alpha: \d+ %"))


def test_what_matters_for_one_metric_is_not_said_of_another(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    page = open_page("/experiments")
    held: list[Route] = []
    page.route(re.compile("/importance[?]metric=error$"), lambda route: held.append(route))
    page.goto(f"{page.url}/{handles['size against speed']}?tab=analysis")
    card = page.get_by_role("region", name="Importance")
    expect(card).to_contain_text("Calculating")
    while not held:
        page.wait_for_timeout(20)
    page.get_by_label("Metric", exact=True).select_option("latency")
    expect(page.get_by_role("img", name=re.compile("best latency"))).to_be_visible()
    answer = client.importance(handles["size against speed"], "error")
    with page.expect_response(held[0].request.url):
        held.pop().fulfill(json=answer | {"trials": 12345})
    page.wait_for_timeout(100)
    assert "12,345" not in card.inner_text()


@pytest.mark.parametrize("seconds", [1, 8, 12, 30, 45, 90, 600, 1800, 3600])
def test_the_hours_of_a_plot_do_not_run_into_each_other(
    open_page: OpenPage, handles: dict[str, str], seconds: int
) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=analysis")
    drawn(page, "History")
    gaps = page.evaluate(
        """async (seconds) => {
            const loaded = performance.getEntriesByType("resource").find(({ name }) => name.endsWith("plot/scale.js"));
            const { scale } = await import(loaded.name);
            const pen = document.createElement("canvas").getContext("2d");
            pen.font = "11px system-ui, sans-serif";
            const begin = Date.parse("2026-03-01T22:58:30");
            return Array.from({ length: 90 }, (_, i) => 300 + 10 * i).flatMap((pixels) => {
                const { ticks } = scale({ kind: "time", low: begin, high: begin + 1000 * seconds }, 0, pixels);
                const wide = ticks.map(({ text }) => pen.measureText(text).width);
                return ticks.slice(1).map(({ at }, i) => at - ticks[i].at - (wide[i] + wide[i + 1]) / 2);
            });
        }""",
        seconds,
    )
    assert gaps and min(gaps) > 0, gaps


def test_what_a_plot_leaves_out_is_told(open_page: OpenPage, core: Core) -> None:
    plan = Plan(
        "many", SGD, ACCURACY, lambda _, chance: ("completed", {"accuracy": chance.random()}, None), 3400, 3400, log="",
    )  # fmt: skip
    page = open_page(f"/experiments/{Writer(core.store, plan, random.Random(2)).write()}?tab=analysis")
    note = "Showing 3,000 of 3,400 trials: the best ones and an even sample of the others; the line includes all"
    expect(page.get_by_text(note)).to_be_visible()


def test_too_few_trials_to_tell_what_matters_are_told_and_nothing_else(
    open_page: OpenPage, handles: dict[str, str]
) -> None:
    page = open_page(f"/experiments/{handles['one trial']}?tab=analysis")
    card = page.get_by_role("region", name="Importance")
    expect(card).to_have_text("Which parameters matter0 completed trials: too few to estimate importance.")


def test_the_colours_of_the_timeline_are_told(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=analysis")
    expect(page.get_by_role("region", name="Timeline of attempts")).to_contain_text("lost or preempted (dashed)")


def brush(page: Page, share: float, start: float, end: float) -> None:
    """Drag along the axis at `share` of the width."""
    canvas = page.get_by_role("img", name=re.compile("^Parallel coordinates: "))
    canvas.scroll_into_view_if_needed()
    box: Any = canvas.bounding_box()
    across = box["x"] + 46 + (box["width"] - 106) * share
    page.mouse.move(across, box["y"] + 34 + (box["height"] - 48) * start)
    page.mouse.down()
    page.mouse.move(across, box["y"] + 34 + (box["height"] - 48) * end, steps=4)
    page.mouse.up()


def test_what_is_brushed_is_chosen_in_the_table_too(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=analysis")
    expect(page.get_by_role("img", name=re.compile("^Parallel coordinates: 5 axes"))).to_be_visible()
    brush(page, 0, 0.05, 0.5)
    note = page.get_by_text(re.compile(r"^\d+ of 120 trials: alpha: "))
    expect(note).to_be_visible()
    chosen = int((note.text_content() or "").split(" ")[0])
    assert 0 < chosen < 120
    page.reload()  # it stands in the address
    expect(note).to_be_visible()
    page.get_by_role("link", name="Show in table").click()
    expect(page.get_by_text(f"{chosen} trials", exact=True)).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Clear").click()
    expect(note).to_be_hidden()
    expect(page).to_have_url(re.compile(r"^(?!.*where=)"))


def test_a_finger_that_scrolls_over_an_axis_brushes_nothing(open_page: OpenPage, handles: dict[str, str]) -> None:
    where = '{"parameters.alpha":[0.001,0.01]}'
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=analysis&where={where}")
    expect(page.get_by_text("alpha: 0.001 to 0.01")).to_be_visible()
    expect(page.get_by_role("region", name="Importance").get_by_role("listitem")).to_have_count(4)
    canvas = page.get_by_role("img", name=re.compile("^Parallel coordinates: "))
    before, after = canvas.evaluate(
        """(canvas) => {
            const [before, box] = [canvas.toDataURL(), canvas.getBoundingClientRect()];
            canvas.setPointerCapture = () => undefined; // there is no finger
            for (const [kind, y] of [["down", 100], ["move", 150], ["cancel", 150], ["move", 300]]) {
                const place = { clientX: box.left + 46, clientY: box.top + y, bubbles: true };
                canvas.dispatchEvent(new PointerEvent(`pointer${kind}`, place));
            }
            return [before, canvas.toDataURL()];
        }"""
    )
    assert before == after


def test_a_brush_to_the_end_of_an_axis_holds_what_lies_beyond_it(open_page: OpenPage, core: Core) -> None:
    numbers = iter(range(1, 100))
    plan = Plan(
        "far", SGD, ACCURACY,
        lambda values, chance: ("completed", {"accuracy": 1000.0004 if next(numbers) == 7 else chance.random()}, None),
        40, 40,
    )  # fmt: skip
    page = open_page(f"/experiments/{Writer(core.store, plan, random.Random(2)).write()}?tab=analysis")
    canvas = page.get_by_role("img", name=re.compile("^Parallel coordinates: "))
    expect(canvas).to_be_visible()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 60, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 60, box["y"] + 10, steps=5)
    page.mouse.up()
    note = page.get_by_text(re.compile(r"^\d+ of 40 trials: accuracy: at least 0[.]"))
    expect(note).to_be_visible()
    chosen = int((note.text_content() or "").split()[0])
    page.get_by_role("link", name="Show in table").click()
    expect(page.get_by_text(f"{chosen} trials", exact=True)).to_be_visible()
    expect(page.get_by_label("Compare trial 7", exact=True)).to_be_visible()


def test_words_are_brushed_as_words(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=analysis")
    expect(page.get_by_role("img", name=re.compile("^Parallel coordinates: 5 axes"))).to_be_visible()
    brush(page, 0.25, 0.02, 0.34)
    expect(page.get_by_text("penalty: elasticnet")).to_be_visible()
    page.get_by_role("link", name="Show in table").click()
    expect(page.get_by_text("penalty: elasticnet")).to_be_visible()
    words = page.locator(".virtual tbody tr:not(.space)").filter(has_text="elasticnet")
    expect(words.first).to_be_visible()
    expect(page.locator(".virtual tbody tr:not(.space)").filter(has_not_text="elasticnet")).to_have_count(0)


def test_a_plot_is_saved_as_a_picture(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['size against speed']}?tab=analysis")
    expect(page.get_by_role("img", name=re.compile("^Pareto front: "))).to_be_visible()
    for kind, beginning in (("SVG", b"<svg xmlns="), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save Pareto front as {kind}").click()
        assert download.value.suggested_filename == f"pareto-front.{kind.lower()}"
        assert download.value.path().read_bytes().startswith(beginning)


def test_another_metric_is_analysed(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['size against speed']}?tab=analysis")
    page.get_by_label("Metric").select_option("latency")
    expect(page.get_by_role("img", name=re.compile("width, rate, latency"))).to_be_visible()
    expect(page).to_have_url(re.compile("metric=latency"))


def test_points_are_reached_by_keyboard_and_open_their_trial(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=analysis")
    plot = page.get_by_role("application", name=re.compile("^History"))
    expect(plot).to_be_visible()
    status = plot.get_by_role("status")
    plot.focus()
    for key, trial in (("Home", 1), ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 120)):
        page.keyboard.press(key)
        expect(status).to_have_text(re.compile(rf"^trial {trial}, (completed|failed|pruned)"))
    expect(page.locator(".tip")).to_contain_text("trial 120")
    expect(plot.locator(".ring")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".tip")).to_be_hidden()
    for_everybody(page)
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Trial 1", exact=True)).to_be_visible()


def test_trials_are_chosen_along_an_axis_without_a_mouse(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    ref = handles["sgd classifier"]
    page, held = open_page("/experiments"), list[Route]()
    page.route(re.compile("/columns"), lambda route: held.append(route), times=1)
    page.goto(f"{page.url}/{ref}?tab=analysis")
    while not held:
        page.wait_for_timeout(20)
    choose = page.get_by_role("button", name="Select by values…")
    expect(choose).to_be_disabled()  # there is nothing yet to choose from
    held.pop().continue_()
    expect(choose).to_be_enabled()
    choose.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Column").select_option("parameters.penalty")
    dialog.get_by_role("checkbox", name="l2").uncheck()  # which lies between the two others
    dialog.get_by_role("button", name="Filter").press("Enter")
    trials = list(client.trials(ref))
    fit = sum(trial["parameters"]["penalty"] != "l2" for trial in trials)
    expect(page.get_by_text(f"{fit} of {len(trials)} trials: penalty: l1, elasticnet")).to_be_visible()
    page.reload()
    expect(page.get_by_text(f"{fit} of {len(trials)} trials: penalty: l1, elasticnet")).to_be_visible()


def test_the_front_of_more_than_two_metrics_is_drawn_over_any_two(open_page: OpenPage, core: Core) -> None:
    names = ("error", "latency", "memory")
    metrics = [{"name": name, "goal": "minimize"} for name in names]
    plan = Plan(
        "three metrics", SGD, metrics, lambda values, chance: ("completed", {n: chance.random() for n in names}, None),
        40, 40,
    )  # fmt: skip
    ref = Writer(core.store, plan, random.Random(2)).write()
    page = open_page(f"/experiments/{ref}?tab=analysis")
    card = page.get_by_role("region", name="Pareto front")
    plot = card.get_by_role("application")
    for across, upwards in (("error", "latency"), ("memory", "latency"), ("memory", "error")):
        card.get_by_label("Metric across").select_option(across)
        card.get_by_label("Metric upwards").select_option(upwards)
        plot.focus()
        page.keyboard.press("Home")
        expect(plot.get_by_role("status")).to_have_text(re.compile(rf"^trial \d+, {across} [\d.e-]+, {upwards} "))
    page.reload()
    expect(card.get_by_label("Metric across")).to_have_value("memory")
    expect(card.get_by_label("Metric upwards")).to_have_value("error")


def test_one_diverged_trial_does_not_squeeze_all_others_together(open_page: OpenPage, core: Core) -> None:
    metrics = [{"name": name, "goal": "minimize"} for name in ("error", "latency")]
    numbers = iter(range(1, 100))

    def outcome(values: dict[str, Any], chance: random.Random) -> Outcome:
        return "completed", {"error": 1e30 if next(numbers) == 7 else chance.random(), "latency": chance.random()}, None

    plan = Plan("diverged", SGD, metrics, outcome, 40, 40, steps=5)
    page = open_page(f"/experiments/{Writer(core.store, plan, random.Random(2)).write()}?tab=analysis")
    for name in ("Parallel coordinates", "History", "error by alpha", "Pareto front", "Intermediate values"):
        expect(page.get_by_role("img", name=re.compile(f"^{name}: "))).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save {name} as SVG").click()
        text = download.value.path().read_text()
        assert "<text" in text
        assert not re.search(r"<text[^>]*>\d[\d.]*e\d\d<", text), name


def test_another_metric_is_shown_at_once(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['size against speed']}?tab=analysis")
    importance = page.get_by_role("region", name="Importance")
    no_more_time_passes(page, importance.get_by_text("for error, from 150"))
    for metric in ("latency", "error"):
        page.get_by_label("Metric", exact=True).select_option(metric)
        expect(importance).to_contain_text(f"for {metric}, from 150")
        expect(page.get_by_role("img", name=re.compile(f"^History: .* {metric} "))).to_be_visible()
