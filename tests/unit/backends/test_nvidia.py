"""Parsing the output of `nvidia-smi`."""

from __future__ import annotations

from orchestune.backends import nvidia
from orchestune.domain.resources.gpus import Gpu

LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-a)
GPU 1: Tesla T4 (UUID: GPU-2)
"""
MEMORY = "GPU-1, 40960\nGPU-2, 15360\n"


def test_cards_have_a_model_and_a_size() -> None:
    gpus = nvidia.visible(nvidia.cards(LISTED, MEMORY), None, by_uuid=False)
    assert gpus == (
        Gpu("MIG-a", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20 * 2**30),
        Gpu("1", "Tesla T4", 15 * 2**30),
    )


def test_sizes_that_are_not_told_are_not_known() -> None:
    (_, other) = nvidia.visible(nvidia.cards(LISTED, "[N/A]\n"), None, by_uuid=True)
    assert other == Gpu("GPU-2", "Tesla T4", 0)


def test_cards_of_a_driver_that_comes_late_are_found_and_a_machine_without_any_is_seldom_asked() -> None:
    now, query_times = [0.0], list[float]()
    gpus: tuple[Gpu, ...] = ()

    def ask() -> tuple[Gpu, ...]:
        query_times.append(now[0])
        return gpus

    cards = nvidia.GpuDiscovery(ask, lambda: now[0])
    for second in range(0, 10_000, 10):
        now[0] = float(second)
        assert cards.here() == ()
    assert query_times == [0, 60, 180, 420, 900, 1860, 3780, 7380]
    gpus = (Gpu("0"),)
    now[0] = 20_000.0
    assert [cards.here() for _ in range(3)] == [gpus] * 3
    now[0] = 90_000.0
    assert cards.here() == gpus
    assert len(query_times) == 9
