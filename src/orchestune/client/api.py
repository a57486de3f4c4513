"""The client routes of docs/reference/protocol.md as methods."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from orchestune.client.address import Resolve, resolver
from orchestune.client.stream import SILENCE, ServerSent, follow
from orchestune.client.transfer import download, fetch, fetch_bundle, has_bundle, quoted, upload_bundle
from orchestune.client.transport import Transport
from orchestune.domain.ids import is_handle
from orchestune.errors import NotFound, OrchestuneError, TemporaryError

if TYPE_CHECKING:
    from orchestune import documents

_V1 = "/api/v1"
_RECORD = 3600.0
"""seconds that a server may take to write, or to take in, the record of an experiment: minutes for a million trials"""
_PAGE = 500
"""trials that one request brings"""


_ODD = "surrogateescape"
"""how words of a command line that are no UTF-8 go into an address: as the bytes that they are"""


class Client:
    """One thread's view of the server. Methods raise the server's errors, and Unreachable when it stays away."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @classmethod
    def connect(
        cls,
        resolve: Resolve | None = None,
        *,
        patience: float = 10.0,
        on_wait: Callable[[TemporaryError], None] = lambda error: None,
    ) -> Client:
        """A client of the server that the environment names, or of the embedded one. Nothing is sent yet."""
        return cls(Transport(resolve or resolver(), patience=patience, on_wait=on_wait))

    def clone(self, *, patience: float | None = None) -> Client:
        """The same for another thread."""
        return Client(self.transport.clone(patience=patience))

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        self.transport.close()

    def server(self) -> documents.Server:
        """Which server this is."""
        return cast("documents.Server", self._get("/server"))

    def invite(self) -> documents.Invitation:
        """A link that lets one browser in as this caller."""
        return cast("documents.Invitation", self._send("POST", "/sign-in", {}))

    def audit(self, *, limit: int = 50, since: str | None = None) -> documents.AuditPage:
        """The newest security events, the oldest of them first; only for owners. `since`: RFC 3339."""
        return cast("documents.AuditPage", self._get("/audit", limit=limit, since=since))

    def follow_audit(
        self, after: int, on_away: Callable[[TemporaryError], None] | None = None
    ) -> Iterator[documents.AuditEvent]:
        """Those behind the cursor `after`, as they come. Takes this client for itself."""
        for event in self._follow("/audit", str(after or ""), on_away):
            yield cast("documents.AuditEvent", event.json())

    def cluster(self, name: str | None = None) -> documents.Cluster:
        """Its machines, and who uses them; of another of its clusters where one is named."""
        return cast("documents.Cluster", self._get("/cluster", name=name))

    def release(self, node: str, cluster: str | None = None) -> None:
        """Let a machine in quarantine get trials again."""
        self.transport.request("DELETE", f"{_V1}/cluster/quarantine/{quote(node, safe='')}{_query({'name': cluster})}")

    def upload_bundle(self, digest: str, archive: Path) -> bool:
        """Send the archive unless the server has it; whether it was sent."""
        return upload_bundle(self.transport, digest, archive)

    def fetch_bundle(self, digest: str, target: Path) -> None:
        """Write the archive to `target`."""
        fetch_bundle(self.transport, digest, target)

    def fetch_record(self, experiment: str, target: Path) -> None:
        """Write the whole record of an experiment that is over to `target`."""
        with closing(self.transport.clone(timeout=_RECORD)) as transport:
            fetch(transport, f"{_V1}{_experiment(experiment)}/archive", target)

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        """Write what has this digest to `target`."""
        download(self.transport, f"{_V1}/bundles/{digest}", target, digest, size)

    def has_blob(self, digest: str, size: int) -> bool:
        """Whether the server has it."""
        return has_bundle(self.transport, digest)

    def put_blob(self, digest: str, path: Path) -> None:
        """Send it, unless the server has it."""
        upload_bundle(self.transport, digest, path)

    def wrote_record(self, digest: str, signature: str) -> bool:
        """Return True if the server itself wrote the record with this digest; one that is older does not tell."""
        try:
            answer = self._send("POST", "/archive/signature", {"digest": digest, "signature": signature})
        except NotFound:
            return False
        return bool(answer["verified"])

    def put_record(self, path: Path, trust: str = "") -> documents.Imported:
        """Send the record of an experiment, whose blobs are there.

        `trust`: its digest, if another server wrote it and the user has confirmed its contents; else raises Unverified.
        """
        headers = {"Content-Type": "application/gzip", "Content-Length": str(path.stat().st_size)}
        with closing(self.transport.clone(timeout=_RECORD)) as transport:
            query = _query({"trust": trust or None})
            reply = transport.request("POST", f"{_V1}/archive{query}", lambda: path.open("rb"), headers)
        return cast("documents.Imported", reply.json())

    def create_experiment(self, body: Mapping[str, Any]) -> documents.Status:
        """Start an experiment."""
        return _with_handle(self._send("POST", "/experiments", body))

    def experiments(
        self, *, folder: str | None = None, limit: int | None = 50, hidden: bool = False, details: bool = False
    ) -> list[documents.Status]:
        """The newest experiments, those of `folder` alone where it is given; deleted ones too where `hidden`.

        With `details` each has its running trials and workers.
        """
        found: list[documents.Status] = []
        before: str | None = None
        asked = {"hidden": "true" if hidden else None, "details": "true" if details else None}
        while limit is None or len(found) < limit:
            most = 200 if limit is None else min(limit - len(found), 200)
            page = self._get("/experiments", folder=folder, limit=most, before=before, **asked)
            found += map(_with_handle, page["items"])
            before = page.get("next")
            if before is None or not page["items"]:
                break
        return found

    def experiment(self, ref: str) -> documents.Status:
        """One experiment."""
        return _with_handle(self._get(_experiment(ref)))

    def specification(self, ref: str, revision: int | None = None) -> documents.Specification:
        """What it was started with, as it is now or was at a revision."""
        return cast("documents.Specification", self._get(f"{_experiment(ref)}/specification", revision=revision))

    def change_code(self, ref: str, bundle: str, launch: Mapping[str, Any]) -> documents.Status:
        """Go on with other code; `launch` is where it comes from."""
        return _with_handle(self._send("PUT", f"{_experiment(ref)}/code", {"bundle": bundle, "launch": dict(launch)}))

    def change(self, ref: str, **changes: Any) -> documents.Status:
        """Another budget, parallelism or priority."""
        return _with_handle(self._send("PATCH", _experiment(ref), changes))

    def pause(self, ref: str, *, now: bool = False) -> documents.Status:
        """Start no more trials; with `now` the running ones are cancelled and offered again later."""
        return _with_handle(self._send("POST", f"{_experiment(ref)}/pause", {"now": now}))

    def resume(self, ref: str) -> documents.Status:
        """Go on."""
        return _with_handle(self._send("POST", f"{_experiment(ref)}/resume", {}))

    def stop(self, ref: str) -> documents.Status:
        """End it; what is finished stays."""
        return _with_handle(self._send("POST", f"{_experiment(ref)}/stop", {}))

    def delete(self, ref: str, *, purge: bool = False) -> None:
        """Stop and hide it; with `purge` its records and files are removed."""
        self.transport.request("DELETE", _V1 + _experiment(ref) + ("?purge=true" if purge else ""))

    def best(self, ref: str) -> list[documents.Best]:
        """The best trial, or the Pareto front."""
        return cast("list[documents.Best]", self._get(f"{_experiment(ref)}/best"))

    def importance(self, ref: str, metric: str | None = None) -> documents.Importance:
        """Which parameters matter for a metric, the first one where none is named."""
        return cast("documents.Importance", self._get(f"{_experiment(ref)}/importance", metric=metric))

    def columns(self, ref: str, limit: int = 4000, metric: str | None = None) -> documents.Columns:
        """Trials by columns; where there are more than `limit`, the best ones and every k-th of the others.

        What was best so far is of that metric, the first one where none is named.
        """
        return cast("documents.Columns", self._get(f"{_experiment(ref)}/columns", limit=limit, metric=metric))

    def contour(self, ref: str, x: str, y: str, metric: str | None = None) -> documents.Contour:
        """A metric over two parameters."""
        return cast("documents.Contour", self._get(f"{_experiment(ref)}/contour", x=x, y=y, metric=metric))

    def hypervolume(self, ref: str) -> documents.Hypervolume:
        """How much several metrics with a goal have gained together."""
        return cast("documents.Hypervolume", self._get(f"{_experiment(ref)}/hypervolume"))

    def timeline(self, ref: str, limit: int = 2000) -> documents.Timeline:
        """When and where the newest attempts ran."""
        return cast("documents.Timeline", self._get(f"{_experiment(ref)}/timeline", limit=limit))

    def curves(self, ref: str, metric: str | None = None, limit: int = 100) -> documents.Curves:
        """What the newest trials and the best one reported while they ran, of the first metric where none is named."""
        return cast("documents.Curves", self._get(f"{_experiment(ref)}/curves", metric=metric, limit=limit))

    def explain(self, ref: str, metric: str | None = None) -> documents.Explanation:
        """The same, and facts about the search in plain words."""
        return cast("documents.Explanation", self._get(f"{_experiment(ref)}/explain", metric=metric))

    def trials(self, ref: str, *, state: str | None = None, tails: bool = False) -> Iterator[documents.Trial]:
        """Every trial by number; pages are fetched as they are needed. `tails`: with the last lines of each attempt."""
        after: int | None = 0
        while after is not None:
            page = self._get(
                f"{_experiment(ref)}/trials", after=after, limit=_PAGE, state=state, tails="true" if tails else None
            )
            yield from page["items"]
            after = page.get("next") if page["items"] else None

    def trials_of(self, ref: str, numbers: Sequence[int]) -> Iterator[documents.Trial]:
        """These trials, by number. Those that one page has room for, with what lies between them, come together."""
        wanted = sorted(numbers)
        while wanted:
            near = [number for number in wanted if number < wanted[0] + _PAGE]
            page = self._get(f"{_experiment(ref)}/trials", after=near[0] - 1, limit=near[-1] - near[0] + 1)
            yield from (trial for trial in page["items"] if trial["number"] in near)
            wanted = wanted[len(near) :]

    def trial(self, ref: str, number: int) -> documents.Trial:
        """One trial with the last lines of its attempts and its artifacts."""
        return cast("documents.Trial", self._get(f"{_experiment(ref)}/trials/{number}"))

    def rerun(self, ref: str, number: int, body: Mapping[str, Any]) -> documents.Status:
        """The trial again, as a new experiment of budget 1."""
        return _with_handle(self._send("POST", f"{_experiment(ref)}/trials/{number}/rerun", body))

    def stop_trial(self, ref: str, number: int) -> documents.Trial:
        """Cancel one trial; another one takes its place in the budget."""
        return cast("documents.Trial", self._send("POST", f"{_experiment(ref)}/trials/{number}/stop", {}))

    def terminal(self, ref: str, attempt: str, **body: Any) -> documents.TerminalAnswer:
        """One call of the user's end of a trial's terminal."""
        return cast(
            "documents.TerminalAnswer", self._send("PUT", f"{_experiment(ref)}/terminal", {"attempt": attempt, **body})
        )

    def artifacts(self, ref: str, number: int) -> list[documents.Artifact]:
        """The files that the trial left."""
        return cast("list[documents.Artifact]", self._get(f"{_experiment(ref)}/trials/{number}/artifacts"))

    def download(self, ref: str, number: int, artifact: documents.Artifact, target: Path) -> None:
        """One of them, to `target`; whole or not at all."""
        path = f"{_V1}{_experiment(ref)}/trials/{number}/artifacts/{quoted(artifact['path'])}"
        download(self.transport, path, target, artifact["digest"], artifact["size"])

    def events(
        self,
        ref: str,
        after: str = "",
        on_away: Callable[[TemporaryError], None] | None = None,
        kinds: Sequence[str] = (),
    ) -> Iterator[ServerSent]:
        """The stream of events, of some kinds or all, to its end. Takes this client for itself."""
        return self._follow(f"{_experiment(ref)}/events", after, on_away, kind=kinds or None)

    def logs(self, ref: str, **query: Any) -> Iterator[documents.LogChunk]:
        """What is logged until now. `trial`, `since` (RFC 3339) and `tail` (lines) choose."""
        after: int = 0
        while True:
            page = self._get(f"{_experiment(ref)}/logs", after=after or None, limit=500, **query)
            yield from page["items"]
            if not page["items"] or page["next"] == after:
                return
            after = page["next"]
            query.pop("tail", None)  # it counts from the end, and was answered with the first page

    def follow_logs(
        self, ref: str, on_away: Callable[[TemporaryError], None] | None = None, after: int = 0, **query: Any
    ) -> Iterator[documents.LogChunk]:
        """The same after the cursor `after`, and what comes, to the experiment's end. Takes this client for itself."""
        for event in self._follow(f"{_experiment(ref)}/logs", str(after or ""), on_away, **query):
            if event.kind == "log":
                yield cast("documents.LogChunk", event.json())

    def _follow(
        self, path: str, after: str, on_away: Callable[[TemporaryError], None] | None, **query: Any
    ) -> Iterator[ServerSent]:
        self.transport.timeout = SILENCE
        return follow(self.transport, _V1 + path + _query(query), after, on_away or (lambda error: None))

    def _get(self, path: str, **query: Any) -> Any:
        return self.transport.request("GET", _V1 + path + _query(query)).json()

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        data = json.dumps(body).encode()
        return self.transport.request(method, _V1 + path, data, {"Content-Type": "application/json"}).json()


def _with_handle(status: Any) -> documents.Status:
    """Return the status. OrchestuneError if its handle is not made like one: it goes into shells, files and terminals,
    and the server need not be trusted.
    """
    handle = str(status["handle"])
    if not is_handle(handle):
        raise OrchestuneError(
            f"the server answered with the handle {handle[:80]!a} (expected words of a-z and 0-9, joined by dashes)",
            "it is broken or hostile: check its address",
        )
    return cast("documents.Status", status)


def _experiment(ref: str) -> str:
    return f"/experiments/{quote(ref, safe='', errors=_ODD)}"


def _query(values: Mapping[str, Any]) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return f"?{urlencode(given, doseq=True, errors=_ODD)}" if given else ""
