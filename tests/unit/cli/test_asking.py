"""Questions to the user at the terminal."""

from __future__ import annotations

import io

import pytest

from orchestune.cli.terminal import prompts


@pytest.mark.parametrize(
    ("typed", "is_yes"), [("", True), ("y", True), ("NO", False), ("what\nn", False), ("1\n\n", True)]
)
def test_what_is_neither_a_yes_nor_a_no_is_asked_again(
    typed: str, is_yes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
    assert prompts.confirm_default_yes("run it once?") is is_yes
    assert capsys.readouterr().err.count("run it once? [Y/n]") == len(typed.rstrip("\n").split("\n")) + typed.endswith(
        "\n"
    )
