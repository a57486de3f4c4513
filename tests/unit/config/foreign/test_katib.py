"""Experiments of Katib as ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document.nodes import plain
from orchestune.config.foreign import reading
from orchestune.config.sources.draft import Draft
from orchestune.errors import BadInput

KATIB = """\
---
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata:
  name: random
spec:
  objective:
    type: minimize
    goal: 0.001
    objectiveMetricName: loss
  algorithm:
    algorithmName: random
  parallelTrialCount: 3
  maxTrialCount: 12
  maxFailedTrialCount: 2
  parameters:
    - name: lr
      parameterType: double
      feasibleSpace: {min: "0.01", max: "0.05", distribution: logUniform}
    - name: momentum
      parameterType: double
      feasibleSpace: {min: "0.5", max: "0.9", step: "0.1"}
    - name: layers
      parameterType: int
      feasibleSpace: {min: "1", max: "5"}
    - name: opt
      parameterType: categorical
      feasibleSpace: {list: [sgd, adam]}
    - name: width
      parameterType: discrete
      feasibleSpace: {list: ["0", "16", "0.5"]}
  trialTemplate:
    primaryContainerName: training
    trialParameters:
      - {name: learningRate, description: how fast, reference: lr}
      - {name: layers, reference: layers}
      - {name: width, reference: width}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            containers:
              - name: training
                image: docker.io/team/mnist:latest
                command: [python3, /opt/mnist.py, --epochs=1, "--lr=${trialParameters.learningRate}"]
                args: ["--width", "${trialParameters.width}"]
                env: [{name: LAYERS, value: "${trialParameters.layers}"}, {name: MODE, value: "fast"}]
                resources: {limits: {memory: 1Gi, cpu: "0.5", nvidia.com/gpu: 1}}
                volumeMounts: [{name: data, mountPath: /data, readOnly: true}, {name: shm, mountPath: /dev/shm}]
            volumes:
              - {name: data, persistentVolumeClaim: {claimName: mnist}}
              - {name: shm, emptyDir: {medium: Memory, sizeLimit: 2Gi}}
            nodeSelector: {disk: ssd}
            serviceAccountName: trainer
            restartPolicy: Never
