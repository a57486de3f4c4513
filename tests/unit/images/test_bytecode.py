"""Bytecode for images: the same for the same text, loaded without a look at the source."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

from orchestune.images.runtime.bytecode import compiled, name

TEXT = """\
NAMES = frozenset(['a', 'b', 'c'])


def f(x):
    def g():
        return x in {'d', 'e'} or x[0:2] == ('a b', 2.5, b'c', 10**30)
    return g
"""


def module(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "module.py"
    source.write_text(TEXT)
    return source


def test_it_is_the_same_whether_it_was_compiled_before_or_not_and_where(tmp_path: Path) -> None:
    fresh = compiled(module(tmp_path / "fresh"))
    before = module(tmp_path / "before")
    py_compile.compile(str(before), doraise=True)
    assert fresh is not None
    assert compiled(before) == fresh


def test_what_stands_in_the_cache_of_an_older_text_is_not_taken(tmp_path: Path) -> None:
    source = module(tmp_path)
    py_compile.compile(str(source), doraise=True)
    source.write_text(TEXT + "MORE = 1\n")
    bytecode = compiled(source)
    assert bytecode is not None and "MORE" in marshal.loads(bytecode[16:]).co_names


def test_a_broken_cache_is_not_taken(tmp_path: Path) -> None:
    source = module(tmp_path)
    py_compile.compile(str(source), doraise=True)
    cached = Path(name(str(source)))
    cached.write_bytes(cached.read_bytes()[:40])
    assert compiled(source) == compiled(module(tmp_path / "other"))


def test_the_interpreter_takes_it_whatever_the_time_of_the_source_and_knows_the_path(tmp_path: Path) -> None:
    source = module(tmp_path)
    data = compiled(source)
    assert data is not None
    cached = Path(name(str(source)))
    cached.parent.mkdir()
    cached.write_bytes(data)
    source.write_text("raise SystemExit('the source was read')\n")
    os.utime(source, (1, 1))
    code = "import module; print(module.f(1).__code__.co_filename, module.f.__code__.co_filename)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(source)] * 2, done.stderr


def test_what_does_not_compile_has_none(tmp_path: Path) -> None:
    source = tmp_path / "template.py"
    source.write_text("def {{ name }}(:\n")
    assert compiled(source) is None


def test_the_header_is_of_this_interpreter(tmp_path: Path) -> None:
    data = compiled(module(tmp_path))
    assert data is not None and data[:4] == importlib.util.MAGIC_NUMBER
