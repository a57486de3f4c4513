"""Parsing the output of `ldd`."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.errors import UsageError
from orchestune.images.runtime.linking import Linked, parse

GLIBC = """\
/usr/bin/python3.11:
\tlinux-vdso.so.1 (0x00007ffd2b5c8000)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f333f8a0000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f333f01e000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f333f998000)
/usr/lib/python3.11/lib-dynload/_other.so:
\tlibmissing.so.1 => not found
\tlibm.so.6 => /somewhere/else/libm.so.6 (0x00007f333f8a0000)
\tstatically linked
"""
MUSL = """\
\t/lib/ld-musl-x86_64.so.1 (0x7f6a3d4c5000)
\tlibpython3.11.so.1.0 => /usr/lib/libpython3.11.so.1.0 (0x7f6a3d000000)
\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f6a3d4c5000)
"""


def test_glibc_names_its_loader_and_the_first_place_of_each_library() -> None:
    folder = Path("/lib/x86_64-linux-gnu")
    assert parse(GLIBC) == Linked(
        Path("/lib64/ld-linux-x86-64.so.2"), {"libm.so.6": folder / "libm.so.6", "libc.so.6": folder / "libc.so.6"}
    )


def test_musl_is_loader_and_library_in_one() -> None:
    loader = Path("/lib/ld-musl-x86_64.so.1")
    libraries = {"libpython3.11.so.1.0": Path("/usr/lib/libpython3.11.so.1.0"), "libc.musl-x86_64.so.1": loader}
    assert parse(MUSL) == Linked(loader, libraries)


def test_a_static_program_is_refused() -> None:
    with pytest.raises(UsageError, match="no dynamic loader"):
        parse("\tnot a dynamic executable\n")
