"""Requests of a sweep of Hydra to the server, and the overrides of its trials."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from omegaconf import OmegaConf

from orchestune.integrations.hydra import sweep
from orchestune.integrations.hydra.command import settings
from orchestune.sdk.parameters import Params
from orchestune.sdk.trial import Trial


class _Experiment:
    """Of three trials, each finished at every other look."""

    def __init__(self) -> None:
        self.looks = 0
        self.fetched: list[int] = []

    def status(self) -> dict[str, Any]:
        self.looks += 1
        counts = {"completed": self.looks // 2, "failed": 0, "pruned": 0}
        return {"state": "completed" if self.looks == 6 else "running", "reason": None, "counts": counts}

    def results(self) -> list[Trial]:
        done = self.looks // 2
        self.fetched.append(done)
        return [
            Trial(number, "completed" if number <= done else "queued", Params(), {"y": 1.0}) for number in (1, 2, 3)
        ]


def test_trials_are_fetched_when_one_has_finished_and_each_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweep, "_POLL_SECONDS", 0.0)
    experiment: Any = _Experiment()
    nothing: Any = None
    with caplog.at_level(logging.INFO, "orchestune"):
        sweep.Sweep(OmegaConf.create({}), nothing, {}, None)._follow(experiment)
    assert experiment.fetched == [1, 2, 3]
    assert [line.split()[1] for line in caplog.messages] == ["1", "2", "3"]


def test_interpolations_in_settings_of_hydra_are_for_the_trial_to_resolve() -> None:
    words = ["hydra.sweep.subdir=${hydra.job.num}", "hydra.job.name=at_${lr}"]
    config = OmegaConf.create({"lr": "???", "hydra": {"job": {"num": "???"}, "given": words}})
    hydra_settings = settings(config.hydra.given, None, ["loss"])
    assert hydra_settings[0] == "hydra.job.name=at_${{lr}}"
    assert not any("subdir" in word for word in hydra_settings)
