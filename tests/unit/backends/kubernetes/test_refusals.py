from __future__ import annotations

import json

import pytest

from orchestune.backends.kubernetes.refusals import Expired, Forbidden, Unauthenticated, refusal
from orchestune.errors import Conflict, Denied, NotFound, TemporaryError, UsageError

NO_JOBS = (
    'jobs.batch is forbidden: User "system:serviceaccount:ml:orchestune-server" cannot create resource "jobs" in API '
    'group "batch" in the namespace "ml"'
)
NO_NODES = 'nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster scope'


def status(message: str, reason: str = "") -> str:
    return json.dumps({"kind": "Status", "message": message, "reason": reason})


@pytest.mark.parametrize(
    ("code", "content", "kind", "message"),
    [
        (403, status(NO_JOBS, "Forbidden"), Forbidden, "the server may not create jobs.batch in the namespace ml"),
        (403, status(NO_NODES, "Forbidden"), Forbidden, "the server may not list nodes in the whole cluster"),
        (403, status('jobs.batch "x" is forbidden: exceeded quota: q, requested: a=1'), TemporaryError, "quota: q"),
        (403, status("denied by policy"), Denied, "the cluster forbids it: denied by policy"),
        (404, status('pods "x" not found', "NotFound"), NotFound, 'pods "x" not found'),
        (409, status('jobs.batch "x" already exists', "AlreadyExists"), Conflict, "already exists"),
        (409, status("the object has been modified", "Conflict"), TemporaryError, "has been modified"),
        (410, status("too old resource version"), Expired, "too old"),
        (401, status("Unauthorized"), Unauthenticated, "does not know the token"),
        (422, status("spec.template: Invalid value"), UsageError, "the cluster refuses this: spec.template"),
        (429, status("try again"), TemporaryError, "429: try again"),
        (503, "upstream is away", TemporaryError, "503: upstream is away"),
        (500, "", TemporaryError, "500: status 500"),
    ],
)
def test_what_is_refused_is_told_and_says_whether_to_try_again(
    code: int, content: str, kind: type[Exception], message: str
) -> None:
    found = refusal(code, content)
    assert type(found) is kind
    assert message in str(found)


def test_a_missing_right_says_what_to_grant() -> None:
    assert refusal(403, status(NO_JOBS)).hint == "grant its ServiceAccount the verb `create` on `jobs.batch`"
