"""The client routes of docs/reference/protocol.md as methods."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from orchestune.client.address import Resolve, ServerAccess, ServerPlace, resolver
from orchestune.client.connection.stream import SILENCE, ServerSentEvent, follow
from orchestune.client.connection.transfer import download, fetch, fetch_bundle, has_bundle, quoted, upload_bundle
from orchestune.client.connection.transport import Transport
from orchestune.domain.lifecycle.ids import is_handle
from orchestune.errors import NotFound, OrchestuneError, TemporaryError

if TYPE_CHECKING:
    from orchestune import documents

_V1 = "/api/v1"
_RECORD_TIMEOUT_SECONDS = 3600.0
"""seconds that a server may take to export or import the record of an experiment: minutes for a million trials"""
_PAGE_SIZE = 500
"""trials per page"""

_IDENTITY = re.compile(r"[A-Za-z0-9-]+")
_ENCODING_ERRORS = "surrogateescape"
"""percent-encodes command-line arguments that are not UTF-8 byte by byte"""


class Client:
    """A server's API, for one thread. Methods raise the server's errors, and Unreachable if it does not answer."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.place: ServerPlace | None = None
        """the server to which `sdk` has connected it; None if only its address is known"""

    @classmethod
    def connect(
        cls,
        resolve: Resolve | None = None,
        *,
        retry_seconds: float = 10.0,
        on_wait: Callable[[TemporaryError], None] = lambda error: None,
    ) -> Client:
        """Return a client of the server that the environment selects, or of the embedded one. Sends no request."""
        return cls(Transport(resolve or resolver(), retry_seconds=retry_seconds, on_wait=on_wait))

    @classmethod
    def of(cls, url: str, token: str = "") -> Client:
        """Return a client of the server with this address, which retries nothing. Sends no request."""
        return cls.connect(lambda: ServerAccess(url, token), retry_seconds=0.0)

    def clone(self, *, retry_seconds: float | None = None) -> Client:
        """Return a client of the same server for another thread."""
        return Client(self.transport.clone(retry_seconds=retry_seconds))

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self.transport.close()

    def server(self) -> documents.Server:
        """Return version, protocol, home and process of the server."""
        return cast("documents.Server", self._get("/server"))

    def invite(self) -> documents.Invitation:
        """Create a link that signs one browser in as this caller."""
        return cast("documents.Invitation", self._send("POST", "/sign-in", {}))

    def begin_login(self) -> documents.LoginCode:
        """Begin the single sign-on of a command line."""
        return cast("documents.LoginCode", self._send("POST", "/login", {}))

    def finish_login(self, login: str) -> documents.Login:
        """Return the token of a sign-in; without one until a person has confirmed the code."""
        return cast("documents.Login", self._send("POST", "/login/token", {"login": login}))

    def end_login(self) -> None:
        """End the sign-in to which this client's token belongs."""
        self.transport.request("DELETE", f"{_V1}/login")

    def audit(self, *, limit: int = 50, since: str | None = None) -> documents.AuditPage:
        """Return the newest security events, in chronological order; only for owners. `since`: RFC 3339."""
        return cast("documents.AuditPage", self._get("/audit", limit=limit, since=since))

    def follow_audit(
        self, after: int, on_away: Callable[[TemporaryError], None] | None = None
    ) -> Iterator[documents.AuditEvent]:
        """Yield the security events after the cursor `after`, as they occur. Occupies this client."""
        for event in self._follow("/audit", str(after or ""), on_away):
            yield cast("documents.AuditEvent", event.json())

    def cluster(self, name: str | None = None) -> documents.Cluster:
        """Return the nodes and users of the server's cluster, or of the one that is named."""
        return cast("documents.Cluster", self._get("/cluster", name=name))

    def release(self, node: str, cluster: str | None = None) -> None:
        """Release a node from quarantine."""
        self.transport.request("DELETE", f"{_V1}/cluster/quarantine/{quote(node, safe='')}{_query({'name': cluster})}")

    def upload_bundle(self, digest: str, archive: Path) -> bool:
        """Upload the archive unless the server has it; return True if it was sent."""
        return upload_bundle(self.transport, digest, archive)

    def fetch_bundle(self, digest: str, target: Path) -> None:
        """Download the archive to `target`."""
        fetch_bundle(self.transport, digest, target)

    def fetch_record(self, experiment: str, target: Path) -> None:
        """Download the complete record of a finished experiment to `target`."""
        with closing(self.transport.clone(timeout=_RECORD_TIMEOUT_SECONDS)) as transport:
            fetch(transport, f"{_V1}{_experiment(experiment)}/archive", target)

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        """Download the blob with this digest to `target`."""
        download(self.transport, f"{_V1}/bundles/{digest}", target, digest, size)

    def has_blob(self, digest: str, size: int) -> bool:
        """Return True if the server has the blob."""
        return has_bundle(self.transport, digest)

    def put_blob(self, digest: str, path: Path) -> None:
        """Upload a blob unless the server has it."""
        upload_bundle(self.transport, digest, path)

    def wrote_record(self, digest: str, signature: str) -> bool:
        """Return True if the server itself wrote the record with this digest; False from servers without signatures."""
        try:
            answer = self._send("POST", "/archive/signature", {"digest": digest, "signature": signature})
        except NotFound:
            return False
        return bool(answer["verified"])

    def put_record(self, path: Path, trust: str = "") -> documents.Imported:
        """Upload the record of an experiment whose blobs are already on the server.

        `trust`: the record's digest, if another server wrote it and the user has confirmed its contents; otherwise the
        server raises Unverified.
        """
        headers = {"Content-Type": "application/gzip", "Content-Length": str(path.stat().st_size)}
        with closing(self.transport.clone(timeout=_RECORD_TIMEOUT_SECONDS)) as transport:
            query = _query({"trust": trust or None})
            reply = transport.request("POST", f"{_V1}/archive{query}", lambda: path.open("rb"), headers)
        return cast("documents.Imported", reply.json())

    def create_experiment(self, body: Mapping[str, Any]) -> documents.Status:
        """Start an experiment."""
        return _checked(self._send("POST", "/experiments", body))

    def experiments(
        self,
        *,
        folder: str | None = None,
        limit: int | None = 50,
        hidden: bool = False,
        details: bool = False,
        mine: bool = False,
    ) -> list[documents.Status]:
        """Return the newest experiments, optionally only those of `folder`; with `hidden`, deleted ones too.

        With `details`, each has its running trials and workers. `mine`: only those of this user.
        """
        statuses: list[documents.Status] = []
        before: str | None = None
        flags = {"hidden": hidden, "details": details, "mine": mine}
        filters = {name: "true" if is_set else None for name, is_set in flags.items()}
        while limit is None or len(statuses) < limit:
            page_size = 200 if limit is None else min(limit - len(statuses), 200)
            page = self._get("/experiments", folder=folder, limit=page_size, before=before, **filters)
            statuses += map(_checked, page["items"])
            before = page.get("next")
            if before is None or not page["items"]:
                break
        return statuses

    def experiment(self, ref: str) -> documents.Status:
        """Return the status of an experiment."""
        return _checked(self._get(_experiment(ref)))

    def specification(self, ref: str, revision: int | None = None) -> documents.Specification:
        """Return its specification, current or at a revision."""
        return cast("documents.Specification", self._get(f"{_experiment(ref)}/specification", revision=revision))

    def change_code(self, ref: str, bundle: str, launch: Mapping[str, Any]) -> documents.Status:
        """Continue the experiment with other code; `launch` describes its origin."""
        return _checked(self._send("PUT", f"{_experiment(ref)}/code", {"bundle": bundle, "launch": dict(launch)}))

    def change(self, ref: str, **changes: Any) -> documents.Status:
        """Change budget, parallelism or priority."""
        return _checked(self._send("PATCH", _experiment(ref), changes))

    def pause(self, ref: str, *, now: bool = False) -> documents.Status:
        """Start no more trials; with `now`, cancel and requeue the running ones."""
        return _checked(self._send("POST", f"{_experiment(ref)}/pause", {"now": now}))

    def resume(self, ref: str, environment: Mapping[str, str] | None = None) -> documents.Status:
        """Resume a paused experiment, or one that is over, whose trials then inherit `environment`."""
        body = {"environment": dict(environment)} if environment else {}
        return _checked(self._send("POST", f"{_experiment(ref)}/resume", body))

    def stop(self, ref: str) -> documents.Status:
        """Stop it; results of finished trials remain."""
        return _checked(self._send("POST", f"{_experiment(ref)}/stop", {}))

    def delete(self, ref: str, *, purge: bool = False) -> None:
        """Stop and hide it; with `purge`, delete its records and files."""
        self.transport.request("DELETE", _V1 + _experiment(ref) + ("?purge=true" if purge else ""))

    def best(self, ref: str) -> list[documents.Best]:
        """Return the best trial, or the Pareto front."""
        return _with_numbers(self._get(f"{_experiment(ref)}/best"))

    def importance(self, ref: str, metric: str | None = None) -> documents.Importance:
        """Return the importance of each parameter for a metric, by default the first one."""
        return cast("documents.Importance", self._get(f"{_experiment(ref)}/importance", metric=metric))

    def columns(self, ref: str, limit: int = 4000, metric: str | None = None) -> documents.Columns:
        """Return trials by columns; if there are more than `limit`, the best ones and every k-th of the others.

        The incumbents are those of `metric`, by default the first one.
        """
        return cast("documents.Columns", self._get(f"{_experiment(ref)}/columns", limit=limit, metric=metric))

    def contour(self, ref: str, x: str, y: str, metric: str | None = None) -> documents.Contour:
        """Return a metric as a function of two parameters."""
        return cast("documents.Contour", self._get(f"{_experiment(ref)}/contour", x=x, y=y, metric=metric))

    def hypervolume(self, ref: str) -> documents.Hypervolume:
        """Return the hypervolume of several objectives after each trial that increased it."""
        return cast("documents.Hypervolume", self._get(f"{_experiment(ref)}/hypervolume"))

    def overview(self, ref: str) -> documents.Overview:
        """Return the reasons of failed trials, and the number of running attempts over time."""
        return cast("documents.Overview", self._get(f"{_experiment(ref)}/overview"))

    def timeline(self, ref: str, limit: int = 2000) -> documents.Timeline:
        """Return start, end and location of the newest attempts."""
        return cast("documents.Timeline", self._get(f"{_experiment(ref)}/timeline", limit=limit))

    def curves(self, ref: str, metric: str | None = None, limit: int = 100) -> documents.Curves:
        """Return intermediate values of the newest trials and the best one, by default of the first metric."""
        return cast("documents.Curves", self._get(f"{_experiment(ref)}/curves", metric=metric, limit=limit))

    def explain(self, ref: str, metric: str | None = None) -> documents.Explanation:
        """Return the importance of parameters, and facts about the search in plain words."""
        return cast("documents.Explanation", self._get(f"{_experiment(ref)}/explain", metric=metric))

    def trials(
        self, ref: str, *, state: str | None = None, tails: bool = False, sort: str | None = None
    ) -> Iterator[documents.Trial]:
        """Yield all trials, and fetch pages as needed. `tails`: with the log tail of each attempt.

        They come by number, or in the order of a column such as `metrics.loss` or `-number` (without tails).
        """
        if sort is not None:
            yield from self._ordered_trials(ref, state, sort)
            return
        after: int | None = 0
        while after is not None:
            page = self._get(
                f"{_experiment(ref)}/trials",
                after=after,
                limit=_PAGE_SIZE,
                state=state,
                tails="true" if tails else None,
            )
            yield from page["items"]
            after = page.get("next") if page["items"] else None

    def _ordered_trials(self, ref: str, state: str | None, sort: str) -> Iterator[documents.Trial]:
        offset, total = 0, 1
        while offset < total:
            page = self._get(f"{_experiment(ref)}/trials", sort=sort, state=state, offset=offset, limit=_PAGE_SIZE)
            yield from page["items"]
            offset, total = offset + _PAGE_SIZE, page["total"]

    def trials_of(self, ref: str, numbers: Sequence[int]) -> Iterator[documents.Trial]:
        """Yield these trials, by number. Trials within the range of one page are fetched in one request."""
        remaining = sorted(numbers)
        while remaining:
            page_numbers = [number for number in remaining if number < remaining[0] + _PAGE_SIZE]
            last = page_numbers[-1]
            page = self._get(f"{_experiment(ref)}/trials", after=page_numbers[0] - 1, limit=last - page_numbers[0] + 1)
            yield from (trial for trial in page["items"] if trial["number"] in page_numbers)
            # a page of large trials ends early, at `next`
            end = min(page.get("next") or last, last)
            remaining = [number for number in remaining if number > end]

    def trial(self, ref: str, number: int) -> documents.Trial:
        """Return a trial with the log tails of its attempts and its artifacts."""
        return cast("documents.Trial", self._get(f"{_experiment(ref)}/trials/{number}"))

    def points(self, ref: str, number: int) -> documents.Points:
        """Return the values that a trial reported."""
        return cast("documents.Points", self._get(f"{_experiment(ref)}/trials/{number}/points"))

    def rerun(self, ref: str, number: int, body: Mapping[str, Any]) -> documents.Status:
        """Run the trial again as a new experiment with budget 1."""
        return _checked(self._send("POST", f"{_experiment(ref)}/trials/{number}/rerun", body))

    def stop_trial(self, ref: str, number: int) -> documents.Trial:
        """Cancel one trial; another one replaces it in the budget."""
        return cast("documents.Trial", self._send("POST", f"{_experiment(ref)}/trials/{number}/stop", {}))

    def terminal(self, ref: str, attempt: str, **body: Any) -> documents.TerminalAnswer:
        """Send one call of the user's end of a trial's terminal."""
        return cast(
            "documents.TerminalAnswer", self._send("PUT", f"{_experiment(ref)}/terminal", {"attempt": attempt, **body})
        )

    def artifacts(self, ref: str, number: int) -> list[documents.Artifact]:
        """Return the files that the trial has saved."""
        return cast("list[documents.Artifact]", self._get(f"{_experiment(ref)}/trials/{number}/artifacts"))

    def download(self, ref: str, number: int, artifact: documents.Artifact, target: Path) -> None:
        """Download an artifact to `target`, atomically."""
        path = f"{_V1}{_experiment(ref)}/trials/{number}/artifacts/{quoted(artifact['path'])}"
        download(self.transport, path, target, artifact["digest"], artifact["size"])

    def events(
        self,
        ref: str,
        after: str = "",
        on_away: Callable[[TemporaryError], None] | None = None,
        kinds: Sequence[str] = (),
    ) -> Iterator[ServerSentEvent]:
        """Yield events, of some kinds or all, until the stream ends. Occupies this client."""
        return self._follow(f"{_experiment(ref)}/events", after, on_away, kind=kinds or None)

    def logs(self, ref: str, **query: Any) -> Iterator[documents.LogChunk]:
        """Yield the log so far. Filters: `trial`, `since` (RFC 3339) and `tail` (lines)."""
        after: int = 0
        while True:
            page = self._get(f"{_experiment(ref)}/logs", after=after or None, limit=500, **query)
            yield from page["items"]
            if not page["items"] or page["next"] == after:
                return
            after = page["next"]
            query.pop("tail", None)  # counts from the end, so it applies only to the first page

    def follow_logs(
        self, ref: str, on_away: Callable[[TemporaryError], None] | None = None, after: int = 0, **query: Any
    ) -> Iterator[documents.LogChunk]:
        """Yield the log after the cursor `after`, and follow it to the experiment's end. Occupies this client."""
        for event in self._follow(f"{_experiment(ref)}/logs", str(after or ""), on_away, **query):
            if event.kind == "log":
                yield cast("documents.LogChunk", event.json())

    def _follow(
        self, path: str, after: str, on_away: Callable[[TemporaryError], None] | None, **query: Any
    ) -> Iterator[ServerSentEvent]:
        self.transport.timeout = SILENCE
        return follow(self.transport, _V1 + path + _query(query), after, on_away or (lambda error: None))

    def _get(self, path: str, **query: Any) -> Any:
        return self.transport.request("GET", _V1 + path + _query(query)).json()

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        data = json.dumps(body).encode()
        return self.transport.request(method, _V1 + path, data, {"Content-Type": "application/json"}).json()


