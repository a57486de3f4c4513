"""`orchestune ui`: open the web interface, signed in."""

from __future__ import annotations

import argparse
import html
import time
import webbrowser
from pathlib import Path
from urllib.parse import quote, urlsplit

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.client.local.home import state_folder
from orchestune.system.private import write_private

_PAGE_FILE = "open-pages.html"
_REDIRECT_PAGE = """<!doctype html><meta charset="utf-8"><title>Orchestune</title>
<meta http-equiv="refresh" content="0; url={url}"><p><a href="{url}">Open the pages</a></p>
"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "ui",
        ui,
        details="The link works once, within five minutes. For a cluster the command keeps a tunnel open until Ctrl-C.",
        example="orchestune ui\norchestune ui sgd-7f3a\norchestune ui --print    on a machine without a browser",
        json=False,
    )
    add_cluster(parser)
    parser.add_argument(
        "exp", metavar="EXP[/N]", nargs="?", help="experiment or trial to open (default: the list of experiments)"
    )
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the link instead of opening it")


def ui(console: Console, args: argparse.Namespace) -> int:
    """Create a sign-in link and open it."""
    page = _path_of(console, args.exp) if args.exp else "/experiments"
    access = console.place.resolve()
    if access.dial is None or console.place.embedded:
        # A browser uses the server's own port, which refuses other users of the machine. A gateway to its Unix socket
        # would let them in as this one.
        _open_link(console, _link(console, access.url, page), args.only_print)
        return 0
    from orchestune.client.tunnels.gateway import gateway  # only needed without a direct address

    with gateway(access.dial) as url:
        _open_link(console, _link(console, url, page), args.only_print)
        console.note(f"tunnel to {access.name} open; press Ctrl-C to close it")
        while True:
            time.sleep(3600)


def _path_of(console: Console, text: str) -> str:
    ref, number = console.reference(text)
    page = f"/experiments/{quote(console.client.experiment(ref)['handle'])}"
    return page if number is None else f"{page}/trials/{console.client.trial(ref, number)['number']}"


def _link(console: Console, url: str, page: str) -> str:
    invitation = console.client.invite()
    if host := invitation["host"]:
        parts = urlsplit(url)
        url = parts._replace(netloc=f"{host}:{parts.port}").geturl()
    return f"{url}{invitation['path']}&next={quote(page, safe='')}"


def _open_link(console: Console, link: str, only_print: bool) -> None:
    if only_print:
        console.say(link)
        return
    # Other users can see a program's arguments, so the browser gets a file that only this user can read.
    page = state_folder(console.environ) / _PAGE_FILE
    write_private(page, _REDIRECT_PAGE.format(url=html.escape(link)))
    if _open_browser(page):
        console.say(f"opening {link.partition('/sign-in')[0]} in your browser")
    else:
        console.say("no browser on this machine; open this link within five minutes:", link)


def _open_browser(page: Path) -> bool:
    try:
        return webbrowser.open(page.as_uri())
    except webbrowser.Error:
        return False
