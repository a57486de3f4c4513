"""A provider, and people who sign in there: `python -m tests.testbeds.oidc.provider FOLDER` installs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import requests

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("ORCHESTUNE_TEST_OIDC") or HERE.parents[2] / ".venv-oidc")
CLIENT_ID, CLIENT_SECRET = "orchestune", "a secret & a half+"
ADA = {"email": "ada@example.org", "email_verified": True, "groups": ["ml-team", "ml-leads"]}
TIMEOUT = 60.0


def make(folder: Path) -> None:
    """Install the provider in a folder. Raises CalledProcessError if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", folder)
    subprocess.run(
        ["npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"], cwd=folder, check=True
    )


@dataclass(frozen=True)
class IdentityProvider:
    """A provider that answers at its issuer."""

    issuer: str
    process: subprocess.Popen[str]

    def change(self, person: str, claims: Mapping[str, object] | None) -> None:
        """Set what the provider states about a person; None: they have left."""
        requests.post(f"{self.issuer}/people/{person}", data=json.dumps(claims), timeout=TIMEOUT).raise_for_status()


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """Run a provider until the block ends."""
    assert (FOLDER / "node_modules").exists(), "make test-oidc sets up what this takes"
    command = ["node", str(HERE / "provider.mjs"), str(FOLDER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            issuer = process.stdout.readline().strip()
            while issuer and not issuer.startswith("http"):
                issuer = process.stdout.readline().strip()
            assert issuer, "the provider has not started"
            yield IdentityProvider(issuer, process)
        finally:
            process.stdin.close()
            process.kill()


class Person:
    """A browser with its cookies, and who fills in the provider's forms."""

    def __init__(self, login: str) -> None:
        self.login = login
        self.browser = requests.Session()
        self.browser.trust_env = False

    def get(self, address: str, *, follow: bool = True) -> requests.Response:
        return self.browser.get(address, timeout=TIMEOUT, allow_redirects=follow)

    def at_provider(self, address: str) -> str:
        """Sign in at the provider and consent; return the address to which it sends the browser back."""
        page = self._until_a_page(address)
        while isinstance(page, requests.Response):
            page = self._until_a_page(*self._filled_in(page))
        return page

    def approve(self, address: str) -> str:
        """Confirm a device code at the provider; return the last page's text."""
        page = self.get(address)
        for _ in range(6):
            if "<form" not in page.text:
                return page.text
            target, fields = self._filled_in(page)
            page = self.browser.post(target, fields, timeout=TIMEOUT)
        raise AssertionError(f"forms without end: {page.text}")

    def _until_a_page(self, address: str, fields: Mapping[str, str] | None = None) -> requests.Response | str:
        """Follow redirects within the provider."""
        response = self.browser.request(
            "POST" if fields else "GET", address, data=fields, timeout=TIMEOUT, allow_redirects=False
        )
        while response.is_redirect:
            target = urljoin(response.url, response.headers["location"])
            if "/sign-in/callback" in target:
                return target
            response = self.get(target, follow=False)
        assert response.status_code == 200, response.text
        return response

    def _filled_in(self, page: requests.Response) -> tuple[str, dict[str, str]]:
        """Return address and fields of the page's form."""
        form = re.search(r"<form[^>]*>.*?</form>", page.text, re.DOTALL)
        assert form is not None, page.text
        action = re.search(r'action="([^"]*)"', form[0])
        fields = {}
        for tag in re.findall(r"<(?:input|button)[^>]*>", form[0]):
            name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
            if name is not None:
                fields[name[1]] = unescape(value[1]) if value else ""
        credentials = {"login": self.login, "password": "any"}
        fields |= {name: text for name, text in credentials.items() if name in fields}
        fields.pop("abort", None)
        return urljoin(page.url, unescape(action[1]) if action else ""), fields


if __name__ == "__main__":
    make(Path(sys.argv[1]))
