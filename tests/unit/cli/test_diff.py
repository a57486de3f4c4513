"""Display of two values by `diff`."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.cli.inspect.diff import in_words
from orchestune.cli.terminal.render import Paint

FOLDERS = ":".join(f"/usr/{n}/bin" for n in range(40))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (1, 2.5, "1 → 2.5"),
        (None, f"/a:{FOLDERS}", f"- → /a:{FOLDERS}"),
        (0.1 + 0.2, 0.3, "0.30000000000000004 → 0.3"),
        (f"/old/bin:{FOLDERS}", f"/new/bin:/more/bin:{FOLDERS}", "/old/bin:… → /new/bin:/more/bin:…"),
        (FOLDERS, f"{FOLDERS}:/new/bin:", "… → /new/bin::…"),
        ("/a/bin:/b/bin", "/b/bin:/a/bin", "the same folders in a different order or number"),
        ("/a/bin", "/b/bin", "/a/bin → /b/bin"),
        ("http://a:80", "http://b:80", "http://a:80 → http://b:80"),
        ("/bin\x1b[2J:/a", "/bin:/a", "/bin [2J:… → /bin:…"),
    ],
)
def test_of_two_lists_of_folders_those_are_shown_that_one_of_them_alone_has(old: Any, new: Any, text: str) -> None:
    assert in_words((old, new), Paint(False)) == text
