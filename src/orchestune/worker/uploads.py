"""Files on their way to the server: kept in an outbox on disk until they arrived, whatever happens between."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestune.worker.api import ApiError, Backoff, Connection, Denied, Gone, Server, Unreachable
from orchestune.worker.bundle import digest_of
from orchestune.worker.journal import say
from orchestune.worker.removal import remove

PART = 4 * 2**20
TOGETHER = 100
"""files that one call commits: the server holds the lock of an experiment for all of them, and has to answer in time"""
MANIFEST = "manifest.json"


class Outbox:
    """One folder per parcel: the files, and a manifest that makes it complete. Without one it is thrown away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, name: str) -> Path:
        """An empty folder for a parcel. OSError where the disk refuses."""
        folder = self.folder / name
        remove(folder)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    @contextmanager
    def kept_if_sealed(self, name: str) -> Iterator[Path]:
        """Where a parcel is made, with `new` and `seal`; without `seal` nothing of it stays."""
        folder = self.folder / name
        try:
            yield folder
        finally:
            if not (folder / MANIFEST).is_file():
                remove(folder)

    def seal(self, folder: Path, manifest: dict[str, Any]) -> None:
        """The parcel is complete: `{"route", "body", "files": [{"name", "path"}], "moment"?}`.

        With a `moment` of this machine's `time.monotonic()` the server is told how long ago that was.
        """
        part = folder / "manifest.part"
        part.write_text(json.dumps(manifest), encoding="utf-8")
        os.replace(str(part), str(folder / MANIFEST))

    def left_behind(self) -> list[Path]:
        """Sealed parcels of an earlier worker of this id; others are removed."""
        found = []
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if (folder / MANIFEST).is_file():
                found.append(folder)
            else:
                remove(folder)
        return found


def deliver(server: Server, folder: Path, wanted: Callable[[], bool]) -> Any:
    """Upload a parcel's files, commit them, remove it; the answer of the committing route.

    Goes on while the server is away, as long as `wanted`. Raises Unreachable then, and ApiError where the server does
    not want it, in which case the parcel is gone. That artifacts are not wanted is told to the server instead, which
    waits for them.
    """
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    connection, backoff = Connection(server, 60.0), Backoff()
    try:
        while True:
            try:
                answer = _deliver_once(connection, server, folder, manifest)
                remove(folder)
                return answer
            except Unreachable:
                if not wanted():
                    raise
                time.sleep(backoff.next())
            except (Gone, Denied):
                raise
            except ApiError as exc:
                say(f"the server refused files of attempt {manifest['body'].get('attempt')}: {exc}")
                if manifest["route"] != "artifacts" or "refused" in manifest["body"]:
                    remove(folder)
                    raise
                manifest["body"]["refused"] = str(exc)
    finally:
        connection.close()


def _deliver_once(connection: Connection, server: Server, folder: Path, manifest: dict[str, Any]) -> Any:
    """Some files after the other; those that were committed are no longer in `manifest`."""
    files, answer = manifest["files"], None
    if "refused" in manifest["body"]:
        return connection.call("POST", server.path(manifest["route"]), {**manifest["body"], "files": []})
    while files:
        some = [_sent(connection, server, folder, item) for item in files[:TOGETHER]]
        body = dict(manifest["body"])
        if manifest["route"] == "artifacts":
            body["files"] = some
            if len(files) > TOGETHER:
                body["more"] = True
        else:
            body["digest"], body["size"] = some[0]["digest"], some[0]["size"]
            if "moment" in manifest:
                body["age"] = round(max(time.monotonic() - manifest["moment"], 0.0), 3)
        answer = connection.call("POST", server.path(manifest["route"]), body)
        del files[:TOGETHER]
    return answer


def _sent(connection: Connection, server: Server, folder: Path, item: dict[str, Any]) -> dict[str, Any]:
    """Send a file; how it is committed."""
    path = folder / item["name"]
    if "digest" not in item:
        item["digest"], item["size"] = digest_of(path), path.stat().st_size
    send_file(connection, server, path, item["digest"], item["size"])
    return {"path": item["path"], "digest": item["digest"], "size": item["size"]}


def send_file(connection: Connection, server: Server, path: Path, digest: str, size: int) -> None:
    """Bring the bytes of one file to the server, from where an earlier try ended."""
    route = server.path(f"uploads/{digest}")
    connection.send("HEAD", route, None, 60.0)
    headers, _ = connection.receive()
    if headers.get("X-Complete") == "1":
        return
    offset = int(headers.get("X-Size") or 0)
    with open(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            data = file.read(PART)
            connection.send("PUT", f"{route}?offset={offset}", data, 60.0, "application/octet-stream")
            _, answer = connection.receive()
            there = _size(answer)
            if not offset < there <= size:
                raise Unreachable("the server does not take the next part of an upload")
            offset = there


def _size(answer: bytes) -> int:
    """How much of a file is there. Unreachable where the answer is another one's, such as a gateway's."""
    try:
        return int(json.loads(answer)["size"])
    except (ValueError, KeyError, TypeError) as exc:
        raise Unreachable(f"the answer to an upload is none of ours: {exc}") from exc
