"""A cache of one kind of cluster object, kept up to date by one list and one watch for all its readers."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.kubeapi.client import ApiServer, Document
from orchestune.kubeapi.errors import PermissionMissing, WatchExpired
from orchestune.kubeapi.watch_stream import WatchStream

log = logging.getLogger(__name__)

T = TypeVar("T")
_MIN_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.2, 5.0
"""of the pause between two requests"""
_HEALTHY_WATCH_SECONDS = 1.0
"""minimum duration of a healthy watch; repeated shorter ones make the backoff grow"""
_FORBIDDEN_RETRY_SECONDS = 60.0
"""pause after a forbidden request"""


class WatchCache(Generic[T]):
    """The cached objects of one kind: `(namespace, name)` → result of `reduce` (None: not of interest).

    A thread lists, watches from that version, and lists again if the API server has expired it. While the API server is
    unreachable, the last state is kept.
    """

    def __init__(
        self,
        api: ApiServer,
        path: str,
        query: Mapping[str, object],
        reduce: Callable[[Document], T | None],
        forgotten: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._api, self._path, self._query, self._reduce = api, path, dict(query), reduce
        self._forgotten = forgotten
        """called with the last state of a deleted object"""
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], T] = {}
        self._put: dict[tuple[str, str], float] = {}
        self._complete = threading.Event()
        self._answered = threading.Event()
        self._ending = threading.Event()
        self._watching: WatchStream | None = None
        self._since = ""
        """resource version up to which changes are applied; empty: list first"""
        self.trouble: OrchestuneError | None = None
        """why the last request failed; None while it works"""
        self.permitted = True
        self._thread = threading.Thread(target=self._run, name=f"watch {path.rpartition('/')[2]}", daemon=True)

    def start(self) -> None:
        """Start the thread. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop and abort its watch."""
        self._ending.set()
        watching = self._watching
        if watching is not None:
            watching.hang_up()

    def join(self, timeout: float) -> None:
        """Wait until the thread has exited."""
        self._thread.join(timeout)

    def wait_listed(self, timeout: float) -> bool:
        """Return True if the objects have been listed; waits up to `timeout` seconds for it."""
        return self._complete.wait(timeout)

    def wait_answered(self, timeout: float) -> bool:
        """Return True if the objects have been listed or may not be; waits up to `timeout` seconds for it."""
        return self._answered.wait(timeout) and (self._complete.is_set() or not self.permitted)

    def all(self) -> list[T]:
        """Return all objects as last observed."""
        with self._lock:
            return list(self._objects.values())

    def get(self, namespace: str, name: str) -> T | None:
        """Return one object, or None if absent."""
        with self._lock:
            return self._objects.get((namespace, name))

    def put(self, document: Document) -> None:
        """Add an object that we have just created, before the watch reports it."""
        key = _key(document)
        value = self._reduce(document)
        with self._lock:
            if value is not None and key not in self._objects:
                self._objects[key] = value
                self._put[key] = time.monotonic()

    def _run(self) -> None:
        pause = _MIN_BACKOFF_SECONDS
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                if not self._since:
                    self._since = self._list()
                self._succeed()
                self._follow()
            except WatchExpired:
                self._since = ""
            except PermissionMissing as exc:
                self._fail(exc, permitted=False)
                self._since = ""
                self._ending.wait(_FORBIDDEN_RETRY_SECONDS)
                continue
            except OrchestuneError as exc:
                self._fail(exc, permitted=True)
                if not isinstance(exc, TemporaryError):
                    self._since = ""
            except Exception as exc:  # whatever the API server sends, a retry may succeed
                log.exception("watching %s failed", self._path)
                self._fail(TemporaryError(f"watching failed: {exc}"), permitted=True)
                self._since = ""
            if time.monotonic() - began >= _HEALTHY_WATCH_SECONDS:
                pause = _MIN_BACKOFF_SECONDS
            self._ending.wait(pause * (0.5 + random.random() / 2))
            pause = min(2 * pause, _MAX_BACKOFF_SECONDS)

    def _succeed(self) -> None:
        self.trouble, self.permitted = None, True
        self._complete.set()
        self._answered.set()

    def _fail(self, exc: OrchestuneError, *, permitted: bool) -> None:
        if not self._ending.is_set() and str(exc) != str(self.trouble):
            log.warning("%s", exc)
        self.trouble, self.permitted = exc, permitted
        if not permitted:
            self._answered.set()

    def _list(self) -> str:
        began = time.monotonic()
        objects: dict[tuple[str, str], T] = {}
        since = ""
        for page in self._api.pages(self._path, self._query):
            items = page.get("items") or []
            objects |= {_key(item): value for item in items if (value := self._reduce(item)) is not None}
            items.clear()  # the next page is read before this one goes out of scope
            since = str((page.get("metadata") or {}).get("resourceVersion") or "")
        with self._lock:
            self._put = {key: at for key, at in self._put.items() if key not in objects and at >= began}
            created = {key: self._objects[key] for key in self._put if key in self._objects}
            removed = [value for key, value in self._objects.items() if key not in objects and key not in created]
            self._objects = objects | created
        for value in removed:
            self._forgotten(value)
        return since

    def _follow(self) -> None:
        """Apply the events of one watch request until it ends."""
        watching = self._watching = self._api.watch(self._path, self._query, self._since)
        if self._ending.is_set():
            watching.hang_up()
        try:
            for kind, document in watching:
                self._since = str(document.get("metadata", {}).get("resourceVersion") or self._since)
                if kind != "BOOKMARK":
                    self._take(kind, document)
        finally:
            self._watching = None

    def _take(self, kind: str, document: Document) -> None:
        key, value = _key(document), self._reduce(document)
        with self._lock:
            self._put.pop(key, None)
            if kind == "DELETED" or value is None:
                before = self._objects.pop(key, None)
            else:
                self._objects[key] = value
        if kind == "DELETED":
            last = value if value is not None else before
            if last is not None:
                self._forgotten(last)


def _key(document: Document) -> tuple[str, str]:
    metadata: dict[str, Any] = document["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata["name"])
