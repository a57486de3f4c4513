"""Refusals of an API server in our words, and whether a retry makes sense."""

from __future__ import annotations

import json

import pytest

from orchestune.errors import Conflict, Denied, NotFound, OrchestuneError, TemporaryError, Unreachable, UsageError
from orchestune.kubeapi.errors import (
    ApiCaller,
    Changed,
    PermissionMissing,
    Unauthenticated,
    WatchExpired,
    parsed,
    refusal,
)

SERVER = ApiCaller(
    "the server",
    lambda hint: Unauthenticated("it does not know the token"),
    lambda verb, resource: f"grant its ServiceAccount the verb `{verb}` on `{resource}`",
    is_retrying=True,
)
USER = ApiCaller(
    "you", lambda hint: Denied("log in again", hint), lambda verb, resource: "ask somebody", "cluster 'lab'"
)
NO_JOBS = (
    'jobs.batch is forbidden: User "system:serviceaccount:ml:orchestune-server" cannot create resource "jobs" in API '
    'group "batch" in the namespace "ml"'
)
NO_NODES = 'nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster scope'
GRANTING = (
    'roles "x" is forbidden: user "eve" is attempting to grant RBAC permissions not currently held:\n'
    '{APIGroups:["batch"], Resources:["jobs"], Verbs:["watch"]}'
)
QUOTA = 'pods "x" is forbidden: exceeded quota: small, requested: cpu=2'


def status(message: str, reason: str = "") -> str:
    return json.dumps({"kind": "Status", "message": message, "reason": reason})


@pytest.mark.parametrize(
    ("code", "content", "kind", "message"),
    [
        (401, status("Unauthorized"), Unauthenticated, "does not know the token"),
        (
            403,
            status(NO_JOBS, "Forbidden"),
            PermissionMissing,
            "the server may not create jobs.batch in the namespace ml",
        ),
        (403, status(NO_NODES, "Forbidden"), PermissionMissing, "the server may not list nodes in the whole cluster"),
        (403, status(GRANTING), PermissionMissing, '"jobs"'),
        (403, status(QUOTA), TemporaryError, "a quota of the namespace has no room: exceeded quota: small"),
        (403, status('pods "x" is forbidden: violates PodSecurity "restricted"'), Denied, "admission rule"),
        (403, status("because it is being terminated"), TemporaryError, "being removed"),
        (403, status("denied by policy"), Denied, "the cluster forbids it: denied by policy"),
        (404, status('pods "x" not found', "NotFound"), NotFound, 'pods "x" not found'),
        (404, status('namespaces "ml" not found'), NotFound, "there is no namespace ml"),
        (409, status('jobs.batch "x" already exists', "AlreadyExists"), Conflict, "already exists"),
        (409, status("the object has been modified", "Conflict"), Changed, "has been modified"),
        (410, status("too old resource version"), WatchExpired, "too old"),
        (422, status("spec.template: Invalid value"), UsageError, "the cluster refuses this: spec.template"),
        (429, status("try again"), TemporaryError, "429: try again"),
        (302, "", Unreachable, "it answers 302, and leads elsewhere"),
        (500, "", TemporaryError, "500: status 500"),
        (502, "bad gateway", TemporaryError, "502: bad gateway"),
    ],
)
def test_an_answer_becomes_the_error_that_fits(
    code: int, content: str, kind: type[OrchestuneError], message: str
) -> None:
    error = refusal(code, content, SERVER)
    assert type(error) is kind
    assert message in error.message


def test_a_missing_right_says_who_lacks_it_where_and_what_helps() -> None:
    assert refusal(403, status(NO_JOBS), SERVER).hint == "grant its ServiceAccount the verb `create` on `jobs.batch`"
    yours = refusal(403, status(NO_JOBS), USER)
    assert yours.message == "you may not create jobs.batch in the namespace ml of cluster 'lab'"
    assert yours.hint == "ask somebody"


def test_a_quota_is_waited_for_by_the_server_and_told_to_a_person() -> None:
    assert type(refusal(403, status(QUOTA), SERVER)) is TemporaryError
    assert type(refusal(403, status(QUOTA), USER)) is Denied


@pytest.mark.parametrize("content", ["<html>\n  <title>Sign in</title>", "[]", '"ok"', '{"half": '])
def test_an_answer_of_somebody_else_is_none_of_the_cluster(content: str) -> None:
    with pytest.raises(Unreachable, match="what answers for cluster 'lab' is no API server of Kubernetes"):
        parsed(content, USER)
    assert parsed('{"items": []}', USER) == {"items": []} and parsed("", USER) == {}