def _checked(status: Any) -> documents.Status:
    """Return the status.

    Raises OrchestuneError if its handle, its id or the number of a trial is malformed: they are used in shells, files
    and terminals, and the server need not be trusted.
    """
    if not is_handle(str(status["handle"])):
        raise _malformed("handle", status["handle"], "words of a-z and 0-9, joined by dashes")
    if not _IDENTITY.fullmatch(str(status["id"])):
        raise _malformed("experiment id", status["id"], "letters, digits and dashes")
    _with_numbers(status["best"])
    return cast("documents.Status", status)


def _with_numbers(best: Any) -> list[documents.Best]:
    """Return the best trials. Raises OrchestuneError if the number of one is not an integer."""
    for number in (entry["trial"] for entry in best):
        if type(number) is not int:
            raise _malformed("trial number", number, "an integer")
    return cast("list[documents.Best]", best)


def _malformed(kind: str, value: object, expected: str) -> OrchestuneError:
    return OrchestuneError(
        f"the server answered with the {kind} {str(value)[:80]!a} (expected {expected})",
        "it is broken or hostile: check its address",
    )


def _experiment(ref: str) -> str:
    return f"/experiments/{quote(ref, safe='', errors=_ENCODING_ERRORS)}"


def _query(values: Mapping[str, Any]) -> str:
    parameters = {name: value for name, value in values.items() if value is not None}
    return f"?{urlencode(parameters, doseq=True, errors=_ENCODING_ERRORS)}" if parameters else ""
