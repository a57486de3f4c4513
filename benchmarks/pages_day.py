"""A page of each kind left open for a day of a busy server: what it holds, and how far it is behind.

What happens in a day happens in 40 minutes (`--minutes`: of fewer, a part of the day): the trials of a large experiment
end, one of them prints, and every hour one more small experiment runs. After a third of the time the server is
killed and started again, after two thirds the network falls silent for a while.
"""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks import table
from benchmarks.pages import chromium
from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from tests.testbeds.home import Home
from tests.testbeds.line import Line
from tests.testbeds.open_pages import Held
from tests.testbeds.ports import free_port
from tests.testbeds.waiting import until

TOKEN = "a-token-for-a-page-that-stays-open"
FIRST = "1"
"""the trial that runs as long as the experiment"""
DAY = 40.0
"""minutes into which a day is put"""
TRIALS = 24 * 60 * 4
"""of a day: 20 workers whose trials take five minutes"""
SLOTS = 3
"""that end them, beside the first trial's; a trial pauses three times"""
PAUSE = 60 * DAY * SLOTS / TRIALS / 3
HOUR = 60 * DAY / 24
FILE = f"""\
name: all day
run: >-
  sh -c 'n=0; while [ $n -lt 3 ] || [ $ORCHESTUNE_TRIAL = 1 ];
  do n=$((n + 1)); for i in 1 2 3 4 5 6; do echo "line $n.$i"; done;
  echo loss=$ORCHESTUNE_PARAM_X; sleep {PAUSE:.2f}; done'
parameters: {{x: 0.0..1.0, y: {{values: [a, b, c]}}}}
metrics: {{loss: minimize}}
budget: 100000
parallelism: {SLOTS + 1}
resources: {{cpu: 0.1}}
engine: random
"""
HOURLY = """\
name: hour NUMBER
run: sh -c 'echo loss=$ORCHESTUNE_PARAM_X; [ $((ORCHESTUNE_TRIAL % 7)) != 0 ]; sleep 0.2'
parameters: {x: 0.0..1.0}
metrics: {loss: minimize}
budget: 30
parallelism: 1
resources: {cpu: 0.1}
engine: random
"""
SERVER_OUTAGE = 20.0
NETWORK_OUTAGE = 120.0
"""seconds for which the server is gone, and the network"""
TIMEOUT = 180.0


def paths(handle: str) -> dict[str, str]:
    """The address of a page of each kind."""
    tabs = {name: f"/experiments/{handle}?tab={name}" for name in ("overview", "analysis", "trials", "logs", "code")}
    more = {"compare": f"/compare?experiments={handle}", "cluster": "/cluster", "settings": "/settings"}
    return {"list of experiments": "/experiments", **tabs, "trial 1": f"/experiments/{handle}/trials/{FIRST}", **more}


def started(home: Home, port: int) -> subprocess.Popen[str]:
    """A server on that port."""
    arguments = (
        "server",
        "--port",
        str(port),
        "--state",
        str(home.folder),
        "--token-file",
        str(home.folder / "people"),
    )
    with (home.folder / "server.log").open("a") as log:
        return home.start(*arguments, stdout=log, stderr=log)


@dataclass(frozen=True)
class Open:
    """A page."""

    page: Page
    session: CDPSession

    def behind(self, finished: int) -> bool:
        """Return True if the page says that it is stale, or shows fewer trials than have ended."""
        match = re.search(r"([\d,]+) of 100,?000", self.page.locator("main").inner_text())
        late = match is not None and int(match[1].replace(",", "")) < finished
        return late or self.page.locator("#connection").get_attribute("data-state") not in ("live", None)


def opened(browser: Browser, client: Client, url: str, path: str) -> Open:
    """One, in a context of its own."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT * 1000)
    page.goto(url + client.invite()["path"])
    page.goto(url + path)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    return Open(page, session)


def catching_up(pages: Mapping[str, Open], client: Client, handle: str) -> float:
    """Return the seconds until no page is behind the server's state at the start. TimeoutError after `TIMEOUT`."""
    finished = client.experiment(handle)["counts"]["completed"]
    began = time.monotonic()
    late = dict(pages)
    while late:
        late = {name: each for name, each in late.items() if each.behind(finished)}
        if time.monotonic() > began + TIMEOUT:
            raise TimeoutError(f"behind: {sorted(late)}")
        time.sleep(0.1)
    return time.monotonic() - began


def resident(browser: Browser) -> float:
    """MiB of all renderers together."""
    process_infos = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    kilobytes = 0
    for each in process_infos:
        if each["type"] == "renderer":
            status = Path(f"/proc/{each['id']}/status").read_text()
            kilobytes += int(re.findall(r"VmRSS:\s+(\d+)", status)[0])
    return kilobytes / 1024


