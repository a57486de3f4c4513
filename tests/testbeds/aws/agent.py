"""EKS Pod Identity: what the service adds to pods, and the agent on each machine that gives them their role.

The service changes the pods of an associated account as they are made; then the SDK in them asks the agent, which
stands at a link-local address, with a token of Kubernetes.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from tests.testbeds.aws.eks.clusters import Clusters
from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.wire import Incoming
from tests.testbeds.aws.world import World

PATH = "/v1/credentials"
ADDRESS = "169.254.170.23"
AUDIENCE = "pods.eks.amazonaws.com"
_MOUNT = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
_NAME = "eks-pod-identity-token"


class Agent:
    """Of every machine."""

    def __init__(self, world: World, clusters: Clusters) -> None:
        self._world, self._clusters = world, clusters

    def answer(self, request: Incoming) -> tuple[int, dict[str, Any]]:
        """Status and document: the credentials of the role that the token's account is associated with."""
        claims = _claims(request.headers.get("Authorization", ""))
        about = claims.get("kubernetes.io", {})
        account = (about.get("namespace"), about.get("serviceaccount", {}).get("name"))
        if AUDIENCE not in claims.get("aud", ()):
            return 400, {"message": "InvalidTokenException: the token is for somebody else"}
        for cluster in self._clusters.known.values():
            for association in cluster.associations.values():
                if (association["namespace"], association["serviceAccount"]) == account:
                    who = self._world.take_on(association["roleArn"], f"eks-{cluster.name}-{account[1]}")
                    return 200, {
                        "AccessKeyId": who.access_key, "SecretAccessKey": who.secret, "Token": who.token,
                        "AccountId": ACCOUNT, "Expiration": datetime(2036, 1, 1, tzinfo=UTC).isoformat(),
                    }  # fmt: skip
        return 400, {"message": f"ResourceNotFoundException: no association of {account}"}


def _claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1] if token.count(".") == 2 else ""
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)) or "{}")
    return claims


def admission(account: str, namespace: str, more: dict[str, str]) -> list[dict[str, Any]]:
    """Return the patch for pods of a service account as EKS makes it; `more` are other variables that they get."""
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{ADDRESS}{PATH}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{_MOUNT}/{_NAME}",
        **more,
    }
    where = "/spec/containers/0"
    patches = [_added(f"{where}/env", "containers.env", name=name, value=value) for name, value in variables.items()]
    patches.append(_added(f"{where}/volumeMounts", "containers.volumeMounts", name=_NAME, mountPath=_MOUNT))
    token = {"audience": AUDIENCE, "expirationSeconds": 86400, "path": _NAME}
    patches.append(
        _added("/spec/volumes", "volumes", name=_NAME, projected={"sources": [{"serviceAccountToken": token}]})
    )
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    condition = (
        f'object.spec.?serviceAccountName.orValue("") == "{account}" && object.metadata.namespace == "{namespace}"'
    )
    head = {"apiVersion": "admissionregistration.k8s.io/v1"}
    return [
        {
            **head, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "pod-identity"},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]}, "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "matchConditions": [{"name": "associated", "expression": condition}],
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{', '.join(patches)}]"}}],
            },
        },
        {
            **head, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "pod-identity"},
            "spec": {"policyName": "pod-identity"},
        },
    ]  # fmt: skip


def _added(path: str, kind: str, **value: Any) -> str:
    """One more in a list of the pod, in CEL."""
    return f'JSONPatch{{op: "add", path: "{path}/-", value: {_object(f"Object.spec.{kind}", value)}}}'


def _object(kind: str, value: Any) -> str:
    """Values in CEL, whose objects have types that are named by where they stand."""
    if isinstance(value, dict):
        pairs = [f"{name}: {_object(kind + '.' + name, inner)}" for name, inner in value.items()]
        return f"{kind}{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_object(kind, inner) for inner in value)}]"
    return json.dumps(value)
