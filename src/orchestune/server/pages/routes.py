"""The routes of the pages, of sign-in and of sign-out."""

from __future__ import annotations

from functools import partial
from urllib.parse import parse_qs

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from orchestune.domain.access.audit import AuditKind
from orchestune.errors import Denied, NotFound, OrchestuneError, ProviderUnavailable, Throttled
from orchestune.server import cookies, routers
from orchestune.server.auditing import notes_of
from orchestune.server.caller_address import caller_address
from orchestune.server.context import Context
from orchestune.server.pages import assets, render
from orchestune.server.parameters import Number, RequestCaller, RequestContext
from orchestune.services.access import authenticate, sign_in, single_sign_on
from orchestune.services.access.sign_in import SignedIn
from orchestune.services.access.single_sign_on import BROWSER_SECONDS, CALLBACK, PersonSignedIn
from orchestune.services.core import Caller

router = routers.of_pages()


@router.get("/")
async def home() -> Response:
    """Redirect to the list of experiments."""
    return RedirectResponse("/experiments", 303)


@router.get("/experiments")
async def experiments(caller: RequestCaller) -> Response:
    """Show the list of experiments."""
    return render.page("experiments.html", caller=caller)


@router.get("/experiments/{ref}")
async def experiment(caller: RequestCaller, ref: str, tab: str = "overview") -> Response:
    """Show one experiment."""
    return render.page("experiment.html", caller=caller, ref=ref, tab=tab)


@router.get("/experiments/{ref}/trials/{number}")
async def trial(caller: RequestCaller, ref: str, number: Number) -> Response:
    """Show one trial."""
    return render.page("trial.html", caller=caller, ref=ref, number=number)


@router.get("/compare")
async def compare(caller: RequestCaller) -> Response:
    """Compare experiments by one metric."""
    return render.page("compare.html", caller=caller)


@router.get("/cluster")
async def cluster(caller: RequestCaller) -> Response:
    """Show the cluster page: machines, their users, and pending experiments."""
    return render.page("cluster.html", caller=caller)


@router.get("/settings")
async def settings(caller: RequestCaller) -> Response:
    """Show the settings page: tokens, shared links, the server, and the theme."""
    return render.page("settings.html", caller=caller)


@router.get("/static/{version}/{path:path}")
async def static(version: str, path: str) -> Response:
    """Serve a script or stylesheet."""
    return assets.answer(version, path)


@router.get("/sign-in")
async def sign_in_by_link(context: RequestContext, request: Request, code: str = "", next: str = "") -> Response:
    """Sign in with a one-time link; without a valid one, show how to sign in."""
    if not code:
        return _sign_in_page(context, next=next)
    caller = await _signed_in(context, request)
    if caller is not None and caller.role != "guest" and cookies.is_followed_link(request.scope):
        # Another site could sign the user in as its own user, who would then see what the user starts.
        return RedirectResponse(_own_path(next) or "/experiments", 303, {"Cache-Control": "no-store"})
    try:
        entered = await context.cold(sign_in.enter, context.core, code)
    except Denied as exc:
        return _sign_in_failed(context, request, exc, "link", next)
    return _sign_in_succeeded(context, request, entered, "link", next)


@router.get("/sign-in/provider")
async def begin_single_sign_on(context: RequestContext, request: Request, next: str = "") -> Response:
    """Redirect to the identity provider, with a cookie that ties the sign-in to this browser."""
    address = caller_address(request.scope, context.proxies)
    try:
        begun = await context.signing_in(address, single_sign_on.begin, context.core, _own_path(next))
    except (Denied, NotFound, ProviderUnavailable) as exc:
        return _sign_in_page(context, exc.status, next=next, error=exc)
    response = RedirectResponse(begun.address, 303, {"Cache-Control": "no-store"})
    name = cookies.sign_in_name(request.scope, begun.state)
    _set_cookie(context, request, response, name, begun.cookie, BROWSER_SECONDS)
    return response


@router.get(CALLBACK)
async def finish_single_sign_on(
    context: RequestContext, request: Request, state: str = "", code: str = "", error: str = ""
) -> Response:
    """Sign in a browser that returns from the identity provider."""
    cookie = cookies.sign_in_cookie(request.scope, state)
    address = caller_address(request.scope, context.proxies)
    finish = partial(single_sign_on.finish, context.core, cookie, state, code, error)
    try:
        entered, next_page = await context.signing_in(address, finish)
    except ProviderUnavailable as exc:
        return _sign_in_page(context, exc.status, error=exc)
    except (Denied, NotFound) as exc:
        return _sign_in_failed(context, request, exc, "provider")
    response = _sign_in_succeeded(context, request, entered, "provider", next_page)
    response.delete_cookie(cookies.sign_in_name(request.scope, state), path="/", httponly=True, samesite="lax")
    return response


