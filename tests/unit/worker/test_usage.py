"""A worker's report of the processors, the memory and the GPUs that attempts use."""

from __future__ import annotations

import ctypes
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestune.worker.metrics.gpus import GpuUtilization, Nvml, own
from orchestune.worker.metrics.usage import MAX_SAMPLES, Sample, Series

LIBRARY = """
#include <string.h>
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory;
static long ids[] = {1, 2};
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = &ids[index]; return index > 1; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) { *device = &ids[1]; return strcmp(uuid, "GPU-b") != 0; }
int nvmlDeviceGetUtilizationRates(void *device, utilization *found) { found->gpu = 30 * *(long *)device; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory *found) { found->used = 1000 * *(long *)device; return 0; }
"""
"""the calls of NVIDIA's driver library that are made: card 0 is busy for 30 %, card 1 (GPU-b) for 60 %"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(LIBRARY)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "nvml.so", "nvml.c"], cwd=folder, check=True)
    return folder / "nvml.so"


def sample(at: float, cpu: float, busy: GpuUtilization | None = None) -> Sample:
    return Sample(at, cpu, 1000, busy)


def test_cores_are_those_used_since_the_last_sample() -> None:
    series = Series()
    series.add(100.0, sample(110.0, 5.0))
    series.add(100.0, sample(115.0, 15.0, GpuUtilization(0.5, 7)))
    assert series.parts() == [[0, 10.0, 0.5, 1000, None, None], [1, 15.0, 2.0, 1000, 0.5, 7]]


def test_a_sample_that_is_seen_twice_or_too_soon_is_not_told() -> None:
    series = Series()
    for at in (2.0, 5.0, 5.0, 7.0, 9.0):
        series.add(0.0, sample(at, at))
    assert [age for _, age, *_ in series.parts()] == [5.0, 9.0]


def test_of_a_long_attempt_less_is_told() -> None:
    series = Series()
    for second in range(0, 3600, 2):
        series.add(0.0, sample(float(second), float(second)))
    ages = [age for _, age, *_ in series.parts()]
    assert len(ages) < 400
    assert min(later - earlier for earlier, later in pairwise(ages) if earlier > 60) >= 9.9


def test_what_the_server_has_is_not_told_again_and_what_came_meanwhile_is() -> None:
    series = Series()
    series.add(0.0, sample(5.0, 1.0))
    parts = series.parts()
    series.add(0.0, sample(10.0, 2.0))
    series.acknowledge(parts)
    series.acknowledge(parts)  # an answer that comes twice
    assert [number for number, *_ in series.parts()] == [1]


def test_without_a_server_the_oldest_are_forgotten() -> None:
    series = Series()
    for number in range(1, MAX_SAMPLES + 11):
        series.add(0.0, sample(60.0 + 10 * number, float(number)))
    assert len(series.parts()) == MAX_SAMPLES
    old = [[0, *[0] * 5]]
    series.acknowledge(old)  # of one that was dropped since
    assert len(series.parts()) == MAX_SAMPLES


def test_cards_are_asked_by_number_and_by_name(library: Path) -> None:
    cards = Nvml(lambda name: ctypes.CDLL(str(library)))
    assert cards.busy(["0"]) == GpuUtilization(0.3, 1000)
    assert cards.busy(["GPU-b"]) == GpuUtilization(0.6, 2000)
    both = cards.busy(["0", "1"])
    assert both is not None and both.memory == 3000 and both.share == pytest.approx(0.45)


def test_of_cards_that_are_not_known_nothing_is_told(library: Path) -> None:
    cards = Nvml(lambda name: ctypes.CDLL(str(library)))
    assert cards.busy(["0", "7"]) is None
    assert cards.busy(["GPU-other"]) is None
    assert cards.busy([]) is None


def test_a_machine_without_a_driver_is_asked_once() -> None:
    libraries = []

    def load(name: str) -> Any:
        libraries.append(name)
        raise OSError(name)

    cards = Nvml(load)
    assert [cards.busy(["0"]) for _ in range(3)] == [None] * 3
    assert libraries.count("libnvidia-ml.so.1") == 1


@pytest.mark.parametrize(
    ("gpus", "environ", "expected"),
    [
        (["1"], {"NVIDIA_VISIBLE_DEVICES": "GPU-a"}, ("1",)),
        ([], {"NVIDIA_VISIBLE_DEVICES": "GPU-a,GPU-b"}, ("GPU-a", "GPU-b")),
        ([], {"NVIDIA_VISIBLE_DEVICES": "all"}, ()),
        ([], {"NVIDIA_VISIBLE_DEVICES": "void"}, ()),
        ([], {}, ()),
    ],
)
def test_the_cards_of_a_container_are_the_attempts(
    gpus: list[str], environ: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert own(gpus, environ) == expected
