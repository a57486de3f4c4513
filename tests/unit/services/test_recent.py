"""Things that are computed once for many who look."""

from __future__ import annotations

from orchestune.services.memory.lru_cache import LruCache, Recent


def test_a_thing_is_made_once_for_each_version() -> None:
    recent: Recent[int] = Recent()
    values = [recent.get("a", version, lambda version=version: version) for version in (1, 1, 2, 3)]  # type: ignore[misc]
    assert values == [1, 1, 2, 3]


def test_those_that_nobody_asked_for_longest_are_forgotten() -> None:
    keys = list[int]()
    recent: Recent[None] = Recent()
    for key in [*range(60), 59, 0]:
        recent.get(key, 1, lambda key=key: keys.append(key))  # type: ignore[misc]
    assert keys == [*range(60), 0]


def test_what_nobody_used_for_long_is_forgotten() -> None:
    latest = LruCache[str, int](2)
    for key in ("a", "b", "a", "c"):
        assert latest.keep(key, latest.get(key, 0) + 1) == latest[key]
    assert dict(latest) == {"a": 2, "c": 1}


def test_large_values_are_kept_up_to_their_size_in_all() -> None:
    recent: Recent[bytes] = Recent(most=10, size=len)
    sizes: list[int] = []

    def get(size: int) -> bytes:
        def make() -> bytes:
            sizes.append(size)
            return bytes(size)

        return recent.get(size, 1, make)

    for size in (4, 5, 4, 6, 5, 6, 11, 11, 6):
        assert len(get(size)) == size
    assert sizes == [4, 5, 6, 5, 6, 11, 11, 6]
