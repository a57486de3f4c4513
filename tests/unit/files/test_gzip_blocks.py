"""Compressed objects are read from any byte on, and no more of them than is needed."""

from __future__ import annotations

import gzip
import io
import random

import pytest

from orchestune.files import gzip_blocks
from orchestune.files.gzip_blocks import BlockReader, compress, object_offset

CONTENT = b"".join(b"epoch %d loss %.17f\n" % (number, 1 / (number + 1)) for number in range(9000))


class Pieces(io.BytesIO):
    """A stream that returns a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(97)


def reader(data: bytes, virtual_offset: int) -> BlockReader:
    return BlockReader(io.BytesIO(data[object_offset(virtual_offset) :]), virtual_offset)


def test_any_range_of_the_content_is_read_from_its_virtual_offset() -> None:
    compressed, chosen = compress(CONTENT), random.Random(1)
    block = 1 << 16
    starts = [0, 1, block - 1, block, block + 1, 2 * block, len(CONTENT) - 1, len(CONTENT)]
    for start in starts + [chosen.randrange(len(CONTENT)) for _ in range(50)]:
        for length in (0, 1, 100, block, 3 * block):
            end = min(start + length, len(CONTENT))
            with reader(compressed.data, compressed.virtual_offset(start)) as content:
                assert content.read(end - start) == CONTENT[start:end]
                assert end == len(CONTENT) or content.tell() == compressed.virtual_offset(end)


def test_a_stream_that_returns_little_at_a_time_is_read_whole() -> None:
    assert BlockReader(Pieces(compress(CONTENT).data)).read(len(CONTENT)) == CONTENT


def test_the_object_is_an_ordinary_gzip_file() -> None:
    compressed = compress(CONTENT)
    assert gzip.decompress(compressed.data) == CONTENT
    assert len(compressed.data) < len(CONTENT) / 2
    assert compress(b"").data == b"" and compress(b"").virtual_offset(0) == 0


def test_a_damaged_object_raises_one_of_the_named_errors() -> None:
    data = bytearray(compress(CONTENT).data)
    with pytest.raises(gzip_blocks.ERRORS):
        reader(bytes(data[: len(data) // 2]), 0).read(len(CONTENT))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(gzip_blocks.ERRORS):
        reader(bytes(data), 0).read(len(CONTENT))
