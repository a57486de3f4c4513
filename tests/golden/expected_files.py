"""The files below `expected/`: compared with what the program does now, or rewritten with `--update-golden`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

EXPECTED = Path(__file__).parent / "expected"
_HINT = "pytest tests/golden --update-golden rewrites the expected files; review their diff before you commit it"


@dataclass(frozen=True)
class Golden:
    """One group of expected files: the folder `expected/<group>`."""

    group: str
    update: bool = False
    """rewrite instead of compare"""

    @property
    def folder(self) -> Path:
        """The folder of the group."""
        return EXPECTED / self.group

    def check(self, name: str, text: str) -> None:
        """Fail with a unified diff if `text` is not what the file `name` holds."""
        text = text.rstrip("\n") + "\n"
        file = self.folder / name
        if self.update:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                file.write_text(text, encoding="utf-8")
            return
        if not file.exists():
            pytest.fail(f"there is no expected file {self.group}/{name}\n{_HINT}", pytrace=False)
        expected = file.read_text(encoding="utf-8")
        if expected != text:
            lines = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), f"expected/{self.group}/{name}", "now", lineterm=""
            )
            pytest.fail("\n".join([*lines, "", _HINT]), pytrace=False)

    def check_names(self, names: Iterable[str]) -> None:
        """Fail if the group has a file that no test in `names` compares; with `--update-golden` remove it."""
        unused = sorted({file.name for file in self.folder.iterdir()} - set(names))
        if self.update:
            for name in unused:
                (self.folder / name).unlink()
            return
        if unused:
            pytest.fail(f"no test uses these files of expected/{self.group}: {', '.join(unused)}", pytrace=False)
