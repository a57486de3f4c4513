"""Decode and validate the body of one call; errors have the path of the invalid field."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from orchestune.errors import InvalidCall

MAX_TEXT = 2**16  # characters of a reason or log tail, which views of a trial include; workers send 4 KiB
MAX_STORED_TEXT = 2**12  # of these are stored; documents contain the texts of many attempts
INT32, INT64 = 2**31 - 1, 2**63 - 1  # largest values of the databases' INTEGER and BIGINT

NO_NUL = r"^[^\x00]*$"  # PostgreSQL rejects NUL in parameters of queries

Id = Annotated[str, Meta(max_length=200, pattern=NO_NUL)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
# SHA-256 in hex; max_length excludes the trailing line feed that `$` allows
Digest = Annotated[str, Meta(max_length=64, pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=INT64)]
Offset = Annotated[int, Meta(ge=0, le=2**62)]  # so that offset plus length fits into a BIGINT
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Age = Annotated[float, Meta(ge=0, le=1e9)]  # seconds before now, up to 31 years: the resulting time needs a valid year

ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # all that a decoder raises for hostile bodies

_T = TypeVar("_T")


def decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Decode a document. Raises InvalidCall if the body is not JSON or does not match the type."""
    try:
        return decoder.decode(body)
    except ERRORS as error:
        raise InvalidCall.one(str(error)) from error


def replace_nul(struct: Struct, *names: str) -> None:
    """Replace NUL characters in these fields by U+FFFD: programs may print them, and PostgreSQL rejects them."""
    for name in names:
        text = getattr(struct, name)
        if text is not None and "\0" in text:
            force_setattr(struct, name, text.replace("\0", "\ufffd"))