def begun(home: Home, file: str) -> str:
    """The handle of a new experiment."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "experiment.yml").write_text(file)
        return home.run("run", "--detach", cwd=folder).stdout.split()[-1]


def lasting(home: Home) -> str:
    """The handle of the experiment that runs all day, once its trials end."""
    handle = begun(home, FILE)
    until("a trial to end", lambda: home.json("status", handle)["counts"]["completed"], 120, home.server_log)
    return handle


class Day:
    """A page under observation, with its measurements."""

    def __init__(self, home: Home, line: Line, browser: Browser, port: int) -> None:
        self._home, self._line, self._browser, self._port = home, line, browser, port
        self._server = started(home, port)
        url = f"http://127.0.0.1:{port}"
        self._client = Client.connect(lambda: ServerAccess(url, TOKEN), retry_seconds=60)
        until("the server to answer", self._answers, 120, home.server_log)
        self.handle = lasting(home)
        self._hours = 0
        self._pages = {
            name: opened(browser, self._client, f"http://127.0.0.1:{line.port}", path)
            for name, path in paths(self.handle).items()
        }
        self._began = time.monotonic()
        self.looks: list[table.Row] = []
        self.held: list[dict[str, Held]] = []

    def look(self, event: str = "") -> None:
        """Measure the delay of the pages and the memory that they hold."""
        behind = catching_up(self._pages, self._client, self.handle)
        self.held.append({name: Held.by(each.session) for name, each in self._pages.items()})
        held = self.held[-1].values()
        heap, nodes = sum(each.heap for each in held) / 2**20, sum(each.nodes for each in held)
        finished = self._client.experiment(self.handle)["counts"]["completed"]
        minutes = (time.monotonic() - self._began) / 60
        row = (
            f"{minutes:.0f} min{event}",
            finished,
            f"{behind:.1f} s",
            f"{heap:.1f}",
            f"{nodes:,.0f}",
            f"{sum(each.listeners for each in held):,.0f}",
            f"{resident(self._browser):,.0f}",
        )
        self.looks.append(row)
        print(*row, sep=", ", flush=True)

    def rest(self, seconds: float, looks: int) -> None:
        """Let time pass, and look so often."""
        for _ in range(looks):
            end = time.monotonic() + seconds / looks
            while time.monotonic() < end:
                self._hours += 1
                begun(self._home, HOURLY.replace("NUMBER", str(self._hours)))
                self._until(min(end, time.monotonic() + HOUR))
            self.look()

    def lose_server(self) -> None:
        """It is killed, and comes back after a while."""
        self._server.kill()
        self._server.wait()
        self._until(time.monotonic() + SERVER_OUTAGE)
        self._server = started(self._home, self._port)
        until("the server to answer", self._answers, 120, self._home.server_log)
        self.look(", the server was killed")

    def lose_network(self) -> None:
        """It falls silent as in a sleep, and new connections are made after a while."""
        self._line.silence()
        self._until(time.monotonic() + NETWORK_OUTAGE)
        self._line.mend()
        self.look(", the network was away")

    def close(self) -> None:
        """End what was started."""
        self._client.close()
        self._server.kill()
        self._server.wait()

    def _until(self, moment: float) -> None:
        while time.monotonic() < moment:  # the browser's events are taken meanwhile
            next(iter(self._pages.values())).page.wait_for_timeout(min(5.0, max(moment - time.monotonic(), 0)) * 1000)

    def _answers(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self._port), 5).close()
            return True
        return False


def main() -> None:
    """Print a line for each look, and one for each page."""
    parser = table.arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=DAY)
    options = parser.parse_args()
    seconds = 60 * (3 if options.quick else options.minutes)
    print(table.machine())
    program = chromium()
    if program is None:
        return
    port = free_port()
    with (
        Home(ORCHESTUNE_SERVER=f"http://127.0.0.1:{port}", ORCHESTUNE_TOKEN=TOKEN) as home,
        Line("127.0.0.1", port) as line,
        sync_playwright() as playwright,
    ):
        (home.folder / "people").write_text(f"ada {TOKEN}\n")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        day = Day(home, line, browser, port)
        day.rest(seconds / 3, 3)
        day.lose_server()
        day.rest(seconds / 3, 2)
        day.lose_network()
        day.rest(seconds / 3, 2)
        day.close()
        browser.close()
    table.show(
        "All pages together",
        ("after", "trials", "behind", "heaps (MiB)", "nodes", "listeners", "processes (MiB)"),
        day.looks,
    )
    rows = [
        (name, *(f"{each[name].heap / 1024:,.0f}" for each in (day.held[0], day.held[len(day.held) // 2])),
         f"{held.heap / 1024:,.0f}", f"{held.nodes:,.0f}", f"{(held - day.held[0][name]).nodes:+,.0f}",
         f"{(held - day.held[0][name]).listeners:+,.0f}")
        for name, held in day.held[-1].items()
    ]  # fmt: skip
    head = (
        "page",
        "heap at first (KiB)",
        "half way",
        "at the end",
        "nodes",
        "since the first",
        "listeners, since the first",
    )
    table.show(f"{seconds / 60:.0f} minutes", head, rows)


if __name__ == "__main__":
    main()
