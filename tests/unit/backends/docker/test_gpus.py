from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.backends import nvidia
from orchestune.backends.docker import gpus
from orchestune.domain.resources.gpus import Gpu

LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-b8c0ba0e-6f9e-5e6e-a4a6-4dd5b4a3f3c1)
  MIG 2g.10gb     Device  1: (UUID: MIG-1aa0ba0e-6f9e-5e6e-a4a6-4dd5b4a3f3c2)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77777777-d33d-2b2c-524d-9e3d8d2b8a77)
"""
ONE, TWO = "MIG-b8c0ba0e-6f9e-5e6e-a4a6-4dd5b4a3f3c1", "MIG-1aa0ba0e-6f9e-5e6e-a4a6-4dd5b4a3f3c2"
WHOLE_GPU = "GPU-77777777-d33d-2b2c-524d-9e3d8d2b8a77"


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, (ONE, TWO, WHOLE_GPU)),
        ("1", (WHOLE_GPU,)),
        ("1,0", (WHOLE_GPU, ONE, TWO)),
        ("GPU-7777", (WHOLE_GPU,)),
        (TWO, (TWO,)),
        ("1,9,0", (WHOLE_GPU,)),
        ("1,1", (WHOLE_GPU,)),
        ("", ()),
        ("-1", ()),
    ],
)
def test_cards_and_their_parts_are_known_by_uuid(named: str | None, expected: tuple[str, ...]) -> None:
    visible_gpus = nvidia.visible(nvidia.cards(LISTED), named, by_uuid=True)
    assert tuple(card.id for card in visible_gpus) == expected


@pytest.mark.parametrize("script", ["exit 9", "echo 'No devices were found'"])
def test_a_machine_whose_driver_fails_has_none(tmp_path: Path, script: str) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    assert gpus.ask({"PATH": str(tmp_path)}) == ()
    assert gpus.ask({"PATH": "/nowhere"}) == ()


def test_the_driver_is_asked(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(LISTED)
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] && while read -r line; do echo "$line"; done < {tmp_path}/list\n')
    program.chmod(0o755)
    assert gpus.ask({"PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "1"}) == (Gpu(WHOLE_GPU, "NVIDIA A100-SXM4-40GB"),)
