"""Uploads files to the server; an outbox on disk keeps them across restarts until they have arrived."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestune.worker.connection.api import (
    ApiError,
    Backoff,
    Denied,
    ServerConnection,
    ServerEndpoint,
    Unreachable,
    WorkerGone,
)
from orchestune.worker.files.bundle import digest_of
from orchestune.worker.files.removal import remove
from orchestune.worker.journal import say

PART_BYTES = 4 * 2**20
FILES_PER_COMMIT = 100
"""files committed per call: the server holds the experiment's lock for all of them and must respond in time"""
MANIFEST = "manifest.json"


class Outbox:
    """Folder with one subfolder per parcel: files and a manifest. A parcel without a manifest is discarded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, name: str) -> Path:
        """Create an empty folder for a parcel. Raises OSError if that fails."""
        folder = self.folder / name
        remove(folder)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    @contextmanager
    def kept_if_sealed(self, name: str) -> Iterator[Path]:
        """Context in which a parcel is built with `new` and `seal`; it is removed unless it was sealed."""
        folder = self.folder / name
        try:
            yield folder
        finally:
            if not (folder / MANIFEST).is_file():
                remove(folder)

    def seal(self, folder: Path, manifest: dict[str, Any]) -> None:
        """Complete a parcel with its manifest: `{"route", "body", "files": [{"name", "path"}], "moment"?}`.

        If `moment` is given, a value of this machine's `time.monotonic()`, its age is sent to the server.
        """
        part = folder / "manifest.part"
        part.write_text(json.dumps(manifest), encoding="utf-8")
        os.replace(str(part), str(folder / MANIFEST))

    def sealed_parcels(self) -> list[Path]:
        """Return sealed parcels of an earlier worker with this id, and remove incomplete ones."""
        parcels = []
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if (folder / MANIFEST).is_file():
                parcels.append(folder)
            else:
                remove(folder)
        return parcels


def deliver(server: ServerEndpoint, folder: Path, is_wanted: Callable[[], bool]) -> Any:
    """Upload and commit a parcel's files, then remove it. Return the response of the commit.

    Retries while the server is unreachable and `is_wanted` returns True, then raises Unreachable. Raises ApiError if
    the server rejects the parcel, which is then removed. Rejected artifacts are reported to the server instead, since
    it waits for them.
    """
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    connection, backoff = ServerConnection(server, 60.0), Backoff()
    try:
        while True:
            try:
                response = _deliver_once(connection, server, folder, manifest)
                remove(folder)
                return response
            except Unreachable:
                if not is_wanted():
                    raise
                time.sleep(backoff.next())
            except (WorkerGone, Denied):
                raise
            except ApiError as exc:
                say(f"the server rejected files of attempt {manifest['body'].get('attempt')}: {exc}")
                if manifest["route"] != "artifacts" or "refused" in manifest["body"]:
                    remove(folder)
                    raise
                manifest["body"]["refused"] = str(exc)
    finally:
        connection.close()


def _deliver_once(connection: ServerConnection, server: ServerEndpoint, folder: Path, manifest: dict[str, Any]) -> Any:
    """Upload and commit the files in batches; committed ones are removed from `manifest`."""
    files, response = manifest["files"], None
    if "refused" in manifest["body"]:
        return connection.call("POST", server.path(manifest["route"]), {**manifest["body"], "files": []})
    while files:
        batch = [_upload(connection, server, folder, entry) for entry in files[:FILES_PER_COMMIT]]
        body = dict(manifest["body"])
        if manifest["route"] == "artifacts":
            body["files"] = batch
            if len(files) > FILES_PER_COMMIT:
                body["more"] = True
        else:
            body["digest"], body["size"] = batch[0]["digest"], batch[0]["size"]
            if "moment" in manifest:
                body["age"] = round(max(time.monotonic() - manifest["moment"], 0.0), 3)
        response = connection.call("POST", server.path(manifest["route"]), body)
        del files[:FILES_PER_COMMIT]
    return response


def _upload(
    connection: ServerConnection, server: ServerEndpoint, folder: Path, entry: dict[str, Any]
) -> dict[str, Any]:
    """Upload a file and return its entry for the commit."""
    path = folder / entry["name"]
    if "digest" not in entry:
        entry["digest"], entry["size"] = digest_of(path), path.stat().st_size
    send_file(connection, server, path, entry["digest"], entry["size"])
    return {"path": entry["path"], "digest": entry["digest"], "size": entry["size"]}


def send_file(connection: ServerConnection, server: ServerEndpoint, path: Path, digest: str, size: int) -> None:
    """Upload a file, resuming at the offset that an earlier attempt reached."""
    route = server.path(f"uploads/{digest}")
    connection.send("HEAD", route, None, 60.0)
    headers, _ = connection.receive()
    if headers.get("X-Complete") == "1":
        return
    offset = int(headers.get("X-Size") or 0)
    with open(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            data = file.read(PART_BYTES)
            connection.send("PUT", f"{route}?offset={offset}", data, 60.0, "application/octet-stream")
            _, answer = connection.receive()
            received = _size(answer)
            if not offset < received <= size:
                raise Unreachable(f"the server has {received:,} bytes of an upload (expected {offset:,} to {size:,})")
            offset = received


def _size(answer: bytes) -> int:
    """Return the number of bytes that the server has. Raises Unreachable if a gateway or the like responded."""
    try:
        return int(json.loads(answer)["size"])
    except (ValueError, KeyError, TypeError) as exc:
        raise Unreachable(f"the response to an upload is not from an Orchestune server: {exc}") from exc
