"""Compiled modules that never look at their source's time: what is copied into an image has none worth a name."""

from __future__ import annotations

import importlib.util
import marshal
from pathlib import Path
from types import CodeType

_HEADER = 16
_UNCHECKED = 1
_TAG = importlib.util.MAGIC_NUMBER


def name(source: str) -> str:
    """Where the interpreter looks: `os.py` → `__pycache__/os.cpython-311.pyc`."""
    return importlib.util.cache_from_source(source)


def compiled(source: Path) -> bytes | None:
    """A file as bytecode of this interpreter, from the cache beside it where that fits. None: it does not compile.

    The same text gives the same bytes, whether it was compiled before or not.
    """
    text = source.read_bytes()
    code = _installed(source, len(text))
    if code is None:
        try:
            code = compile(text, source.name, "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError):
            return None
    # later formats of marshal write what depends on who else holds an object at that moment
    body = marshal.dumps(_without_folder(code, source.name), 2)
    return _TAG + _UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(text) + body


def _without_folder(code: CodeType, name: str) -> CodeType:
    """The interpreter writes the whole path into it when it loads it."""
    constants = tuple(_without_folder(one, name) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_filename=name, co_consts=constants)


def _installed(source: Path, size: int) -> CodeType | None:
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
    if cached[8:12] != time.to_bytes(4, "little") or cached[12:16] != (size & 0xFFFFFFFF).to_bytes(4, "little"):
        return None
    try:
        code = marshal.loads(cached[_HEADER:])
    except (EOFError, ValueError, TypeError):
        return None
    return code if isinstance(code, CodeType) else None
