"""Whether the embedded server gives out the cards that this shell names: it goes by the shell that started it."""

from __future__ import annotations

from collections.abc import Collection

from orchestune.domain.cards import named

VARIABLE = "CUDA_VISIBLE_DEVICES"
REMEDY = "`orchestune doctor --restart` starts it anew from this shell; what runs goes on"


def unheeded(visible: str | None, there: Collection[str], served: Collection[str]) -> str:
    """What to say where the ids of the cards that the server gives out are not those that `visible`, the value of this
    shell's variable, names; without it, not all that are there. Else empty.
    """
    if set(there if visible is None else named(visible)) == set(served):
        return ""
    said = f"{VARIABLE}={visible}" if visible else f"an empty {VARIABLE}" if visible is not None else f"no {VARIABLE}"
    given = f"cards {', '.join(sorted(served))}" if served else "no cards"
    return f"the server was started by another shell and gives out {given}; here is {said}"
