"""When a machine is to blame."""

from __future__ import annotations

import pytest

from orchestune.domain.quarantine import Tally, blame


def judged(here: Tally, *elsewhere: Tally, gpus: bool = False, tail: str = "") -> str | None:
    tallies = {"here": here} | {f"n{index}": tally for index, tally in enumerate(elsewhere)}
    return blame("here", tallies, gpus=gpus, tail=tail)


def test_failures_that_fall_on_one_machine_alone_are_its_own() -> None:
    assert judged(Tally(0, 2), Tally(6, 0), Tally(5, 1)) == "all 3 trials failed there, and 1 of 12 elsewhere"


@pytest.mark.parametrize(
    ("here", "elsewhere", "because"),
    [
        (Tally(0, 1), Tally(50, 0), "two may be chance"),
        (Tally(1, 5), Tally(50, 0), "something worked there"),
        (Tally(0, 9), Tally(3, 0), "too little is known of the others"),
        (Tally(0, 9), Tally(10, 5), "the model fails everywhere"),
        (Tally(0, 2), Tally(5, 1), "it is not sure enough"),
    ],
)
def test_the_model_has_the_blame_where_the_evidence_is_thin(here: Tally, elsewhere: Tally, because: str) -> None:
    assert judged(here, elsewhere) is None, because


@pytest.mark.parametrize(
    "tail",
    [
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "torch.AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or unavailable\n",
        "RuntimeError: No CUDA-capable device is detected",
        "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.",
        "Failed to initialize NVML: Unknown Error",
    ],
)
def test_the_words_of_a_broken_card_are_enough_where_trials_succeed_elsewhere(tail: str) -> None:
    found = judged(Tally(), Tally(1, 0), gpus=True, tail=tail)
    assert found is not None
    assert found.startswith("its GPU seems to be broken")
    assert judged(Tally(), Tally(0, 1), gpus=True, tail=tail) is None
    assert judged(Tally(), Tally(1, 0), gpus=False, tail=tail) is None


@pytest.mark.parametrize("tail", ["CUDA out of memory. Tried to allocate 2 GiB", "ValueError: lr", ""])
def test_other_words_are_the_models(tail: str) -> None:
    assert judged(Tally(), Tally(9, 0), gpus=True, tail=tail) is None
