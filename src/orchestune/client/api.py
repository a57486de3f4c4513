"""The client routes of docs/reference/protocol.md as methods."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from orchestune.client.address import Resolve, resolver
from orchestune.client.documents import (
    ArtifactDocument,
    BestDocument,
    ClusterDocument,
    ColumnsDocument,
    ContourDocument,
    CurvesDocument,
    ExplanationDocument,
    HypervolumeDocument,
    ImportanceDocument,
    ImportedDocument,
    InvitationDocument,
    LogChunk,
    ServerDocument,
    SpecificationDocument,
    Status,
    TerminalDocument,
    TimelineDocument,
    TrialDocument,
)
from orchestune.client.stream import SILENCE, ServerSent, follow
from orchestune.client.transfer import download, fetch, fetch_bundle, has_bundle, quoted, upload_bundle
from orchestune.client.transport import Transport
from orchestune.errors import Unreachable

_V1 = "/api/v1"


class Client:
    """One thread's view of the server. Methods raise the server's errors, and Unreachable when it stays away."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @classmethod
    def connect(cls, resolve: Resolve | None = None, *, patience: float = 10.0) -> Client:
        """A client of the server that the environment names, or of the embedded one. Nothing is sent yet."""
        return cls(Transport(resolve or resolver(), patience=patience))

    def clone(self, *, patience: float | None = None) -> Client:
        """The same for another thread."""
        return Client(self.transport.clone(patience=patience))

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        self.transport.close()

    def server(self) -> ServerDocument:
        """Which server this is."""
        return cast(ServerDocument, self._get("/server"))

    def invite(self) -> InvitationDocument:
        """A link that lets one browser in as this caller."""
        return cast(InvitationDocument, self._send("POST", "/sign-in", {}))

    def cluster(self, name: str | None = None) -> ClusterDocument:
        """Its machines, and who uses them; of another of its clusters where one is named."""
        return cast(ClusterDocument, self._get("/cluster", name=name))

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
        fetch(self.transport, f"{_V1}{_experiment(experiment)}/archive", target)

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        """Write what has this digest to `target`."""
        download(self.transport, f"{_V1}/bundles/{digest}", target, digest, size)

    def has_blob(self, digest: str, size: int) -> bool:
        """Whether the server has it."""
        return has_bundle(self.transport, digest)

    def put_blob(self, digest: str, path: Path) -> None:
        """Send it, unless the server has it."""
        upload_bundle(self.transport, digest, path)

    def put_record(self, path: Path) -> ImportedDocument:
        """Send the record of an experiment, whose blobs are there."""
        headers = {"Content-Type": "application/gzip", "Content-Length": str(path.stat().st_size)}
        reply = self.transport.request("POST", f"{_V1}/archive", lambda: path.open("rb"), headers)
        return cast(ImportedDocument, reply.json())

    def create_experiment(self, body: Mapping[str, Any]) -> Status:
        """Start an experiment."""
        return cast(Status, self._send("POST", "/experiments", body))

    def experiments(
        self, *, folder: str | None = None, limit: int | None = 50, hidden: bool = False, details: bool = False
    ) -> list[Status]:
        """The newest experiments, those of `folder` alone where it is given; deleted ones too where `hidden`.

        With `details` each has its running trials and workers.
        """
        found: list[Status] = []
        before: str | None = None
        asked = {"hidden": "true" if hidden else None, "details": "true" if details else None}
        while limit is None or len(found) < limit:
            most = 200 if limit is None else min(limit - len(found), 200)
            page = self._get("/experiments", folder=folder, limit=most, before=before, **asked)
            found += page["items"]
            before = page.get("next")
            if before is None or not page["items"]:
                break
        return found

    def experiment(self, ref: str) -> Status:
        """One experiment."""
        return cast(Status, self._get(_experiment(ref)))

    def specification(self, ref: str, revision: int | None = None) -> SpecificationDocument:
        """What it was started with, as it is now or was at a revision."""
        return cast(SpecificationDocument, self._get(f"{_experiment(ref)}/specification", revision=revision))

    def change_code(self, ref: str, bundle: str, launch: Mapping[str, Any]) -> Status:
        """Go on with other code; `launch` is where it comes from."""
        return cast(Status, self._send("PUT", f"{_experiment(ref)}/code", {"bundle": bundle, "launch": dict(launch)}))

    def change(self, ref: str, **changes: Any) -> Status:
        """Another budget, parallelism or priority."""
        return cast(Status, self._send("PATCH", _experiment(ref), changes))

    def pause(self, ref: str, *, now: bool = False) -> Status:
        """Start no more trials; with `now` the running ones are cancelled and offered again later."""
        return cast(Status, self._send("POST", f"{_experiment(ref)}/pause", {"now": now}))

    def resume(self, ref: str) -> Status:
        """Go on."""
        return cast(Status, self._send("POST", f"{_experiment(ref)}/resume", {}))

    def stop(self, ref: str) -> Status:
        """End it; what is finished stays."""
        return cast(Status, self._send("POST", f"{_experiment(ref)}/stop", {}))

    def delete(self, ref: str, *, purge: bool = False) -> None:
        """Stop and hide it; with `purge` its records and files are removed."""
        self.transport.request("DELETE", _V1 + _experiment(ref) + ("?purge=true" if purge else ""))

    def best(self, ref: str) -> list[BestDocument]:
        """The best trial, or the Pareto front."""
        return cast("list[BestDocument]", self._get(f"{_experiment(ref)}/best"))

    def importance(self, ref: str, metric: str | None = None) -> ImportanceDocument:
        """Which parameters matter for a metric, the first one where none is named."""
        return cast(ImportanceDocument, self._get(f"{_experiment(ref)}/importance", metric=metric))

    def columns(self, ref: str, limit: int = 4000) -> ColumnsDocument:
        """Trials by columns; where there are more than `limit`, the best ones and every k-th of the others."""
        return cast(ColumnsDocument, self._get(f"{_experiment(ref)}/columns", limit=limit))

    def contour(self, ref: str, x: str, y: str, metric: str | None = None) -> ContourDocument:
        """A metric over two parameters."""
        return cast(ContourDocument, self._get(f"{_experiment(ref)}/contour", x=x, y=y, metric=metric))

    def hypervolume(self, ref: str) -> HypervolumeDocument:
        """How much several metrics with a goal have gained together."""
        return cast(HypervolumeDocument, self._get(f"{_experiment(ref)}/hypervolume"))

    def timeline(self, ref: str, limit: int = 2000) -> TimelineDocument:
        """When and where the newest attempts ran."""
        return cast(TimelineDocument, self._get(f"{_experiment(ref)}/timeline", limit=limit))

    def curves(self, ref: str, metric: str | None = None, limit: int = 100) -> CurvesDocument:
        """What the newest trials and the best one reported while they ran, of the first metric where none is named."""
        return cast(CurvesDocument, self._get(f"{_experiment(ref)}/curves", metric=metric, limit=limit))

    def explain(self, ref: str, metric: str | None = None) -> ExplanationDocument:
        """The same, and facts about the search in plain words."""
        return cast(ExplanationDocument, self._get(f"{_experiment(ref)}/explain", metric=metric))

    def trials(self, ref: str, *, state: str | None = None) -> Iterator[TrialDocument]:
        """Every trial by number; pages are fetched as they are needed."""
        after: int | None = 0
        while after is not None:
            page = self._get(f"{_experiment(ref)}/trials", after=after, limit=500, state=state)
            yield from page["items"]
            after = page.get("next") if page["items"] else None

    def trial(self, ref: str, number: int) -> TrialDocument:
        """One trial with the last lines of its attempts and its artifacts."""
        return cast(TrialDocument, self._get(f"{_experiment(ref)}/trials/{number}"))

    def rerun(self, ref: str, number: int, body: Mapping[str, Any]) -> Status:
        """The trial again, as a new experiment of budget 1."""
        return cast(Status, self._send("POST", f"{_experiment(ref)}/trials/{number}/rerun", body))

    def stop_trial(self, ref: str, number: int) -> TrialDocument:
        """Cancel one trial; another one takes its place in the budget."""
        return cast(TrialDocument, self._send("POST", f"{_experiment(ref)}/trials/{number}/stop", {}))

    def terminal(self, ref: str, attempt: str, **body: Any) -> TerminalDocument:
        """One call of the user's end of a trial's terminal."""
        return cast(TerminalDocument, self._send("PUT", f"{_experiment(ref)}/terminal", {"attempt": attempt, **body}))

    def artifacts(self, ref: str, number: int) -> list[ArtifactDocument]:
        """The files that the trial left."""
        return cast("list[ArtifactDocument]", self._get(f"{_experiment(ref)}/trials/{number}/artifacts"))

    def download(self, ref: str, number: int, artifact: ArtifactDocument, target: Path) -> None:
        """One of them, to `target`; whole or not at all."""
        path = f"{_V1}{_experiment(ref)}/trials/{number}/artifacts/{quoted(artifact['path'])}"
        download(self.transport, path, target, artifact["digest"], artifact["size"])

    def events(
        self,
        ref: str,
        after: str = "",
        on_away: Callable[[Unreachable], None] | None = None,
        kinds: Sequence[str] = (),
    ) -> Iterator[ServerSent]:
        """The stream of events, of some kinds or all, to its end. Takes this client for itself."""
        return self._follow(f"{_experiment(ref)}/events", after, on_away, kind=kinds or None)

    def logs(self, ref: str, **query: Any) -> Iterator[LogChunk]:
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
        self, ref: str, on_away: Callable[[Unreachable], None] | None = None, after: int = 0, **query: Any
    ) -> Iterator[LogChunk]:
        """The same after the cursor `after`, and what comes, to the experiment's end. Takes this client for itself."""
        for event in self._follow(f"{_experiment(ref)}/logs", str(after or ""), on_away, **query):
            if event.kind == "log":
                yield cast(LogChunk, event.json())

    def _follow(
        self, path: str, after: str, on_away: Callable[[Unreachable], None] | None, **query: Any
    ) -> Iterator[ServerSent]:
        self.transport.timeout = SILENCE
        return follow(self.transport, _V1 + path + _query(query), after, on_away or (lambda error: None))

    def _get(self, path: str, **query: Any) -> Any:
        return self.transport.request("GET", _V1 + path + _query(query)).json()

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        data = json.dumps(body).encode()
        return self.transport.request(method, _V1 + path, data, {"Content-Type": "application/json"}).json()


def _experiment(ref: str) -> str:
    return f"/experiments/{quote(ref, safe='')}"


def _query(values: Mapping[str, Any]) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return f"?{urlencode(given, doseq=True)}" if given else ""
