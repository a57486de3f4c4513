"""One list, one watch, and what goes wrong with them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from orchestune.backends.kubernetes.observation.watching import WatchCache
from orchestune.errors import Unreachable
from orchestune.kubeapi.errors import PermissionMissing, WatchExpired
from tests.contract.backend_contract import wait_until

Document = dict[str, Any]


def item(name: str, version: int, **fields: Any) -> Document:
    return {"metadata": {"namespace": "ml", "name": name, "resourceVersion": str(version)}, **fields}


class Stream:
    """One watch: what the test puts in comes out; an exception is raised, None ends it."""

    def __init__(self, since: str) -> None:
        self.since = since
        self.queue: queue.Queue[tuple[str, Document] | Exception | None] = queue.Queue()

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        while (event := self.queue.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def hang_up(self) -> None:
        self.queue.put(None)


class FakeApi:
    """Answers lists with what the test says, and hands watches to it."""

    def __init__(self, *items: Document, version: int = 1) -> None:
        self.listed, self.version = list(items), version
        self.lists = 0
        self.refusing: Exception | None = None
        self.during_list: Callable[[], None] = lambda: None
        self.streams: queue.Queue[Stream] = queue.Queue()

    def pages(self, path: str, query: Mapping[str, object]) -> Iterator[Document]:
        if self.refusing is not None:
            raise self.refusing
        self.lists += 1
        documents = list(self.listed)
        self.during_list()
        half = len(documents) // 2
        yield {"items": documents[:half], "metadata": {"resourceVersion": str(self.version)}}
        yield {"items": documents[half:], "metadata": {"resourceVersion": str(self.version)}}

    def watch(self, path: str, query: Mapping[str, object], since: str) -> Stream:
        stream = Stream(since)
        self.streams.put(stream)
        return stream

    def stream(self) -> Stream:
        return self.streams.get(timeout=60)


Names = Callable[[], list[str]]


@pytest.fixture
def watched() -> Iterator[Callable[..., WatchCache[Document]]]:
    caches: list[WatchCache[Document]] = []

    def start(api: FakeApi, forgotten: Callable[[Document], None] = lambda _: None) -> WatchCache[Document]:
        cache: WatchCache[Document] = WatchCache(api, "/api/v1/things", {}, lambda document: document, forgotten)  # type: ignore[arg-type]
        cache.start()
        caches.append(cache)
        return cache

    yield start
    for cache in caches:
        cache.stop()
        cache.join(60)


def names(cache: WatchCache[Document]) -> list[str]:
    return sorted(document["metadata"]["name"] for document in cache.all())


def test_what_is_listed_and_what_changes_is_known(watched: Callable[..., WatchCache[Document]]) -> None:
    api = FakeApi(item("a", 1), version=5)
    cache = watched(api)
    assert cache.wait_listed(60)
    stream = api.stream()
    assert (names(cache), stream.since) == (["a"], "5")
    stream.queue.put(("ADDED", item("b", 6)))
    stream.queue.put(("MODIFIED", item("a", 7, colour="red")))
    wait_until(lambda: (cache.get("ml", "a") or {}).get("colour") == "red")
    assert names(cache) == ["a", "b"]
    stream.queue.put(("DELETED", item("b", 8)))
    wait_until(lambda: names(cache) == ["a"])


def test_a_watch_goes_on_where_it_ended(watched: Callable[..., WatchCache[Document]]) -> None:
    api = FakeApi(version=5)
    watched(api)
    first = api.stream()
    first.queue.put(("BOOKMARK", item("", 9)))
    first.queue.put(None)
    second = api.stream()
    assert second.since == "9"
    second.queue.put(("ADDED", item("a", 11)))
    second.queue.put(Unreachable("gone"))
    assert api.stream().since == "11"
    assert api.lists == 1


def test_a_point_that_is_forgotten_means_a_new_list(watched: Callable[..., WatchCache[Document]]) -> None:
    forgotten: list[str] = []
    api = FakeApi(item("a", 1), item("b", 2), version=5)
    cache = watched(api, lambda document: forgotten.append(document["metadata"]["name"]))
    stream = api.stream()
    api.listed, api.version = [item("b", 2), item("c", 30)], 31
    stream.queue.put(WatchExpired("too old resource version"))
    assert api.stream().since == "31"
    assert names(cache) == ["b", "c"]
    assert forgotten == ["a"]


class Hasty(FakeApi):
    """Lets no watch begin, or ends each at once."""

    def __init__(self, refusal: Exception | None) -> None:
        super().__init__()
        self.refusal = refusal
        self.watches = 0

    def watch(self, path: str, query: Mapping[str, object], since: str) -> Stream:
        self.watches += 1
        if self.refusal is not None:
            raise self.refusal
        stream = Stream(since)
        stream.queue.put(None)
        return stream


@pytest.mark.parametrize("refusal", [None, WatchExpired("too old resource version")])
def test_watches_that_end_at_once_do_not_flood_the_server(
    watched: Callable[..., WatchCache[Document]], refusal: Exception | None
) -> None:
    api = Hasty(refusal)
    cache = watched(api)
    assert cache.wait_listed(60)
    threading.Event().wait(0.5)
    assert api.watches < 20  # thousands, without a pause in between


def test_while_the_server_is_away_the_last_state_stays(watched: Callable[..., WatchCache[Document]]) -> None:
    api = FakeApi(item("a", 1))
    cache = watched(api)
    stream = api.stream()
    api.refusing = Unreachable("away")
    stream.queue.put(WatchExpired("list again"))
    wait_until(lambda: cache.trouble is not None)
    assert names(cache) == ["a"]
    api.refusing = None
    api.stream()
    wait_until(lambda: cache.trouble is None)


def test_a_missing_right_is_told_apart_from_a_server_that_is_away(watched: Callable[..., WatchCache[Document]]) -> None:
    api = FakeApi()
    api.refusing = PermissionMissing("the server may not list things")
    cache = watched(api)
    assert cache.wait_answered(60)
    assert not cache.permitted
    assert not cache.wait_listed(0)


def test_what_was_just_created_is_there_though_the_list_is_older(watched: Callable[..., WatchCache[Document]]) -> None:
    api = FakeApi(version=5)
    cache = watched(api)
    stream = api.stream()
    api.during_list = lambda: cache.put(item("new", 40))
    stream.queue.put(WatchExpired("list again"))
    stream = api.stream()
    assert names(cache) == ["new"]
    stream.queue.put(("ADDED", item("new", 40)))
    stream.queue.put(("DELETED", item("new", 41)))
    wait_until(lambda: not cache.all())


def test_what_was_created_does_not_overwrite_what_is_newer(watched: Callable[..., WatchCache[Document]]) -> None:
    api = FakeApi(item("a", 9, colour="red"))
    cache = watched(api)
    assert cache.wait_listed(60)
    cache.put(item("a", 1, colour="pale"))
    assert (cache.get("ml", "a") or {})["colour"] == "red"


def test_a_document_that_nobody_can_read_does_not_end_the_watch(watched: Callable[..., WatchCache[Document]]) -> None:
    api = FakeApi(item("a", 1))
    cache = watched(api)
    api.stream().queue.put(("ADDED", {"metadata": {}}))
    wait_until(lambda: cache.trouble is not None)
    api.stream()
    assert threading.active_count() > 1
    assert names(cache) == ["a"]
