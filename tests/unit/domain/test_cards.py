"""Which GPUs suit a trial, and how they are shared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.domain.resources.allocation import Demand, allocate
from orchestune.domain.resources.gpus import Gpu, GpuRequest, GpuSet, suits
from orchestune.domain.resources.resources import Capacity, Machine, Resources, fits

GIB = 2**30
A100 = [Gpu(f"a{index}", "NVIDIA A100-SXM4-40GB", 40 * GIB) for index in range(2)]
T4 = [Gpu("t0", "Tesla T4", 15 * GIB)]
MIXED = Machine(64, 512 * GIB, (*A100, *T4), "box")


@pytest.mark.parametrize(
    ("model", "type", "expected"),
    [
        ("NVIDIA A100-SXM4-40GB", "a100", True),
        ("NVIDIA A100-SXM4-40GB", "A100", True),
        ("NVIDIA A100-SXM4-40GB", "a10", False),
        ("NVIDIA-A100-SXM4-40GB", "nvidia a100", True),
        ("NVIDIA GeForce RTX 4090", "rtx4090", True),
        ("NVIDIA GeForce RTX 4090", "4090", True),
        ("NVIDIA GeForce RTX 4090", "409", False),
        ("Tesla T4", "t4", True),
        ("Tesla T4", "a100", False),
        ("", "a100", False),
    ],
)
def test_a_type_means_whole_words_of_the_name(model: str, type: str, expected: bool) -> None:
    assert suits(model, 0, type, None) is expected


def test_memory_means_what_stands_on_the_box() -> None:
    assert suits("Tesla T4", 15360 * 2**20, None, 16 * GIB)  # as nvidia-smi shows a T4 of 16 GB
    assert not suits("Tesla T4", 15360 * 2**20, None, 24 * GIB)
    assert not suits("", 0, None, GIB)


def test_shares_fill_a_card_before_they_begin_the_next_one() -> None:
    deck = GpuSet(A100)
    assert deck.fit(GpuRequest(0.25)) == 8
    assert [deck.take(GpuRequest(0.25)) for _ in range(5)] == [("a0",)] * 4 + [("a1",)]
    assert (deck.fit(GpuRequest(0.25)), deck.fit(GpuRequest(1))) == (3, 0)


def test_whole_cards_are_never_shared() -> None:
    deck = GpuSet(A100)
    deck.hold({"a0": 0.25})
    assert deck.take(GpuRequest(1)) == ("a1",)
    assert deck.take(GpuRequest(1)) == ()
    assert deck.fit(GpuRequest(0.8)) == 0
    assert deck.take(GpuRequest(0.75)) == ("a0",)


def test_smaller_cards_go_first_where_any_will_do() -> None:
    deck = GpuSet([*A100, *T4])
    assert deck.take(GpuRequest(1)) == ("t0",)
    assert deck.take(GpuRequest(2, "a100")) == ("a0", "a1")


def test_a_trial_gets_no_other_cards_than_its_shell_names() -> None:
    deck = GpuSet([*A100, *T4])
    only = GpuRequest(1, ids=("a1", "t0"))
    assert deck.fit(only) == 2
    assert [deck.take(only) for _ in range(3)] == [("t0",), ("a1",), ()]
    assert deck.take(GpuRequest(1, ids=())) == ()


def test_a_trial_that_needs_more_cards_than_its_shell_names_hears_which_these_are() -> None:
    place = Capacity((Machine(8, 16 * GIB, tuple(A100), "box"),))
    gpus = "box has 2 x NVIDIA A100-SXM4-40GB (40 GiB)"
    assert fits(place, Resources(gpu=1, gpu_ids=("a1",))) is None
    shortage = "a trial needs 2 gpu, and CUDA_VISIBLE_DEVICES names only a1"
    assert fits(place, Resources(gpu=2, gpu_ids=("a1",))) == f"{shortage}; {gpus}"
    shortage = "a trial needs 1 gpu, and CUDA_VISIBLE_DEVICES names no GPU of this machine"
    assert fits(place, Resources(gpu=1, gpu_ids=())) == f"{shortage}; {gpus}"


def test_a_trial_that_no_machine_has_cards_for_hears_what_cards_there_are() -> None:
    place = Capacity((MIXED, Machine(8, 16 * GIB, name="plain")))
    assert fits(place, Resources(gpu=2, gpu_type="a100", gpu_memory=40 * GIB)) is None
    gpus = "box has 2 x NVIDIA A100-SXM4-40GB (40 GiB), 1 x Tesla T4 (15 GiB)"
    assert fits(place, Resources(gpu=2, gpu_type="h100")) == f"a trial needs 2 gpu of type h100; {gpus}"
    assert fits(place, Resources(gpu=3, gpu_type="a100")) == f"a trial needs 3 gpu of type a100; {gpus}"
    assert fits(place, Resources(gpu=0.5, gpu_memory=80 * GIB)) == f"a trial needs 0.5 gpu with 80 GiB; {gpus}"
    assert fits(place, Resources(gpu=4)) == (
        "a trial needs 4 gpu, the largest machine, box, has 3: "
        "2 x NVIDIA A100-SXM4-40GB (40 GiB), 1 x Tesla T4 (15 GiB)"
    )


def test_cards_that_others_hold_count_as_there() -> None:
    lent = Resources(0, 0, 2, gpu_type="Tesla-V100-SXM2-16GB", gpu_memory=16 * GIB)
    place = Capacity((Machine(8, 16 * GIB, name="busy", lent=lent),))
    assert fits(place, Resources(gpu=2, gpu_type="v100")) is None
    assert fits(place, Resources(gpu=1, gpu_type="a100")) == (
        "a trial needs 1 gpu of type a100; busy has 2 x Tesla-V100-SXM2-16GB (16 GiB)"
    )


requested = st.builds(
    Resources,
    gpu=st.sampled_from([0.25, 0.3, 0.5, 1, 2]),
    gpu_type=st.sampled_from([None, "a100", "t4"]),
)


@given(st.lists(st.tuples(requested, st.integers(0, 20), st.sampled_from("ab")), max_size=6))
def test_never_more_of_a_card_than_there_is(requests: list[tuple[Resources, int, str]]) -> None:
    place = Capacity((MIXED,))
    granted = allocate(place, [Demand(str(i), slots, each, owner) for i, (each, slots, owner) in enumerate(requests)])
    assert sum(granted[str(i)] * each.gpu for i, (each, _, _) in enumerate(requests)) <= 3 + 1e-6
    assert (
        sum(granted[str(i)] * each.gpu for i, (each, _, _) in enumerate(requests) if each.gpu_type == "t4") <= 1 + 1e-6
    )
