"""The text of a file that people write, with every guard against files that are none."""

from __future__ import annotations

from pathlib import Path

from orchestune.errors import BadInput, Problem

LARGEST = 2**20


def read_text(path: Path, what: str, missing: str) -> str:
    """All of it. BadInput says why it is no text; `what` it should be, and what to do where it is `missing`."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise BadInput([Problem("there is no such file", file=str(path), hint=missing)]) from None
    except OSError as exc:
        raise BadInput([Problem(f"cannot be read: {exc.strerror}", file=str(path))]) from exc
    if len(data) > LARGEST:
        size = max(path.stat().st_size, len(data))
        message = f"is larger than {what} can be ({size:,} bytes; {LARGEST:,} are allowed)"
        raise BadInput([Problem(message, file=str(path), hint="is this the right file?")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        message = f"is not UTF-8 text: byte 0x{data[exc.start]:02x}"
        raise BadInput([Problem(message, file=str(path), line=line, hint="save it as UTF-8")]) from None
