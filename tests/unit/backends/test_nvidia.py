"""What `nvidia-smi` says."""

from __future__ import annotations

from orchestune.backends import nvidia
from orchestune.domain.cards import Card

LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-a)
GPU 1: Tesla T4 (UUID: GPU-2)
"""
MEMORY = "GPU-1, 40960\nGPU-2, 15360\n"


def test_cards_have_a_model_and_a_size() -> None:
    found = nvidia.visible(nvidia.cards(LISTED, MEMORY), None, by_uuid=False)
    assert found == (
        Card("MIG-a", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20 * 2**30),
        Card("1", "Tesla T4", 15 * 2**30),
    )


def test_sizes_that_are_not_told_are_not_known() -> None:
    (_, other) = nvidia.visible(nvidia.cards(LISTED, "[N/A]\n"), None, by_uuid=True)
    assert other == Card("GPU-2", "Tesla T4", 0)
