"""When a machine is to quarantine_reason."""

from __future__ import annotations

import pytest

from orchestune.domain.resources.quarantine import NodeOutcomes, quarantine_reason


def judged(tally: NodeOutcomes, *elsewhere: NodeOutcomes, gpus: bool = False, tail: str = "") -> str | None:
    tallies = {"here": tally} | {f"n{index}": tally for index, tally in enumerate(elsewhere)}
    return quarantine_reason("here", tallies, gpus=gpus, tail=tail)


def test_failures_that_fall_on_one_machine_alone_are_its_own() -> None:
    assert (
        judged(NodeOutcomes(0, 2), NodeOutcomes(6, 0), NodeOutcomes(5, 1))
        == "all 3 trials failed there, and 1 of 12 on other nodes"
    )


@pytest.mark.parametrize(
    ("tally", "elsewhere", "because"),
    [
        (NodeOutcomes(0, 1), NodeOutcomes(50, 0), "two may be chance"),
        (NodeOutcomes(1, 5), NodeOutcomes(50, 0), "something worked there"),
        (NodeOutcomes(0, 9), NodeOutcomes(3, 0), "too little is known of the others"),
        (NodeOutcomes(0, 9), NodeOutcomes(10, 5), "the model fails everywhere"),
        (NodeOutcomes(0, 2), NodeOutcomes(5, 1), "it is not sure enough"),
    ],
)
def test_the_model_has_the_blame_where_the_evidence_is_thin(
    tally: NodeOutcomes, elsewhere: NodeOutcomes, because: str
) -> None:
    assert judged(tally, elsewhere) is None, because


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
    reason = judged(NodeOutcomes(), NodeOutcomes(1, 0), gpus=True, tail=tail)
    assert reason is not None
    assert reason.startswith("its GPU seems to be broken")
    assert judged(NodeOutcomes(), NodeOutcomes(0, 1), gpus=True, tail=tail) is None
    assert judged(NodeOutcomes(), NodeOutcomes(1, 0), gpus=False, tail=tail) is None


@pytest.mark.parametrize("tail", ["CUDA out of memory. Tried to allocate 2 GiB", "ValueError: lr", ""])
def test_other_words_are_the_models(tail: str) -> None:
    assert judged(NodeOutcomes(), NodeOutcomes(9, 0), gpus=True, tail=tail) is None
