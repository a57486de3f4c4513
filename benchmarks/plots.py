"""The plots of the tab Analysis: as the page draws them, beside the same figures drawn by Plotly from the same data.

Plotly's page holds nothing but the figures, whose data are in it already: what a page made with it takes at least.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import plotly
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks import table
from benchmarks.pages import TABS, chromium, renderer_bytes, seeded
from orchestune.client.address import Access
from orchestune.client.api import Client
from orchestune.sdk.plots import Plots
from tests.testbeds.seed import TOKEN

SCRIPT = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
DRAW = """async (figures) => {
    for (const figure of figures) {
        const place = document.body.appendChild(document.createElement("div"));
        await Plotly.newPlot(place, figure.data, figure.layout, {responsive: true});
    }
    await new Promise(requestAnimationFrame);
}"""
Document = dict[str, Any]
Found = tuple[float, float, float, float]
"""seconds until all is drawn, of these the seconds that the page's thread was busy, MiB of scripts, MiB of memory"""


def opened(browser: Browser) -> tuple[Page, CDPSession]:
    """An empty page, whose work is counted."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    counting = page.context.new_cdp_session(page)
    counting.send("Performance.enable")
    return page, counting


def busy(counting: CDPSession) -> float:
    """Seconds for which the page's thread had something to do."""
    metrics = {item["name"]: item["value"] for item in counting.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def ours(browser: Browser, url: str, client: Client, ref: str) -> Found:
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
    found = (seconds, busy(counting) - before, sum(sizes) / 2**20, renderer_bytes(page) / 2**20)
    page.context.close()
    return found


def plotlys(browser: Browser, figures: list[Document]) -> Found:
    """The figures and nothing else."""
    page, counting = opened(browser)
    page.set_content("<!doctype html><title>figures</title>")
    before, began = busy(counting), time.perf_counter()
    page.add_script_tag(path=SCRIPT)
    page.evaluate(DRAW, figures)
    seconds = time.perf_counter() - began
    time.sleep(1)
    found = (seconds, busy(counting) - before, SCRIPT.stat().st_size / 2**20, renderer_bytes(page) / 2**20)
    page.context.close()
    return found


def by_webgl(figure: Document) -> Document:
    """The same with points that the graphics card draws, or here the processor in its place."""
    traces = [{**trace, "type": "scattergl"} if trace["type"] == "scatter" else trace for trace in figure["data"]]
    return {**figure, "data": traces}


def main() -> None:
    """Print a line for each, the median of five in turns."""
    options = table.arguments(__doc__).parse_args()
    trials, rounds = (20_000, 3) if options.quick else (100_000, 5)
    print(table.machine())
    program = chromium()
    if program is None:
        return
    with tempfile.TemporaryDirectory() as folder, seeded(Path(folder), trials) as (_, url, ref):
        client = Client.connect(lambda: Access(url, TOKEN))
        plots = Plots(client, threading.Lock(), ref)
        made = [plots.parallel(), plots.history(), plots.importance(), plots.slice(), plots.contour(), plots.timeline()]
        figures: list[Document] = [json.loads(figure.to_json()) for figure in made]
        quicker = [by_webgl(figure) for figure in figures]
        found: dict[str, list[Found]] = {"the tab": [], "Plotly alone": [], "Plotly alone, by WebGL": []}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            for _ in range(rounds):
                found["the tab"].append(ours(browser, url, client, ref))
                found["Plotly alone"].append(plotlys(browser, figures))
                found["Plotly alone, by WebGL"].append(plotlys(browser, quicker))
            browser.close()
        client.close()
    rows = []
    for name, each in found.items():
        drawn, worked, scripts, memory = (sorted(values)[len(values) // 2] for values in zip(*each, strict=True))
        rows.append((name, f"{drawn:.2f} s", f"{worked:.2f} s", f"{scripts:.2f} MiB", f"{memory:.0f} MiB"))
    head = ("plots of 4,000 of the trials", "drawn", "the page's thread was busy", "scripts", "memory")
    table.show(f"An experiment of {trials:,} trials, the plots of the tab Analysis", head, rows)


if __name__ == "__main__":
    main()
