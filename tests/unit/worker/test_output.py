"""The log between a process and the server."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.worker import output
from orchestune.worker.output import LogBuffer, last_lines


class Server:
    """Takes parts as protocol.md says."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.end = 0
        self.gap = 0

    def take(self, parts: list[list[object]]) -> None:
        for offset, text, gap in parts:
            assert isinstance(offset, int) and isinstance(text, str) and isinstance(gap, int)
            data = text.encode("latin-1")
            if gap and offset >= self.end:
                assert offset - gap == self.end
                self.gap += gap
                self.end = offset
            assert offset <= self.end
            self.data += data[self.end - offset :]
            self.end = max(self.end, offset + len(data))


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 70)),
        st.tuples(st.just("send"), st.integers(1, 60)),
        st.tuples(st.just("lose"), st.integers(1, 60)),
        st.tuples(st.just("persist"), st.just(0)),
    ),
    max_size=40,
)


@given(ACTIONS, st.integers(20, 400))
def test_whatever_is_written_sent_and_lost_head_and_tail_arrive_in_order(
    actions: list[tuple[str, int]], cap: int
) -> None:
    memory, output.MAX_MEMORY_BYTES = output.MAX_MEMORY_BYTES, 50
    try:
        with TemporaryDirectory() as folder:
            _play(actions, cap, Path(folder) / "x.log")
    finally:
        output.MAX_MEMORY_BYTES = memory


def _play(actions: list[tuple[str, int]], cap: int, spill: Path) -> None:
    log, server, written = LogBuffer(cap, spill), Server(), bytearray()
    for action, size in actions:
        if action == "write":
            data = os.urandom(size)
            log.append(data)
            written += data
        elif action == "persist":
            log.persist()
        else:
            parts, position = log.parts(size)
            server.take(parts)
            if action == "send":
                log.acknowledge(position)
    log.close()
    state = log.persist()
    log = LogBuffer.restore(spill, state)
    while log.waiting:
        parts, position = log.parts(33)
        server.take(parts)
        log.acknowledge(position)
    assert server.end == log.end == len(written)
    beyond = max(0, len(written) - cap)
    assert beyond <= server.gap <= beyond + 6, "of what reads as half a character nothing is kept beside the gap"
    if not server.gap:
        assert server.data == written
    else:
        tail = min(output.MAX_TAIL_BYTES, cap // 2)
        received_count = len(server.data)
        assert any(
            server.data == written[:head] + written[len(written) - (received_count - head) :]
            for head in range(max(0, cap - tail - 3), cap - tail + 1)
        )
    log.discard()
    assert not spill.exists()


@given(st.text("aé€😀\n", max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(4, 12))
@pytest.mark.parametrize("cap", [30, 2**20])
def test_each_part_of_a_text_can_be_read_alone_however_it_was_written_and_sent(
    cap: int, text: str, pieces: list[int], limit: int
) -> None:
    with TemporaryDirectory() as folder:
        log, data, read = LogBuffer(cap, Path(folder) / "x.log"), text.encode(), ""
        for size in (pieces * len(data))[: len(data)]:
            log.append(data[:size])
            data = data[size:]
            if size % 2:
                parts, position = log.parts(limit)
                read += "".join(part.encode("latin-1").decode() for _, part, _ in parts)
                log.acknowledge(position)
        log.close()
        while log.waiting:
            parts, position = log.parts(limit)
            read += "".join(part.encode("latin-1").decode() for _, part, _ in parts)
            log.acknowledge(position)
        if len(text.encode()) <= cap - 3:
            assert read == text
        else:
            assert any(read == text[:head] + text[len(text) - (len(read) - head) :] for head in range(len(read) + 1))


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (b"", 0), (b"a", 0), ("é".encode(), 0), ("😀".encode(), 0), (b"a\xc3", 1), (b"\xe2\x82", 2),
        (b"\xf0\x9f\x98", 3), (b"\x80\x80\x80\x80", 0), (b"\xff", 0), (b"\xc3\xc3", 1), (b"\xf0", 1),
    ],
)  # fmt: skip
def test_a_character_whose_rest_is_missing_is_known(data: bytes, missing: int) -> None:
    assert output.complete_characters(data) == data[: len(data) - missing]


def test_memory_stays_bounded_while_the_server_is_away(tmp_path: Path) -> None:
    log = LogBuffer(64 * 2**20, tmp_path / "x.log")
    for _ in range(100):
        log.append(b"x" * 65536)
    assert len(log._memory) <= output.MAX_MEMORY_BYTES and len(log._tail) == 0
    assert log.waiting == 100 * 65536
    log.discard()


def test_a_full_disk_ends_the_head_early_and_says_how_much_is_missing() -> None:
    log = LogBuffer(64 * 2**20, Path("/dev/full/x.log"))
    for _ in range(20):
        log.append(b"x" * 65536)
    log.append(b"the end\n")
    log.close()
    assert log.disk_error is not None
    server = Server()
    while log.waiting:
        parts, position = log.parts(2**20)
        server.take(parts)
        log.acknowledge(position)
    assert server.end == 20 * 65536 + 8
    assert server.data.endswith(b"the end\n")


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", ""),
        (b"a\nb\n", "a\nb"),
        (b"a\n\xff", "a\n�"),
        (b"a\r\n\r\nb\r\n", "a\n\nb"),
        (b"1 %\r50 %\r100 %\nend", "100 %\nend"),
        (b"\r1 %\r50 %\r", "50 %"),
    ],
)
def test_the_last_lines_are_text_whatever_they_were(data: bytes, lines: str) -> None:
    assert last_lines(data) == lines
