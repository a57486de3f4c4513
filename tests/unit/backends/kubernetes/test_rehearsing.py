"""Answers of an API server to a dry run of a Job, in the words of Kubernetes 1.36."""

from __future__ import annotations

from typing import Any, cast

import pytest

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.policy.dry_run import dry_run_job
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import Conflict, OrchestuneError, TemporaryError, Unreachable, UsageError
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.errors import PermissionMissing

CONFIG = KubernetesConfig("lab", "ml", "http://o", "server:1")
POD = {"spec": {"nodeSelektor": {"zone": "a"}, "containers": [{"name": "worker", "env": [{"name": "A", "valu": "b"}]}]}}
HANDLED = 'the cluster refuses this: Job in version "v1" cannot be handled as a Job: '
LABEL = 'the cluster refuses this: Job.batch "x" is invalid: spec.template.labels: Invalid value: "b c"'


class Server:
    """Answers as configured, by the strictness of the request."""

    def __init__(self, strict: OrchestuneError | None = None, otherwise: OrchestuneError | None = None) -> None:
        self.answers = {"Strict": strict, "Ignore": otherwise}
        self.asked: list[str] = []

    def call(self, method: str, path: str, body: dict[str, Any], *, query: dict[str, str]) -> dict[str, Any]:
        assert (method, path) == ("POST", "/apis/batch/v1/namespaces/ml/jobs") and query["dryRun"] == "All"
        self.asked.append(query["fieldValidation"])
        answer = self.answers[query["fieldValidation"]]
        if answer is not None:
            raise answer
        return body


def refusal(server: Server) -> str:
    """Return the message of the dry run; empty if the Job is accepted."""
    try:
        dry_run_job(cast(ApiServer, server), CONFIG, Resources(1), Placement("model:1", pod=POD))
    except UsageError as exc:
        return exc.message
    return ""


def unknown(*paths: str) -> UsageError:
    fields = ", ".join(f'unknown field "{path}"' for path in paths)
    return UsageError(f"{HANDLED}strict decoding error: {fields}")


def test_what_a_pod_does_not_have_is_named() -> None:
    server = Server(unknown("spec.template.spec.nodeSelektor", "spec.template.spec.containers[0].env[3].valu"))
    named = "spec.nodeSelektor, spec.containers[0].env[3].valu"
    assert refusal(server) == f"`pod:` names what a pod of this cluster does not have: {named}"


@pytest.mark.parametrize("later", [None, UsageError(LABEL)])
def test_what_an_older_cluster_does_not_know_of_ours_is_no_mistake(later: UsageError | None) -> None:
    server = Server(unknown("spec.podReplacementPolicy", "spec.template.spec.containers[0].env[1].valueFrom"), later)
    assert refusal(server) == (later.message if later else "")
    assert server.asked == ["Strict", "Ignore"]


def test_what_is_wrong_otherwise_is_told_in_its_words() -> None:
    assert refusal(Server(UsageError(LABEL))) == LABEL


def test_text_of_the_experiment_does_not_skip_the_rehearsal() -> None:
    words = f'{LABEL[:-1]}: admission webhook "policy.lab" does not support dry run"'
    assert refusal(Server(UsageError(words))) == words


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Unreachable("away"),
        TemporaryError("a quota of the namespace has no room"),
        PermissionMissing("the server may not create jobs"),
        Conflict("there is such a Job"),
        UsageError('the cluster refuses this: admission webhook "policy.lab" does not support dry run'),
    ],
)
def test_who_cannot_ask_believes(answer: OrchestuneError | None) -> None:
    assert refusal(Server(answer)) == ""
