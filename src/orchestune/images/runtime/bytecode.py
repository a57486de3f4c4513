"""Bytecode without timestamp checks: files copied into an image have no meaningful modification times."""

from __future__ import annotations

import importlib.util
import marshal
import sys
from pathlib import Path
from types import CodeType
from typing import Any

_HEADER = 16
_UNCHECKED = 1
_TAG = importlib.util.MAGIC_NUMBER


def name(source: str) -> str:
    """Return the path at which the interpreter looks for bytecode: `os.py` → `__pycache__/os.cpython-311.pyc`."""
    return importlib.util.cache_from_source(source)


def compiled(source: Path) -> bytes | None:
    """Return a file's bytecode for this interpreter, from its cache if that is valid. None if it does not compile.

    The result is deterministic, whether the file was compiled before or not.
    """
    text = source.read_bytes()
    code = _installed(source, len(text))
    if code is None:
        try:
            code = compile(text, source.name, "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError):
            return None
    shared_parts: dict[Any, Any] = {}
    body = marshal.dumps(_share_equal_parts(code, source.name, shared_parts))
    return _TAG + _UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(text) + body


def _share_equal_parts(value: Any, name: str, shared_parts: dict[Any, Any]) -> Any:
    """Return a constant in which equal parts are the same object, kept in `known`.

    The output of marshal depends on object identity and reference counts. The file name of code is `name`; the
    interpreter replaces it by the full path when it loads the code.
    """

    def share(part: Any) -> Any:
        return _share_equal_parts(part, name, shared_parts)

    if isinstance(value, CodeType):
        value = value.replace(
            co_filename=share(name),
            co_consts=share(value.co_consts),
            co_names=share(value.co_names),
            co_varnames=share(value.co_varnames),
            co_freevars=share(value.co_freevars),
            co_cellvars=share(value.co_cellvars),
            co_name=share(value.co_name),
            co_qualname=share(value.co_qualname),
            co_linetable=share(value.co_linetable),
            co_exceptiontable=share(value.co_exceptiontable),
        )
        return shared_parts.setdefault(id(value), value)
    if isinstance(value, (tuple, frozenset)):
        value = type(value)(map(share, value))
    elif isinstance(value, slice):
        value = slice(share(value.start), share(value.stop), share(value.step))
    elif isinstance(value, str):
        value = sys.intern(value)
    spelling = (
        sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
    )  # a frozenset's order is random
    return shared_parts.setdefault((type(value), str(spelling)), value)


def _installed(source: Path, size: int) -> CodeType | None:
    """Return the cached code of `source` if it is up to date."""
    try:
        cached = Path(name(str(source))).read_bytes()
    except OSError:
        return None
    if len(cached) <= _HEADER or cached[:4] != _TAG:
        return None
    if cached[4:8] != b"\0\0\0\0":
        return None  # rare: cached with hash-based validation, so compile it
    time = int(source.stat().st_mtime) & 0xFFFFFFFF
    if cached[8:12] != time.to_bytes(4, "little") or cached[12:16] != (size & 0xFFFFFFFF).to_bytes(4, "little"):
        return None
    try:
        code = marshal.loads(cached[_HEADER:])
    except (EOFError, ValueError, TypeError):
        return None
    return code if isinstance(code, CodeType) else None
