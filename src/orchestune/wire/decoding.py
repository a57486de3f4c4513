"""Decode the body of one call, or refuse it with the path of what does not fit."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from orchestune.errors import InvalidCall

MAX_TEXT = 2**16  # characters of a reason or of last lines, which views of a trial carry; workers send 4 KiB
INT32, INT64 = 2**31 - 1, 2**63 - 1  # largest values of the databases' INTEGER and BIGINT

NO_NUL = r"^[^\x00]*$"  # PostgreSQL takes no NUL in a query

Id = Annotated[str, Meta(max_length=200, pattern=NO_NUL)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
# a SHA-256 in hex; the length excludes the line feed that `$` allows at the end
Digest = Annotated[str, Meta(max_length=64, pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=INT64)]
Offset = Annotated[int, Meta(ge=0, le=2**62)]  # so that the end of what is there is a BIGINT too
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Age = Annotated[float, Meta(ge=0, le=1e9)]  # seconds before now, 31 years: a time without a year could not be shown

ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # whatever a decoder raises for a hostile body

_T = TypeVar("_T")


def decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Return the document. Raises InvalidCall if the body is no JSON or does not fit the type."""
    try:
        return decoder.decode(body)
    except ERRORS as error:
        raise InvalidCall.one(str(error)) from error


def replace_nul(struct: Struct, *names: str) -> None:
    """Replace NUL characters: PostgreSQL stores none in a text, and programs may print one."""
    for name in names:
        text = getattr(struct, name)
        if text is not None and "\0" in text:
            force_setattr(struct, name, text.replace("\0", "\ufffd"))
