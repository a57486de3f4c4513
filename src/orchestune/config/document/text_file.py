"""Reading a text file that users write, with checks for files that are something else."""

from __future__ import annotations

from pathlib import Path

from orchestune.errors import BadInput, Problem

MAX_BYTES = 2**20


def read_text(path: Path, description: str, missing_hint: str) -> str:
    """Read the whole file.

    Raises BadInput if it is not a text file. `description` names the expected kind of file, `missing_hint` is the hint
    if it does not exist.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise BadInput([Problem("no such file", file=str(path), hint=missing_hint)]) from None
    except OSError as exc:
        raise BadInput([Problem(f"cannot read the file: {exc.strerror}", file=str(path))]) from exc
    if len(content) > MAX_BYTES:
        size = max(path.stat().st_size, len(content))
        message = f"too large for {description}: {size:,} bytes (maximum {MAX_BYTES:,})"
        raise BadInput([Problem(message, file=str(path), hint="is this the right file?")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        message = f"not UTF-8 text: byte 0x{content[exc.start]:02x}"
        raise BadInput([Problem(message, file=str(path), line=line, hint="save it as UTF-8")]) from None
