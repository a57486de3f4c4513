"""`orchestune ui`: the web pages, signed in."""

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

_FILE = "open-pages.html"
_PAGE = """<!doctype html><meta charset="utf-8"><title>Orchestune</title>
<meta http-equiv="refresh" content="0; url={url}"><p><a href="{url}">Open the pages</a></p>
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "ui",
        ui,
        details="The link works once, within five minutes. For a cluster the command stays, as the way to it, until "
        "Ctrl-C.",
        example="orchestune ui\norchestune ui sgd-7f3a\norchestune ui --print    for a machine without a browser",
        json=False,
    )
    add_cluster(parser)
    parser.add_argument("exp", metavar="EXP[/N]", nargs="?", help="what to open (default: the list of experiments)")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the link instead of opening it")


def ui(console: Console, args: argparse.Namespace) -> int:
    """Make a link and open it."""
    where = _page(console, args.exp) if args.exp else "/experiments"
    access = console.place.resolve()
    if access.dial is None or console.place.embedded:
        # A browser uses the server's own port, which refuses other users of the machine. A gateway to its Unix socket
        # would let them in as this one.
        _show(console, _link(console, access.url, where), args.only_print)
        return 0
    from orchestune.client.tunnels.gateway import gateway  # only where no address leads to the server

    with gateway(access.dial) as url:
        _show(console, _link(console, url, where), args.only_print)
        console.note(f"this is the way to {access.name}; it stays open until you press Ctrl-C")
        while True:
            time.sleep(3600)


def _page(console: Console, text: str) -> str:
    ref, number = console.reference(text)
    page = f"/experiments/{quote(console.client.experiment(ref)['handle'])}"
    return page if number is None else f"{page}/trials/{console.client.trial(ref, number)['number']}"


def _link(console: Console, url: str, where: str) -> str:
    invitation = console.client.invite()
    if host := invitation["host"]:
        parts = urlsplit(url)
        url = parts._replace(netloc=f"{host}:{parts.port}").geturl()
    return f"{url}{invitation['path']}&next={quote(where, safe='')}"


def _show(console: Console, link: str, only_print: bool) -> None:
    if only_print:
        console.say(link)
        return
    # a program's arguments are everybody's to see: the browser is given a file that only this user can read
    page = state_folder(console.environ) / _FILE
    write_private(page, _PAGE.format(url=html.escape(link)))
    if _opened(page):
        console.say(f"opening {link.partition('/sign-in')[0]} in your browser")
    else:
        console.say("there is no browser here; open this link within five minutes:", link)


def _opened(page: Path) -> bool:
    try:
        return webbrowser.open(page.as_uri())
    except webbrowser.Error:
        return False
