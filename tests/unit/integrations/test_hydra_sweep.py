"""What a sweep of Hydra hands on to its trials."""

from __future__ import annotations

from omegaconf import OmegaConf

from orchestune.integrations.hydra.command import settings


def test_interpolations_in_settings_of_hydra_are_for_the_trial_to_resolve() -> None:
    words = ["hydra.sweep.subdir=${hydra.job.num}", "hydra.job.name=at_${lr}"]
    config = OmegaConf.create({"lr": "???", "hydra": {"job": {"num": "???"}, "given": words}})
    found = settings(config.hydra.given, None, ["loss"])
    assert found[0] == "hydra.job.name=at_${{lr}}"
    assert not any("subdir" in word for word in found)
