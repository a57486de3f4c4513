"""The plots of the tab Analysis: as the page draws them, beside the same figures drawn by plot libraries.

The page of a library holds nothing but the figures, without any way to act on them: what a page made with it takes at
least. What the policy of the pages would refuse it is counted and let through.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, Page, Route, sync_playwright

from benchmarks import table
from benchmarks.pages import TABS, chromium, renderer_bytes, seeded
from benchmarks.plot_libraries.getting import FOLDER, LIBRARIES, Library
from benchmarks.plot_libraries.panels import WIDTH, Document, panels
from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from orchestune.sdk.plots import Plots
from orchestune.server.pages.render import HEADERS
from tests.testbeds.seed import TOKEN

SITE = "http://figures.invalid/"
"""never resolved: the routes below answer all requests"""
THE_TAB = "the tab"
Costs = tuple[float, float, float, float]
"""seconds until all is drawn, seconds of a processor that the page's thread used, MiB of scripts, MiB of memory"""


def opened(browser: Browser) -> tuple[Page, CDPSession]:
    """An empty page, whose work is counted."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    counting = page.context.new_cdp_session(page)
    counting.send("Performance.enable", {"timeDomain": "threadTicks"})
    return page, counting


def busy(counting: CDPSession) -> float:
    """Seconds of a processor that the page's thread has used."""
    metrics = {item["name"]: item["value"] for item in counting.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def ours(browser: Browser, url: str, client: Client, ref: str) -> Costs:
    """The tab, from the address on; the server is asked for what it shows."""
    page, counting = opened(browser)
    page.goto(url + client.invite()["path"])
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())) if answer.url.endswith(".js") else None)
    before, began = busy(counting), time.perf_counter()
    page.goto(f"{url}/experiments/{ref}?tab=analysis")
    page.wait_for_selector(TABS["analysis"], timeout=60_000)
    page.wait_for_function("() => document.querySelectorAll('canvas').length >= 6")
    seconds = time.perf_counter() - began
    time.sleep(1)
    costs = (seconds, busy(counting) - before, sum(sizes) / 2**20, renderer_bytes(page) / 2**20)
    page.context.close()
    return costs


@dataclass(frozen=True)
class Drawn:
    """By a library."""

    found: Costs
    refused: Sequence[str]
    """what the policy of the pages forbids"""
    missing: Sequence[str]
    """figures that it has no kind of plot for"""


def theirs(
    browser: Browser, library: Library, scripts: Sequence[Path], figures: Sequence[Document], pictures: Path | None
) -> Drawn:
    """The panels and nothing else."""
    page, counting = opened(browser)
    own = {
        "setup.js": library.set_up,
        "draw.js": (FOLDER / library.drawing).read_text(),
        "page.js": (FOLDER / "page.js").read_text(),
    }
    files = {f"{number}.js": script.read_text() for number, script in enumerate(scripts)} | own
    tags = "".join(f'<script src="{name}"></script>' for name in files)
    files["panels.json"] = json.dumps(figures)
    files[""] = f'<!doctype html><meta charset="utf-8"><title>figures</title><body>{tags}</body>'

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(SITE)
        kind = {"": "text/html", "panels.json": "application/json"}.get(name, "text/javascript")
        headers = {"Content-Security-Policy-Report-Only": HEADERS["Content-Security-Policy"]}
        route.fulfill(body=files.get(name, ""), content_type=kind, headers=headers)

    page.route(f"{SITE}**", answer)
    before, began = busy(counting), time.perf_counter()
    page.goto(SITE)
    page.wait_for_function("() => document.title === 'drawn'", timeout=120_000)
    seconds = time.perf_counter() - began
    result = page.evaluate("window.told")
    if "failed" in result:
        raise RuntimeError(f"{library.name}: {result['failed']}")
    time.sleep(1)
    size = sum(script.stat().st_size for script in scripts)
    costs = (seconds, busy(counting) - before, size / 2**20, renderer_bytes(page) / 2**20)
    if pictures:
        page.screenshot(path=pictures / f"{library.name}.png", full_page=True)
    page.context.close()
    return Drawn(costs, sorted(set(result["refused"])), result["missing"])


def figures_for(library: Library, figures: Sequence[Document]) -> list[Document]:
    """The input of a library: Plotly draws its figures as they are."""
    if library.drawing != "plotly.js":
        return panels(figures)
    return [{"title": figure["layout"]["title"]["text"], "width": WIDTH, "figure": figure} for figure in figures]


def main() -> None:
    """Print a line for each, the medians of some in turns."""
    parser = table.arguments(__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder for what each library drew")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    trials, rounds = (20_000, 1) if options.quick else (100_000, options.rounds)
    print(table.machine())
    program = chromium()
    if program is None:
        return
    with tempfile.TemporaryDirectory() as folder, seeded(Path(folder), trials) as (_, url, ref):
        scripts = {library: library.get(Path(folder)) for library in LIBRARIES}
        client = Client.connect(lambda: ServerAccess(url, TOKEN))
        plots = Plots(client, threading.Lock(), ref)
        plotly_figures = [
            plots.parallel(),
            plots.history(),
            plots.importance(),
            plots.slice(),
            plots.contour(),
            plots.timeline(),
        ]
        figures: list[Document] = [json.loads(figure.to_json()) for figure in plotly_figures]
        costs: dict[str, list[Costs]] = {name: [] for name in (THE_TAB, *(library.name for library in LIBRARIES))}
        lacks: dict[str, Drawn] = {}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            for _ in range(rounds):
                costs[THE_TAB].append(ours(browser, url, client, ref))
                for library in LIBRARIES:
                    drawn = theirs(browser, library, scripts[library], figures_for(library, figures), options.pictures)
                    lacks[library.name] = drawn
                    costs[library.name].append(drawn.found)
            browser.close()
        client.close()
    rows = []
    for name, each in costs.items():
        seconds, worked, size, memory = (sorted(values)[len(values) // 2] for values in zip(*each, strict=True))
        lack = lacks.get(name)
        rows.append((name, f"{seconds:.2f} s", f"{worked:.2f} s", f"{size:.2f} MiB", f"{memory:.0f} MiB",
                     len(lack.missing) if lack else 0, ", ".join(lack.refused) if lack else ""))  # fmt: skip
    head = ("plots of 4,000 of the trials", "drawn", "processor", "scripts", "memory", "not drawn", "refused")
    table.show(f"An experiment of {trials:,} trials, the plots of the tab Analysis", head, rows)


if __name__ == "__main__":
    main()
