"""The files of a trial, fetched one by one."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

import pytest

from orchestune.errors import NotFound
from orchestune.services.bundles import blob_key
from orchestune.services.core import Core
from orchestune.services.queries import read_trials
from orchestune.store import artifacts
from orchestune.store.artifacts import ArtifactRow
from tests.testbeds.seed import ACCURACY, SGD, Plan, Writer, core_of
from tests.testbeds.steps import steps

MODEL = b"weights"
DIGEST = hashlib.sha256(MODEL).hexdigest()


def keep(core: Core, experiment: str, numbers: range) -> None:
    with core.store.transaction() as session:
        files = [
            ArtifactRow(experiment, 1, f"out/{number}.pt", "a", DIGEST, len(MODEL), created_at=1.0)
            for number in numbers
        ]
        artifacts.put(session, files)


def test_each_file_is_found_without_all_others(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    core.files.put(blob_key(DIGEST), io.BytesIO(MODEL))
    plan = Plan("files", SGD, ACCURACY, lambda values, chance: ("completed", {"accuracy": 0.5}, None), 1, 1)
    writer = Writer(core.store, plan, random.Random(1))
    ref = writer.write()
    counts = []
    for numbers in (range(10), range(10, 1000)):
        keep(core, writer.id, numbers)

        def fetch() -> None:
            stream, size = read_trials.open_artifact(core, ref, 1, "out/7.pt")
            with stream:
                assert (stream.read(), size) == (MODEL, len(MODEL))

        counts.append(steps(core.store, fetch))
    assert len(read_trials.artifacts(core, ref, 1)) == 1000
    with pytest.raises(NotFound, match=r"trial 1 has no artifact 'out/1000.pt'"):
        read_trials.open_artifact(core, ref, 1, "out/1000.pt")
    with pytest.raises(NotFound, match="has no trial 2"):
        read_trials.artifacts(core, ref, 2)
    core.store.close()
    assert counts[1] < 1.5 * counts[0]