"""


def read(folder: Path, text: str) -> Draft:
    (folder / "katib.yaml").write_text(text)
    return reading.read(str(folder / "katib.yaml"))


def draft_of(folder: Path, old: str = "", new: str = "") -> tuple[dict[str, Any], tuple[str, ...]]:
    assert old in KATIB
    draft = read(folder, KATIB.replace(old, new))
    return plain(draft.document), draft.notes


def test_an_experiment_of_katib_becomes_the_same_one_here(tmp_path: Path) -> None:
    document, notes = draft_of(tmp_path)
    assert document == {
        "name": "random",
        "run": "env LAYERS={layers} python3 /opt/mnist.py --epochs=1 --lr={lr} --width {width}",
        "parameters": {
            "lr": "0.01..0.05 log", "momentum": "0.5..0.9 step 0.1", "layers": "1..5", "opt": ["sgd", "adam"],
            "width": [0, 16, 0.5],
        },
        "metrics": {"loss": {"goal": "minimize", "take": "best"}},
        "budget": 12,
        "parallelism": 3,
        "engine": "random",
        "stop": {"target": 0.001, "max_failures": 2},
        "env": {"MODE": "fast"},
        "image": "docker.io/team/mnist:latest",
        "resources": {"cpu": 0.5, "memory": "1Gi", "gpu": 1},
        "volumes": [{"claim": "mnist", "mount": "/data", "read_only": True}],
        "shm": "2Gi",
        "service_account": "trainer",
        "pod": {"spec": {"nodeSelector": {"disk": "ssd"}}},
    }  # fmt: skip
    assert notes == ()


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("algorithmName: random", "algorithmName: enas", "enas has no counterpart, the engine is auto"),
        ("algorithmName: random", "algorithmName: tpe\n    algorithmSettings: [{name: n_startup_trials, value: '5'}]",
         "the setting n_startup_trials=5 has no effect"),
        ("  name: random", "  name: random\n  namespace: ml", "namespace ml"),
        ("    goal: 0.001", "    additionalMetricNames: [acc]", "all reported values are recorded: acc"),
        ("  parallelTrialCount: 3", "  nasConfig: {}", "has no counterpart: nasConfig"),
        ("  maxTrialCount: 12\n", "", "without maxTrialCount"),
        ('{name: MODE, value: "fast"}', "{name: KEY, valueFrom: {secretKeyRef: {name: a, key: b}}}",
         "KEY comes from the cluster"),
        ("--epochs=1", "'${trialSpec.Name}'", "${trialSpec.…} has no counterpart"),
        ("            restartPolicy: Never", "            initContainers: []", "counterpart: initContainers"),
        ("  parallelTrialCount: 3", "  metricsCollectorSpec: {collector: {kind: PrometheusMetric}}",
         "the collector PrometheusMetric"),
        ("  parallelTrialCount: 3", "  earlyStopping: {algorithmName: other}", "other has no counterpart"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_told(old: str, new: str, note: str, tmp_path: Path) -> None:
    assert [text for text in draft_of(tmp_path, old, new)[1] if note in text]


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("normal", {"type": "float", "min": 0.01, "max": 0.05, "prior": {"mean": 0.03, "std": 0.00666667}}),
        ("logNormal", {"type": "float", "min": 0.01, "max": 0.05, "log": True,
                       "prior": {"median": 0.0223607, "factor": 1.30766}}),
        ("uniform", "0.01..0.05"),
    ],
)  # fmt: skip
def test_a_normal_distribution_is_a_prior_with_three_deviations_to_each_bound(
    distribution: str, expected: Any, tmp_path: Path
) -> None:
    document, notes = draft_of(tmp_path, "logUniform", distribution)
    assert (document["parameters"]["lr"], notes) == (expected, ())


@pytest.mark.parametrize(
    ("name", "engine"), [("tpe", "tpe"), ("bayesianoptimization", "gp"), ("cmaes", "cma"), ("sobol", "sobol")]
)
def test_the_algorithm_is_the_engine_that_does_the_same(name: str, engine: str, tmp_path: Path) -> None:
    document, notes = draft_of(tmp_path, "algorithmName: random", f"algorithmName: {name}")
    assert (document["engine"], notes) == (engine, ())


def test_a_range_of_one_value_is_that_value(tmp_path: Path) -> None:
    document, _ = draft_of(tmp_path, '{min: "1", max: "5"}', '{min: "3", max: "3"}')
    assert document["parameters"]["layers"] == [3]


def test_median_stopping_and_event_files_are_taken_over(tmp_path: Path) -> None:
    early = "earlyStopping: {algorithmName: medianstop, algorithmSettings: [{name: start_step, value: '4'}]}"
    collector = "metricsCollectorSpec: {collector: {kind: TensorFlowEvent}, source: {fileSystemPath: {path: runs}}}"
    document, notes = draft_of(tmp_path, "  parallelTrialCount: 3", f"  {early}\n  {collector}")
    assert document["early_stopping"] == {"type": "median", "min_steps": 4}
    assert document["collect"] == {"tensorboard": "runs"}
    assert notes == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      spec:\n        template:", "      spec:\n        activeDeadlineSeconds: 300\n        template:"),
        (
            "            restartPolicy: Never",
            "            restartPolicy: Never\n            activeDeadlineSeconds: 300",
        ),
    ],
)
def test_a_deadline_of_the_job_or_of_its_pod_is_the_timeout(old: str, new: str, tmp_path: Path) -> None:
    document, notes = draft_of(tmp_path, old, new)
    assert (document["timeout"], notes) == ("300s", ())


def test_of_a_training_job_the_first_pod_is_taken(tmp_path: Path) -> None:
    head, _, pod = KATIB.partition("      kind: Job\n      spec:\n")
    job = "      kind: PyTorchJob\n      spec:\n        pytorchReplicaSpecs:\n          Master:\n"
    draft = read(tmp_path, head + job + "".join(f"    {line}\n" for line in pod.splitlines()))
    assert plain(draft.document)["image"] == "docker.io/team/mnist:latest"
    assert [note for note in draft.notes if "only the Master pod of the PyTorchJob is used" in note]


def test_without_a_command_the_image_decides_and_that_is_not_known_here(tmp_path: Path) -> None:
    command = 'command: [python3, /opt/mnist.py, --epochs=1, "--lr=${trialParameters.learningRate}"]'
    args = 'args: ["--width", "${trialParameters.width}"]'
    draft = read(tmp_path, KATIB.replace(command, "tty: true").replace(args, "stdin: false"))
    assert "run" not in plain(draft.document)
    assert [note for note in draft.notes if "entry point of the image is unknown" in note]


def test_a_trial_in_a_config_map_is_refused_with_its_place(tmp_path: Path) -> None:
    head = KATIB.partition("    trialSpec:")[0]
    with pytest.raises(BadInput) as error:
        read(tmp_path, f"{head}    configMap: {{configMapName: x}}\n")
    assert "katib.yaml:33:5: spec.trialTemplate.configMap: the trial template is in a ConfigMap" in str(error.value)


def test_what_is_missing_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "katib.yaml"
    path.write_text("apiVersion: kubeflow.org/v1beta1\nkind: Experiment\nspec: {parameters: []}\n")
    with pytest.raises(BadInput, match=r"katib\.yaml:\d+:\d+: spec\.trialTemplate\.trialSpec: has no container"):
        reading.read(str(path))


def test_names_that_none_can_have_here_are_written_otherwise(tmp_path: Path) -> None:
    text = KATIB.replace("- name: lr\n", "- name: --lr\n").replace("reference: lr}", "reference: --lr}")
    draft = read(tmp_path, text.replace("--epochs=1", "'--epochs=${trialParameters.trial}'").replace(
        "    trialParameters:\n", "    trialParameters:\n      - {name: trial, reference: '${trialSpec.Name}'}\n"
    ))  # fmt: skip
    document = plain(draft.document)
    assert next(iter(document["parameters"])) == "lr"
    assert document["run"] == "env LAYERS={layers} python3 /opt/mnist.py --epochs=trial --lr={lr} --width {width}"
    assert [note for note in draft.notes if note.startswith("parameters.--lr: renamed to lr: ")]


@pytest.mark.parametrize(
    ("strategy", "take", "noted"),
    [("min", "best", False), ("latest", "last", False), ("max", "last", True)],
)
def test_the_strategy_of_a_metric_says_which_value_counts(
    tmp_path: Path, strategy: str, take: str, noted: bool
) -> None:
    more = f"objectiveMetricName: loss\n    metricStrategies: [{{name: loss, value: {strategy}}}]"
    path = tmp_path / "katib.yaml"
    path.write_text(KATIB.replace("objectiveMetricName: loss", more))
    draft = reading.read(str(path))
    assert plain(draft.document)["metrics"] == {"loss": {"goal": "minimize", "take": take}}
    assert any("the strategy max has no counterpart" in note for note in draft.notes) is noted
