"""Pages that stay open while things happen: what each holds after so many events, and after as many again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks import table
from benchmarks.pages import chromium
from tests.testbeds.open_pages import EAGER, opened, paths
from tests.testbeds.seed import core_of, seed, serve
from tests.testbeds.stir import Stir

RUNNING = 60
"""a trial of the experiment that runs"""
WARM = 200
TIMEOUT = 3600.0


def main() -> None:
    """Print a line for each page."""
    parser = table.arguments(__doc__)
    parser.add_argument("--events", type=int, default=3000, help="in each half")
    options = parser.parse_args()
    events = 300 if options.quick else options.events
    print(table.machine())
    program = chromium()
    if program is None:
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        core = core_of(Path(folder))
        handle = seed(core)["image model"]
        stir = Stir(core, handle, RUNNING, lines=60)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with serve(core, pace=EAGER) as url, opened(browser, url, paths(handle, RUNNING), stir) as pages:
            pages.hear(WARM, TIMEOUT)
            first = pages.hear(events, TIMEOUT)
            second = pages.hear(events, TIMEOUT)
        browser.close()
        core.store.close()
    rows = []
    for path, held in second.items():
        grown = held - first[path]
        kib = f"{held.heap / 1024:,.0f}", f"{grown.heap / 1024:+,.0f}"
        name = path.replace(handle, "EXP")
        rows.append((name, *kib, f"{held.nodes:,.0f}", f"{grown.nodes:+,.0f}", f"{grown.listeners:+,.0f}"))
    head = ("page", "heap (KiB)", "in the second half", "nodes", "in the second half", "listeners")
    table.show(f"{events:,} events, and {events:,} more", head, rows)


if __name__ == "__main__":
    main()
