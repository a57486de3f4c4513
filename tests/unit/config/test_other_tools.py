"""Files and keys of other tools: what they are, and what they are called here."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.config.foreign.reading import read
from orchestune.errors import UsageError
from tests.unit.config.samples import ALPHA, changed, problems, with_lines

NNI = "experimentName: mnist\nsearchSpaceFile: space.json\ntrialCommand: python mnist.py\ntrialConcurrency: 2\n"
DETERMINED = "entrypoint: python train.py\nhyperparameters: {lr: {type: log}}\nsearcher: {name: adaptive_asha}\n"
SAGEMAKER = '{"HyperParameterTuningJobName": "a", "HyperParameterTuningJobConfig": {"Strategy": "Bayesian"}}'


@pytest.mark.parametrize(
    ("text", "what", "key"),
    [
        (NNI, "an experiment of NNI", "trialCommand `run`"),
        (DETERMINED, "an experiment of Determined", "max_trials `budget`"),
        (SAGEMAKER, "a tuning job of SageMaker", "ParameterRanges become `parameters`"),
    ],
)
def test_a_file_of_another_tool_is_told_as_one_mistake(tmp_path: Path, text: str, what: str, key: str) -> None:
    [message] = problems(text)
    assert message.startswith(f"experiment.yml:1:1: this is {what}, which cannot be imported (") and key in message
    path = tmp_path / "theirs.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"theirs.yml is {what}, which cannot be imported") as refused:
        read(str(path))
    assert key in refused.value.hint


def test_a_key_of_another_tool_beside_a_command_of_ours_is_a_slip() -> None:
    [message] = problems(with_lines("trialConcurrency: 2\ntrialCommand: x").replace("budget: 40\n", "budget: 4\n"))[:1]
    assert message.endswith("trialConcurrency: unknown key (did you mean parallelism?)")


@pytest.mark.parametrize(
    ("key", "replacement"),
    [
        ("max_evals", "budget"),
        ("num_samples", "budget"),
        ("run_cap", "budget"),
        ("maxTrialNumber", "budget"),
        ("maxTrialCount", "budget"),
        ("MaxNumberOfTrainingJobs", "budget"),
        ("max_concurrent_trials", "parallelism"),
        ("parallelTrialCount", "parallelism"),
        ("maxFailedTrialCount", "stop.max_failures"),
        ("maxExperimentDuration", "stop.time"),
        ("early_terminate", "early_stopping"),
        ("assessor", "early_stopping"),
        ("search_alg", "engine"),
        ("searcher", "engine"),
        ("entrypoint", "run"),
        ("program", "run"),
        ("hyperparameters", "parameters"),
        ("metric", "metrics"),
        ("max_restarts", "retry"),
        ("gpus", "resources.gpu"),
    ],
)
def test_keys_of_other_tools_are_told_as_they_are_called_here(key: str, replacement: str) -> None:
    assert f"{key}: unknown key (did you mean {replacement}?)" in problems(with_lines(f"{key}: 4"))[0]


@pytest.mark.parametrize(
    ("spelling", "hint"),
    [
        ("{type: loguniform, min: 1, max: 2}", "did you mean float with log: true?"),
        ("{type: log, min: 1, max: 2}", "did you mean float with log: true?"),
        ("{_type: uniform, min: 1, max: 2}", "_type: unknown key (did you mean type?)"),
        (
            "{distribution: log_uniform_values, min: 1, max: 2}",
            "distribution: unknown key (did you mean log or prior",
        ),
        ("{minval: 1, max: 2}", "minval: unknown key (did you mean min?)"),
        ("{min: 1, MaxValue: 2}", "MaxValue: unknown key (did you mean max?)"),
        ("{min: 1, max: 2, q: 1}", "q: unknown key (did you mean step?)"),
        ("{vals: [1, 2]}", "vals: unknown key (did you mean values?)"),
        ("loguniform(1e-5, 0.1)", "did you mean 1e-5..0.1 log?"),
        ("tune.uniform(0, 1)", "did you mean 0..1 float?"),
        ("randint(1, 8)", "did you mean 1..8?"),
    ],
)
def test_spellings_of_other_tools_are_told_as_they_are_here(spelling: str, hint: str) -> None:
    assert hint in "\n".join(problems(changed(ALPHA, spelling)))