@router.get("/share")
async def share(context: RequestContext, request: Request, code: str = "") -> Response:
    """Show one experiment to a guest with its share link; a valid session is kept."""
    try:
        guest = await context.cold(sign_in.guest_of, context.core, code)
        caller = await _signed_in(context, request)
        if caller is not None and caller.role != "guest":
            return RedirectResponse(f"/experiments/{guest.handle}", 303, {"Cache-Control": "no-store"})
    except Denied as exc:
        return _sign_in_failed(context, request, exc, "share")
    context.sign_ins.count(guest)
    entered = await context.cold(sign_in.enter_share, context.core, code)
    return _sign_in_succeeded(context, request, entered, "share", f"/experiments/{guest.handle}")


@router.post("/sign-in")
async def sign_in_with_token(context: RequestContext, request: Request) -> Response:
    """Sign in with a typed token."""
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    token, next_page = (form.get(name, [""])[0].strip() for name in ("token", "next"))
    if not cookies.from_our_pages(request.scope, context.core.url):
        raise Denied("another site sent this request with your session", "use the pages of this server")
    try:
        caller_of_token = await context.cold(authenticate.authenticate, context.core, token)
        address = caller_address(request.scope, context.proxies)
        caller = sign_in.user(caller_of_token or await context.identify(token, address))
    except Denied as exc:
        return _sign_in_failed(context, request, exc, "token", next_page)
    context.sign_ins.count(caller)
    entered = await context.cold(sign_in.begin, context.core, caller)
    return _sign_in_succeeded(context, request, entered, "token", next_page)


@router.post("/sign-out")
async def sign_out(context: RequestContext, request: Request) -> Response:
    """End the browser's session."""
    if not cookies.from_our_pages(request.scope, context.core.url):
        raise Denied("another site sent this request with your session", "use the pages of this server")
    token = cookies.session_token(request.scope)
    if token:
        ended = await context.cold(sign_in.leave, context.core, token)
        if ended or context.callers.was_known(token):
            context.callers.forget(token)  # not before: requests of open pages would cache it again
        await context.revoke(ended)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(cookies.name(request.scope), path="/", httponly=True, samesite="lax")
    return response


async def _signed_in(context: Context, request: Request) -> Caller | None:
    """Return the caller of the browser's session; None if it has no valid one."""
    token = cookies.session_token(request.scope)
    return await context.cold(authenticate.session_of, context.core, token) if token else None


def _sign_in_page(
    context: Context, status: int = 200, *, next: str = "", error: OrchestuneError | None = None
) -> Response:
    provider = context.core.single_sign_on
    problem, hint = (error.message, error.hint) if error else ("", "")
    name = provider.name if provider else ""
    return render.page("sign_in.html", status, next=_own_path(next), provider=name, problem=problem, hint=hint)


def _sign_in_failed(
    context: Context, request: Request, error: OrchestuneError, method: str, next_page: str = ""
) -> Response:
    """Return the page of a failed sign-in, after noting and counting it."""
    reason = error.message if method == "provider" else ""
    notes_of(request.scope).add(AuditKind.SIGN_IN_FAILED, by=method, reason=reason)
    error = context.failures.refusal(caller_address(request.scope, context.proxies), error)
    status = error.status if isinstance(error, Throttled) else 401
    page = _sign_in_page(context, status, next=next_page, error=error)
    if isinstance(error, Throttled):
        page.headers["Retry-After"] = str(error.seconds)
    return page


def _sign_in_succeeded(
    context: Context, request: Request, entered: SignedIn | PersonSignedIn, method: str, next_page: str
) -> Response:
    notes_of(request.scope).add(AuditKind.SIGN_IN, entered.caller.handle, entered.caller, by=method)
    response = RedirectResponse(_own_path(next_page) or "/experiments", 303, {"Cache-Control": "no-store"})
    _set_cookie(context, request, response, cookies.name(request.scope), entered.token, entered.seconds)
    return response


def _set_cookie(
    context: Context, request: Request, response: Response, name: str, content: str, seconds: float
) -> None:
    secure = request.url.scheme == "https" or context.core.url.startswith("https:")
    response.set_cookie(name, content, int(seconds), path="/", httponly=True, samesite="lax", secure=secure)


def _own_path(path: str) -> str:
    """Return the path of a page of this server; the front page for any other address."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\", "/sign-")) and path.isprintable()
    return path if is_own else ""
