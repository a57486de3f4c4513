"""The users of the cluster's tokens, and the errors of an account without a right."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import pytest

from orchestune.backends.kubernetes.backend import KubernetesBackend
from orchestune.backends.kubernetes.client import as_server, connect
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.policy.identity import ServiceAccounts
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.endpoint import Endpoint
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.kubeconfig import Kubeconfig
from orchestune.kubeapi.tls import trusting
from orchestune.ports.identity import Person
from tests.contract.backend_contract import new_order
from tests.testbeds.kubernetes.access import Access

pytestmark = pytest.mark.timeout(600)
Token = Callable[[str], str]


def end_of(token: str) -> float:
    """The end of a JSON Web Token, as it says itself."""
    claims = token.split(".")[1]
    return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])


@pytest.fixture
def config(namespace: str, kubernetes: Access) -> KubernetesConfig:
    return KubernetesConfig("lab", namespace, "http://o", "server:1", "x:1", kubeconfig=str(kubernetes.kubeconfig))


@pytest.fixture
def token(kubernetes: Access, namespace: str) -> Token:
    """A short-lived token of a new ServiceAccount of that name."""

    def make(name: str) -> str:
        kubernetes.kubectl("create", "serviceaccount", name, "-n", namespace)
        return kubernetes.kubectl("create", "token", name, "-n", namespace).strip()

    return make


@pytest.fixture
def nobody(kubernetes: Access, token: Token) -> Iterator[ApiServer]:
    """An account without any right."""
    read = Kubeconfig.read(str(kubernetes.kubeconfig))
    cluster = read.clusters[read.context(None)[1]["cluster"]]
    headers = {"Authorization": f"Bearer {token('nobody')}"}
    endpoint = Endpoint(cluster.values["server"], lambda: headers, trusting(cluster.values, cluster.folder))
    api = as_server(lambda: endpoint)
    yield api
    api.close()


@pytest.mark.parametrize("may_review", [True, False], ids=["by TokenReview", "by what the token says of itself"])
def test_tokens_of_our_accounts_stand_for_their_roles_and_others_for_nobody(
    config: KubernetesConfig, token: Token, nobody: ApiServer, may_review: bool
) -> None:
    identity = ServiceAccounts(connect(config) if may_review else nobody, config)
    for role in SERVER_ROLES:
        issued = token(f"orchestune-{role}")
        assert identity.who(issued) == Person(f"orchestune-{role}", role, expires_at=end_of(issued))
    assert identity.who(token("orchestune-worker")) is None
    assert identity.who("nonsense") is None
    assert identity.who("") is None


def test_a_missing_right_is_named_with_its_verb_and_resource(config: KubernetesConfig, nobody: ApiServer) -> None:
    backend = KubernetesBackend(config, nobody)
    try:
        with pytest.raises(PermissionMissing, match=r"the server may not list (jobs.batch|pods) in the namespace"):
            backend.start(new_order())
    finally:
        backend.close()
