"""Whether the server gives out the cards that this shell names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestune.client.cards import unheeded


@pytest.mark.parametrize(
    ("visible", "served", "said"),
    [
        (None, ["0", "1"], ""),
        ("1,0", ["0", "1"], ""),
        ("0,-1,1", ["0"], ""),
        ("", [], ""),
        ("1", ["0"], "gives out cards 0; here is CUDA_VISIBLE_DEVICES=1"),
        (None, ["0"], "gives out cards 0; here is no CUDA_VISIBLE_DEVICES"),
        ("", ["1", "0"], "gives out cards 0, 1; here is an empty CUDA_VISIBLE_DEVICES"),
        ("0", [], "gives out no cards; here is CUDA_VISIBLE_DEVICES=0"),
    ],
)
def test_cards_of_another_shell_are_told(visible: str | None, served: Sequence[str], said: str) -> None:
    found = unheeded(visible, ("0", "1"), served)
    assert found == (said and f"the server was started by another shell and {said}")
