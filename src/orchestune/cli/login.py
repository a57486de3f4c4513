"""`orchestune login` and `logout`: sign in at a server for a team, with the identity provider of the team."""

from __future__ import annotations

import argparse
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.client.address import check_address, named_server
from orchestune.client.api import Client
from orchestune.client.clusters import Clusters
from orchestune.client.local.home import state_folder
from orchestune.client.logins import Logins, StoredLogin
from orchestune.errors import Denied, OrchestuneError, TemporaryError, UsageError

if TYPE_CHECKING:
    from orchestune import documents

_EXTRA_SECONDS = 0.2
"""added to the provider's interval: a request that arrives too early makes some providers demand a longer one"""


def add(commands: Commands) -> None:
    """Register the commands."""
    login_parser = add_command(
        commands,
        "login",
        login,
        details="Prints an address and a code, which you confirm in any browser. Programs use a token in"
        " ORCHESTUNE_TOKEN instead, which takes precedence.",
        example="orchestune login https://orchestune.example.org",
        json=False,
    )
    logout_parser = add_command(
        commands,
        "logout",
        logout,
        details="Browser sessions that `orchestune ui` opened end, too.",
        example="orchestune logout https://orchestune.example.org",
        json=False,
    )
    for parser in (login_parser, logout_parser):
        parser.add_argument(
            "url",
            metavar="URL",
            nargs="?",
            help="the server (default: ORCHESTUNE_SERVER or that of the default cluster)",
        )


def login(console: Console, args: argparse.Namespace) -> int:
    """Sign in, and store the token in the state folder."""
    url = _server(console, args.url)
    with closing(Client.of(url)) as client:
        begun = client.begin_login()
        console.say(f"Open {begun['complete_address'] or begun['address']}")
        console.say(f"and confirm this code at {begun['provider']}: {begun['user_code']}")
        answer = _wait_for_token(client, begun)
    stored = StoredLogin(url, answer["token"], answer["name"], answer["role"], answer["expires_at"])
    Logins(state_folder(console.environ)).add(stored)
    console.say(f"signed in at {url} as {stored.name} ({stored.role}), until {stored.expires_at}")
    if console.environ.get("ORCHESTUNE_TOKEN"):
        console.note("ORCHESTUNE_TOKEN is set and takes precedence; unset it to use this sign-in")
    if not _is_selected(console, url):
        console.note(
            f"`export ORCHESTUNE_SERVER={url}` makes commands use that server,"
            f" `orchestune cluster connect -n NAME --server {url}` gives it a name"
        )
    return 0


def _wait_for_token(client: Client, begun: documents.LoginCode) -> documents.Login:
    """Poll until the person has confirmed the code. Raises Denied if they refuse, or do not in time."""
    deadline = time.monotonic() + begun["seconds"]
    while time.monotonic() < deadline:
        time.sleep(begun["interval"] + _EXTRA_SECONDS)
        with suppress(TemporaryError):  # the server restarts, or the provider does not answer
            answer = client.finish_login(begun["login"])
            if answer["token"]:
                return answer
    raise Denied("the code was not confirmed in time", "run the command again")


def logout(console: Console, args: argparse.Namespace) -> int:
    """End the sign-in at the server, and delete its token here."""
    url = _server(console, args.url)
    logins = Logins(state_folder(console.environ))
    stored = logins.find(url)
    if stored is None:
        raise UsageError(f"not signed in at {url}", "`orchestune login` signs in")
    problem: OrchestuneError | None = None
    with closing(Client.of(url, stored.token)) as client:
        try:
            client.end_login()
        except OrchestuneError as exc:
            problem = exc
    logins.remove(url)
    if problem is not None and not isinstance(problem, Denied):  # Denied: it has ended already
        console.note(f"the server did not confirm it, and ends the sign-in at {stored.expires_at}: {problem.message}")
    console.say(f"signed out at {url}")
    return 0


def _server(console: Console, url: str | None) -> str:
    """Return the address of the server: the argument, or the one that other commands use."""
    address = (url or named_server(console.environ) or _default_address(console)).rstrip("/")
    if not address:
        raise UsageError("no server", "name it: `orchestune login https://orchestune.example.org`")
    check_address(address, "the command" if url else "ORCHESTUNE_SERVER")
    return address


def _default_address(console: Console) -> str:
    clusters = Clusters(state_folder(console.environ))
    return clusters.get(console.environ.get("ORCHESTUNE_CLUSTER", "").strip() or clusters.default).url


def _is_selected(console: Console, url: str) -> bool:
    return url in (named_server(console.environ), _default_address(console))
