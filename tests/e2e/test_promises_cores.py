"""Cores are held by one pinned trial at a time, whichever worker it runs under."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.scene import launch, reached, write
from tests.testbeds.home import Home

CORES = len(os.sched_getaffinity(0))
HOLD_CORE = (
    "core=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status);"
    "mkdir {held}/$core || exit 9; sleep 0.3; rmdir {held}/$core; echo core=$core; echo loss={x}"
)


@pytest.mark.skipif(CORES < 2, reason="one core alone is nobody else's")
def test_pinned_trials_of_two_experiments_share_no_core(home: Home, tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    hold = HOLD_CORE.replace("{held}", str(tmp_path / "held"))
    keys = {"resources": {"cpu": 1, "pin": True}, "budget": 6, "parallelism": 2}
    handles = [launch(home, write(tmp_path / name, hold, **keys)) for name in ("one", "two")]
    for handle in handles:
        status = reached(home, handle, "completed")
        assert (status["counts"]["completed"], status["counts"]["failed"]) == (6, 0)
    logs = "".join(home.run("logs", handle).stdout for handle in handles)
    assert "not pinned" not in logs
    assert len({line.rpartition("core=")[2] for line in logs.splitlines() if "core=" in line}) > 1
