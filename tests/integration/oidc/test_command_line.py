"""`orchestune login` at a real server with a real identity provider."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.testbeds.home import Home
from tests.testbeds.oidc.provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider, Person
from tests.testbeds.ports import free_port
from tests.testbeds.waiting import until

TIMEOUT = 60.0


@pytest.fixture
def settings(tmp_path: Path, provider: IdentityProvider) -> Path:
    """A settings file as the documentation shows it."""
    secret, tokens, file = (tmp_path / name for name in ("oidc-secret", "tokens", "server.toml"))
    secret.write_text(f"{CLIENT_SECRET}\n")
    tokens.write_text("robot a-token-of-a-machine\n")
    lines = {
        "port": free_port(),
        "state": str(tmp_path / "state"),
        "token_file": str(tokens),
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret_file": str(secret),
        "oidc_scopes": "openid profile email groups",
        "oidc_name": "the lab",
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    file.write_text(text + '[oidc_roles]\nml-team = "editor"\n"ml-leads" = "owner"\n')
    return file


@contextmanager
def serving(home: Home, settings: Path) -> Iterator[str]:
    """Run the server; its address."""
    port = re.search(r"port = (\d+)", settings.read_text())
    assert port is not None
    url = f"http://127.0.0.1:{port[1]}"
    process = home.start("server", "--config", str(settings))
    try:
        until("the server", lambda: process.poll() is not None or is_ready(url))
        assert process.poll() is None, process.communicate()
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT)


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=TIMEOUT).ok
    except requests.ConnectionError:
        return False


def begin(home: Home, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start `orchestune login`; return it and the address that it prints."""
    process = home.start("login", *arguments)
    assert process.stdout is not None
    address = re.fullmatch(r"Open (\S+)\n", process.stdout.readline())
    assert address is not None, process.communicate()
    assert "confirm this code at the lab" in process.stdout.readline()
    return process, address[1]


def test_a_person_signs_in_once_and_all_commands_and_pages_know_them(settings: Path) -> None:
    with Home() as home, serving(home, settings) as url:
        refused = home.run("status", "--cluster", "lab", expect=2)
        assert "no such cluster" in refused.stderr
        process, address = begin(home, url)
        assert "Sign-in Success" in Person("ada").approve(address)
        out, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, err
        assert f"signed in at {url} as ada@example.org (owner), until" in out
        assert f"export ORCHESTUNE_SERVER={url}" in err
        stored = home.folder / "logins.json"
        assert stat.S_IMODE(stored.stat().st_mode) == 0o600

        home.env["ORCHESTUNE_SERVER"] = url
        assert home.json("status") == []
        link = home.run("ui", "--print").stdout.strip()
        browser = Person("ada")
        assert "Signed in as <b>ada@example.org</b>" in browser.get(link).text
        del home.env["ORCHESTUNE_SERVER"]
        home.run("cluster", "connect", "-n", "lab", "--server", url)
        assert "l." not in (home.folder / "clusters.json").read_text().partition('"token"')[2][:10]
        assert home.json("status", "--cluster", "lab") == []

        assert f"signed out at {url}" in home.run("logout", url).stdout
        assert "not signed in" in home.run("logout", url, expect=2).stderr
        refused = home.run("status", "--cluster", "lab", expect=2)
        assert "a token is missing" in refused.stderr or "the token is unknown" in refused.stderr
        assert f"orchestune login {url}" in refused.stderr
        assert "Sign in with the lab" in browser.get(f"{url}/experiments").text, "its browser is signed out as well"
        home.env |= {"ORCHESTUNE_SERVER": url, "ORCHESTUNE_TOKEN": "a-token-of-a-machine"}
        events = [(event["kind"], event["actor"]) for event in home.json("audit")["items"]]
        assert ("sign_in", "ada@example.org") in events and ("grant_revoked", "ada@example.org") in events


def test_who_has_no_role_is_told_the_groups_that_would_do(settings: Path) -> None:
    with Home() as home, serving(home, settings) as url:
        process, address = begin(home, url)
        Person("bob").approve(address)
        _, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 2
        assert "no group of this account has a role on this server" in err and "'ml-team' (editor)" in err
        assert not (home.folder / "logins.json").exists()


def test_sign_ins_outlive_the_provider_and_a_restart_of_the_server(settings: Path, provider: IdentityProvider) -> None:
    with Home() as home:
        with serving(home, settings) as url:
            process, address = begin(home, url)
            Person("ada").approve(address)
            assert process.wait(TIMEOUT) == 0
            process.communicate()
        away = settings.read_text().replace(provider.issuer, f"http://127.0.0.1:{free_port()}")
        settings.write_text(away)
        home.env["ORCHESTUNE_SERVER"] = url
        with serving(home, settings):
            assert home.json("status") == []
            page = requests.get(f"{url}/sign-in/provider", timeout=TIMEOUT)
            assert page.status_code == 503 and "does not answer" in page.text and "enter your token" in page.text
            refused = home.run("login", expect=3)
            assert "the lab does not answer" in refused.stderr
