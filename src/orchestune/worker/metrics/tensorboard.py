"""Parses scalars from TensorBoard's event files: TFRecord framing, and the few Protocol Buffers fields needed.

https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/{event,summary,tensor}.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""maximum bytes of one record; a longer one means that the file is not an event file"""
_FIXED = {1: ("<d", 8), 5: ("<f", 4)}
_TENSORS = {1: "<f", 2: "<d", 3: "<i", 9: "<q", 19: "<e"}
"""`struct` formats of `tensor_content` with one number, by data type"""


class TaggedScalar(NamedTuple):
    """One value of a tag."""

    tag: str
    step: int
    value: float


class Malformed(ValueError):
    """The bytes are not a valid record."""


def records(data: bytes) -> tuple[list[bytes], int]:
    """Return the complete records at the start of `data`, and their total bytes. Raises Malformed."""
    complete, position = [], 0
    while len(data) - position >= 16:
        (length,) = struct.unpack_from("<Q", data, position)
        if length > MAX_RECORD_BYTES:
            raise Malformed(f"a record has {length:,} bytes (expected at most {MAX_RECORD_BYTES:,})")
        if len(data) - position < length + 16:
            break
        complete.append(data[position + 12 : position + 12 + length])
        position += length + 16
    return complete, position


def scalars(record: bytes) -> list[TaggedScalar]:
    """Return the scalars of one event. Raises Malformed."""
    try:
        step, values = 0, []
        for field, value in _fields(record):
            if field == 2 and isinstance(value, int):
                step = value - (1 << 64) if value >> 63 else value
            elif field == 5 and isinstance(value, bytes):
                values += [content for number, content in _fields(value) if number == 1 and isinstance(content, bytes)]
        pairs = [_value(content) for content in values]
        return [TaggedScalar(tag, step, number) for tag, number in pairs if number is not None]
    except (IndexError, struct.error, UnicodeDecodeError) as exc:
        raise Malformed(str(exc)) from exc


def _value(data: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8")
        elif field == 2 and isinstance(value, float):
            number = value
        elif field == 8 and isinstance(value, bytes):
            number = _tensor(value)
    return tag, number


def _tensor(data: bytes) -> float | None:
    """Return the number in a scalar tensor; None for other tensors."""
    kind, number = 0, None
    for field, value in _fields(data):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2 and isinstance(value, bytes) and value:
            return None  # it has dimensions
        elif field == 4 and isinstance(value, bytes) and value and kind in _TENSORS:
            fmt = _TENSORS[kind]
            number = float(struct.unpack(fmt, value)[0]) if struct.calcsize(fmt) == len(value) else None
        elif field in (5, 6) and isinstance(value, float):
            number = value
        elif field in (5, 6) and isinstance(value, bytes):  # packed
            fmt = "<f" if field == 5 else "<d"
            number = float(struct.unpack(fmt, value)[0]) if struct.calcsize(fmt) == len(value) else None
    return number


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of a message's fields. Raises IndexError or struct.error if it is truncated."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
        elif wire in _FIXED:
            form, size = _FIXED[wire]
            yield key >> 3, struct.unpack_from(form, data, position)[0]
            position += size
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise IndexError("a field is longer than its message")
            yield key >> 3, data[position : position + length]
            position += length
        else:
            raise IndexError(f"unknown wire type: {wire}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise IndexError("a varint has more than 64 bits")
