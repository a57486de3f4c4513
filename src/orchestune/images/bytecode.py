"""Compiled modules that never look at their source's time: what is copied into an image has none worth a name."""

from __future__ import annotations

import importlib.util
import marshal
from pathlib import Path

_HEADER = 16
_UNCHECKED = 1
_TAG = importlib.util.MAGIC_NUMBER


def name(source: str) -> str:
    """Where the interpreter looks: `os.py` → `__pycache__/os.cpython-311.pyc`."""
    return importlib.util.cache_from_source(source)


def compiled(source: Path) -> bytes | None:
    """A file as bytecode of this interpreter, from the cache beside it where that fits. None: it does not compile."""
    text = source.read_bytes()
    body = _installed(source, len(text))
    if body is None:
        try:
            body = marshal.dumps(compile(text, source.name, "exec", dont_inherit=True, optimize=0))
        except (SyntaxError, ValueError, RecursionError):
            return None
    return _TAG + _UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(text) + body


def _installed(source: Path, size: int) -> bytes | None:
    """The code that stands in the cache beside `source`, if it belongs to it."""
    try:
        cached = Path(name(str(source))).read_bytes()
    except OSError:
        return None
    if len(cached) <= _HEADER or cached[:4] != _TAG:
        return None
    if cached[4:8] != b"\0\0\0\0":
        return None  # made by another rule, which is rare: compile it
    time = int(source.stat().st_mtime) & 0xFFFFFFFF
    fits = cached[8:12] == time.to_bytes(4, "little") and cached[12:16] == (size & 0xFFFFFFFF).to_bytes(4, "little")
    return cached[_HEADER:] if fits else None
