"""What the API server refuses, in words of ours."""

from __future__ import annotations

import json

import pytest

from orchestune.clusters.existing.failures import Forbidden, refusal
from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, TemporaryError, UsageError

FORBIDDEN = (
    'deployments.apps "x" is forbidden: User "eve" cannot patch resource "deployments" in API group "apps" in the '
    'namespace "ml"'
)
WIDE = 'nodes is forbidden: User "eve" cannot list resource "nodes" in API group "" at the cluster scope'
GRANTING = (
    'roles "x" is forbidden: user "eve" is attempting to grant RBAC permissions not currently held:\n'
    '{APIGroups:["batch"], Resources:["jobs"], Verbs:["watch"]}'
)


@pytest.mark.parametrize(
    ("status", "message", "kind", "said"),
    [
        (401, "Unauthorized", Denied, "credentials are wrong or have expired"),
        (403, FORBIDDEN, Forbidden, "may not patch deployments.apps in the namespace ml"),
        (403, WIDE, Forbidden, "may not list nodes in the whole cluster"),
        (403, GRANTING, Forbidden, '"jobs"'),
        (403, 'pods "x" is forbidden: exceeded quota: small, requested: cpu=2', Denied, "quota: small"),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted"', Denied, "admission rule"),
        (403, "because it is being terminated", TemporaryError, "being removed"),
        (403, "no", Forbidden, "forbids get on /api: no"),
        (404, 'namespaces "ml" not found', NotFound, "there is no namespace ml"),
        (404, "nothing", NotFound, "nothing"),
        (409, "the object has been modified", TemporaryError, "modified"),
        (429, "too many", TemporaryError, "too many"),
        (500, "etcd is away", TemporaryError, "etcd is away"),
        (422, "spec.x is invalid", UsageError, "spec.x is invalid"),
    ],
)
def test_an_answer_becomes_the_error_that_fits(
    status: int, message: str, kind: type[OrchestuneError], said: str
) -> None:
    error = refusal(status, json.dumps({"message": message}), "GET", "/api")
    assert type(error) is kind
    assert said in error.message


def test_an_object_that_exists_is_a_conflict_and_text_that_is_no_document_is_shown() -> None:
    assert type(refusal(409, json.dumps({"message": "x", "reason": "AlreadyExists"}), "POST", "/api")) is Conflict
    assert "bad gateway" in refusal(502, "bad gateway", "GET", "/api").message
