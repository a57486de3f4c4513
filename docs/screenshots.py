"""Take the pictures of the pages that the docs show: `python -m docs.screenshots [NAME …]` (Chromium must be there)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from tests.testbeds.seed import TOKEN, core_of, seed, serve

FOLDER = Path(__file__).parent / "images"
PICTURES = {
    "experiments": ("/experiments", False, 620),
    "experiment": ("/experiments/{image model}", False, 900),
    "analysis": ("/experiments/{sgd classifier}?tab=analysis", True, 1000),
    "cluster": ("/cluster", False, 1060),
}
"""address (with names of seeded experiments), whether dark, height"""


def main() -> None:
    """Write all of them, or those that are named."""
    names = sys.argv[1:] or [*PICTURES]
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise SystemExit("there is no Chromium; on Debian: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        core = core_of(Path(folder))
        handles = seed(core, odd=False)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with serve(core) as url:
            for name in names:
                path, dark, height = PICTURES[name]
                size = ViewportSize(width=1200, height=height)
                context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
                page = context.new_page()
                client = Client.connect(lambda: ServerAccess(url, TOKEN))
                page.goto(url + client.invite()["path"])
                client.close()
                for placeholder, handle in handles.items():
                    path = path.replace(f"{{{placeholder}}}", handle)
                page.goto(url + path)
                page.wait_for_selector(".skeleton", state="hidden", timeout=90_000)
                if "tab=analysis" in path:
                    page.wait_for_selector("[aria-label=Importance] [role=listitem]", timeout=90_000)
                page.wait_for_timeout(1500)
                page.screenshot(path=FOLDER / f"{name}.png")
                context.close()
        browser.close()
        core.store.close()


if __name__ == "__main__":
    main()
