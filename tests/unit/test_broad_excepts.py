from __future__ import annotations

from tests.broad_excepts import broad_lines

SOURCE = """
try:
    work()
except ValueError:
    pass
except (OSError, Exception):
    pass
try:
    work()
except BaseException as error:
    raise
try:
    work()
except:
    pass
"""


def test_handlers_of_any_exception_are_listed() -> None:
    assert broad_lines(SOURCE) == [6, 10, 14]
