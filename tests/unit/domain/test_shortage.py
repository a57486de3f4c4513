"""The text that says which resource further trials lack."""

from __future__ import annotations

import pytest

from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import Capacity, Machine, Resources, fits, remedy
from orchestune.domain.resources.shortage import OTHERS, NodeUse, shortage

GIB = 2**30


def test_a_shortage_names_what_is_free_and_who_holds_the_rest() -> None:
    node = NodeUse("n1", Resources(8, 16 * GIB), Resources(0.2, 9 * GIB))
    holders = {"ada": Resources(5, GIB), "bob": Resources(2, 6 * GIB), OTHERS: Resources(0.8, 0)}
    assert shortage(Resources(1, 2 * GIB), [node], holders) == (
        "needs 1 cpu and 0.2 of 8 are free; ada holds 5, bob 2, others 0.8"
    )


def test_every_lacking_resource_is_named_and_one_that_a_node_still_has_is_not() -> None:
    nodes = [
        NodeUse("n1", Resources(8, 16 * GIB, 4), Resources(4, 0, 1)),
        NodeUse("n2", Resources(8, 16 * GIB), Resources(0, GIB)),
    ]
    assert shortage(Resources(2, 4 * GIB, 2), nodes, {"ada": Resources(0, 0, 3)}) == (
        "needs 4 GiB memory and 1 of 32 is free, at most 1 on one node (n2); it needs 2 gpu and 1 of 4 is free;"
        " ada holds 3"
    )
    assert shortage(Resources(2), nodes, {}) == "", "n1 has room for it"


CARDS = Capacity(
    (Machine(8, 64 * GIB, (Gpu("0", "Tesla T4", 15 * GIB),), "g1", "gpu"), Machine(8, 64 * GIB, name="n1"))
)


@pytest.mark.parametrize(
    ("each", "pool", "avoid", "hint"),
    [
        (
            Resources(gpu=1, gpu_type="a100"),
            None,
            (),
            "choose `type` and `memory` of `gpu` as one of these GPUs has them",
        ),
        (Resources(gpu=2, gpu_type="t4"), None, (), "lower `resources`"),
        (Resources(cpu=9), "gpu", (), "name another `pool`, or lower `resources`"),
        (Resources(cpu=1), "spot", (), "name another `pool`"),
        (
            Resources(cpu=1),
            None,
            ("g1", "n1"),
            "name the `pool` of machines that accept it, or add tolerations to `pod:`",
        ),
    ],
)
def test_the_hint_fits_what_is_missing(each: Resources, pool: str | None, avoid: tuple[str, ...], hint: str) -> None:
    assert fits(CARDS, each, pool, frozenset(avoid))
    assert remedy(CARDS, each, pool, frozenset(avoid)) == hint
