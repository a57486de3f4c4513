"""Every live page in a real browser at once while things happen, and what each holds in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, CDPSession, Page

from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from orchestune.server.context import ServerTimeouts
from tests.testbeds.seed import TOKEN
from tests.testbeds.stir import Stir

EAGER = ServerTimeouts(ping=2.0, page_interval=0.0, shared=0.02)
"""of a server that holds nothing back"""
_QUICK = """
for (const name of ["setTimeout", "setInterval"]) {
  const real = window[name];
  window[name] = (run, wait, ...rest) => real(run, (wait ?? 0) / 4, ...rest);
}
window.heard = 0;
window.EventSource = class extends EventSource {
  constructor(...given) {
    super(...given);
    this.addEventListener("status", () => { window.heard += 1; });
  }
};
"""
"""what a page does now and then it does four times as often, and it counts what it receives"""


def paths(handle: str, running: int) -> list[str]:
    """The pages that are live, of an experiment and a trial of it that run."""
    tabs = [f"/experiments/{handle}{tab}" for tab in ("", "?tab=analysis", "?tab=trials", "?tab=logs")]
    return ["/experiments", *tabs, f"/experiments/{handle}/trials/{running}", "/cluster"]


@dataclass(frozen=True)
class Held:
    """Return the memory of a page after garbage collection."""

    heap: float
    """bytes of its scripts' objects"""
    nodes: float
    listeners: float

    @classmethod
    def by(cls, session: CDPSession) -> Held:
        """The least of some measurements: what just happens to be under way is none of it."""
        samples = []
        for _ in range(4):
            session.send("HeapProfiler.collectGarbage")
            metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
            samples.append((metrics["JSHeapUsedSize"], metrics["Nodes"], metrics["JSEventListeners"]))
            time.sleep(0.05)
        return cls(*map(min, zip(*samples, strict=True)))

    def __sub__(self, other: Held) -> Held:
        return Held(self.heap - other.heap, self.nodes - other.nodes, self.listeners - other.listeners)


class OpenPages:
    """Pages by their paths."""

    def __init__(self, pages: Mapping[str, tuple[Page, CDPSession]], stir: Stir) -> None:
        self._pages, self._stir = pages, stir

    def hear(self, count: int, timeout: float) -> dict[str, Held]:
        """Change things until each page has received `count` more changes; return what each holds then."""
        missing = {path: self._heard(path) + count for path in self._pages}
        deadline = time.monotonic() + timeout
        while missing:
            for _ in range(min(count, 20)):
                self._stir.step()
                time.sleep(0.01)
            missing = {path: most for path, most in missing.items() if self._heard(path) < most}
            if time.monotonic() > deadline:
                raise TimeoutError(f"still to hear: {missing}")
        return {path: Held.by(session) for path, (_, session) in self._pages.items()}

    def _heard(self, path: str) -> int:
        return int(self._pages[path][0].evaluate("window.heard"))


@contextmanager
def opened(browser: Browser, url: str, paths_to_open: Sequence[str], stir: Stir) -> Iterator[OpenPages]:
    """Each in a context of its own: six connections are all that one has to a server."""
    pages: dict[str, tuple[Page, CDPSession]] = {}
    try:
        for path in paths_to_open:
            page = browser.new_page()
            client = Client.connect(lambda: ServerAccess(url, TOKEN))
            page.goto(url + client.invite()["path"])
            client.close()
            page.add_init_script(_QUICK)
            page.goto(url + path)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            pages[path] = page, session
        yield OpenPages(pages, stir)
    finally:
        for page, _ in pages.values():
            page.context.close()
