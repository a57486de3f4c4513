"""Rendering of HTML pages with security headers."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Response
from starlette.types import Scope

from orchestune import __version__
from orchestune.errors import OrchestuneError
from orchestune.server.access import API
from orchestune.server.answers import refusal
from orchestune.server.cookies import header
from orchestune.server.pages import assets
from orchestune.services.core import Caller

if TYPE_CHECKING:
    from jinja2 import Environment

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "worker-src 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_COPIED_HEADERS = ("retry-after", "www-authenticate")
"""headers of an error response that an error page has too"""


@cache
def templates() -> Environment:
    """Return the templates of the pages; they escape every value."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not needed until the first page

    folder = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.globals |= {"static": f"/static/{assets.version()}", "imported": assets.imported}
    environment.globals["program_version"] = __version__
    return environment


def page(template: str, status: int = 200, *, caller: Caller | None = None, **values: str | int) -> Response:
    """Render a page from its template; `caller` is None if the user has not signed in."""
    now = round(time.time() * 1000)  # a browser's clock may be wrong, and ages are counted from the server's times
    text = templates().get_template(template).render(caller=caller, now=now, **values)
    return Response(text.encode(), status, HEADERS, "text/html; charset=utf-8")


def refused(scope: Scope, error: OrchestuneError) -> Response:
    """Build the response of an error: an HTML page if a browser requested one, otherwise JSON."""
    answer = refusal(error)
    is_page = scope["method"] != "HEAD" and not scope["path"].startswith(API)
    if not is_page or "text/html" not in header(scope, b"accept"):
        return answer
    caller = scope.get("state", {}).get("caller")
    title = "Not found" if error.status == 404 else "Request failed"
    html = page("refused.html", error.status, caller=caller, title=title, problem=error.message, hint=error.hint)
    html.headers.update({name: answer.headers[name] for name in _COPIED_HEADERS if name in answer.headers})
    return html
