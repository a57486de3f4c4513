"""The web pages on an experiment of 100,000 trials: time to paint, time until a tab is usable, memory, open pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import table
from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from tests.testbeds.seed import TOKEN

OpenPage = Callable[[int, str, threading.Event], None]
"""asks as a page does: of which server, of which experiment, until when"""
TABS = {
    "overview": "canvas[aria-label^='accuracy of every trial: ']",
    "analysis": "canvas[aria-label^='Parallel coordinates: ']",
    "trials": ".virtual tbody .state",
    "logs": ".empty:visible",
    "code": "section[aria-label=Specification] pre",
}
"""what is there once a tab can be used"""


def chromium() -> str | None:
    """The browser; where there is none, that is said."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        print("there is no Chromium; on Debian: apt-get install chromium")
    return program


@contextmanager
def seeded(folder: Path, trials: int) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server in a process of its own, its address, and the large experiment's handle."""
    command = [sys.executable, "-m", "tests.testbeds.seed", str(folder), "--large", str(trials)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        handle = ""
        assert process.stdout is not None
        for line in process.stdout:
            if line.rstrip().endswith("large sweep"):
                handle = line.split()[0]
            if line.startswith("http"):
                yield process, line.split()[0], handle
                return
        raise RuntimeError("the server did not start")
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Resources that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def renderer_bytes(page: Page) -> int:
    """Resident memory of the largest renderer."""
    session = page.context.new_cdp_session(page)
    sizes = []
    for each in page.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]:  # type: ignore[union-attr]
        if each["type"] == "renderer":
            status = Path(f"/proc/{each['id']}/status").read_text()
            sizes.append(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024)
    session.detach()
    return max(sizes)


def measure(browser: Browser, url: str, client: Client, where: str, ready: str) -> tuple[float, float, float]:
    """Seconds to the first paint and until a page can be used, and MiB of memory after that."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(url + client.invite()["path"])
    begin = time.perf_counter()
    page.goto(url + where)
    page.wait_for_selector(ready, timeout=60_000)
    usable = time.perf_counter() - begin
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    time.sleep(1)
    memory = renderer_bytes(page) / 2**20
    page.context.close()
    return paint, usable, memory


HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def overview(port: int, ref: str, ended: threading.Event) -> None:
    """The requests of an open page of an experiment: its stream, and the plots again after each change."""
    stream = HTTPConnection("127.0.0.1", port, timeout=60)
    stream.request("GET", f"/api/v1/experiments/{ref}", headers=HEADERS | {"Accept": "text/event-stream"})
    answer = stream.getresponse()
    plots = HTTPConnection("127.0.0.1", port, timeout=60)
    rested = 0.0
    while not ended.is_set():
        if not answer.readline().startswith(b"event: status") or time.monotonic() < rested:
            continue
        began = time.monotonic()
        for part in ("columns?limit=3000", "overview"):
            get(plots, f"/api/v1/experiments/{ref}/{part}")
        rested = time.monotonic() + max(2.0, 3 * (time.monotonic() - began))
    stream.close()
    plots.close()


def log(port: int, ref: str, ended: threading.Event) -> None:
    """The requests of the tab of logs, whose lines come in the stream of the page."""
    stream = HTTPConnection("127.0.0.1", port, timeout=60)
    path = f"/api/v1/experiments/{ref}?logs=1&tail=1000"
    stream.request("GET", path, headers=HEADERS | {"Accept": "text/event-stream"})
    answer = stream.getresponse()
    while not ended.is_set():
        answer.readline()
    stream.close()


def get(connection: HTTPConnection, path: str) -> bytes:
    """The body of an answer."""
    connection.request("GET", path, headers=HEADERS)
    return connection.getresponse().read()


def share(process: int, seconds: float, page: OpenPage, port: int, ref: str, client: Client) -> float:
    """The part of a core that 50 such pages cost the server while the experiment changes once a second."""
    ended = threading.Event()
    pages = [threading.Thread(target=page, args=(port, ref, ended), daemon=True) for _ in range(50)]
    for each in pages:
        each.start()
    time.sleep(3)
    used, began = cpu_seconds(process), time.perf_counter()
    while time.perf_counter() - began < seconds:
        client.change(ref, labels={"at": str(time.time())})
        time.sleep(1)
    cpu_share = (cpu_seconds(process) - used) / (time.perf_counter() - began)
    ended.set()
    client.change(ref, labels={})  # what waits for news ends
    for each in pages:
        each.join()
    return cpu_share


def main() -> None:
    """Print one line for each tab, and one for the open pages."""
    options = table.arguments(__doc__).parse_args()
    trials = 20_000 if options.quick else 100_000
    seconds = 10 if options.quick else 30
    print(table.machine())
    program = chromium()
    if program is None:
        return
    with tempfile.TemporaryDirectory() as folder, seeded(Path(folder), trials) as (process, url, ref):
        client = Client.connect(lambda: ServerAccess(url, TOKEN))
        rows = []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            for cold in (True, False):
                for tab, ready in TABS.items():
                    if cold and tab != "overview":
                        continue
                    paint, usable, memory = measure(browser, url, client, f"/experiments/{ref}?tab={tab}", ready)
                    name = f"{tab}, nobody looked before" if cold else tab
                    rows.append((name, f"{paint:.2f} s", f"{usable:.2f} s", f"{memory:.0f} MiB"))
            paint, usable, memory = measure(browser, url, client, "/experiments", "td.name")
            rows.append(("list of experiments", f"{paint:.2f} s", f"{usable:.2f} s", f"{memory:.0f} MiB"))
            browser.close()
        table.show(f"An experiment of {trials:,} trials", ("page", "first paint", "usable", "memory"), rows)
        running = next(item["handle"] for item in client.experiments() if item["name"] == "image model")
        port = int(url.rpartition(":")[2])
        shares = [
            (f"overview, {trials:,} trials", f"{100 * share(process.pid, seconds, overview, port, ref, client):.1f} %"),
            ("overview, 65 trials", f"{100 * share(process.pid, seconds, overview, port, running, client):.1f} %"),
            ("logs", f"{100 * share(process.pid, seconds, log, port, running, client):.1f} %"),
        ]
        table.show("50 open pages of an experiment that changes once a second", ("page", "of a core"), shares)
        client.close()


if __name__ == "__main__":
    main()
