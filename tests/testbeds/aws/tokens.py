"""STS, and the tokens that EKS' API servers take: an address of STS, signed in advance."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.testbeds.aws.eks.clusters import ADMIN_POLICY, Clusters
from tests.testbeds.aws.identities import ACCOUNT, Identity
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World

PREFIX = "k8s-aws-v1."


class Tokens:
    """An identity."""

    def __init__(self, world: World, clusters: Clusters) -> None:
        self._world, self._clusters = world, clusters

    def handler(self, call: Call) -> Callable[[Call], dict[str, Any]] | None:
        return {"GetCallerIdentity": self._caller, "AssumeRole": self._assume}.get(call.operation)

    def _caller(self, call: Call) -> dict[str, Any]:
        who = self._world.caller
        assert who is not None
        return {"UserId": who.user_id, "Account": ACCOUNT, "Arn": who.arn}

    def _assume(self, call: Call) -> dict[str, Any]:
        role, who = call.parameters["RoleArn"], self._world.caller
        assert who is not None
        role_entry = self._world.role(role)
        if role_entry is None:
            text = f"User: {who.arn} is not authorized to perform: sts:AssumeRole on resource: {role}"
            raise Refused("AccessDenied", text, 403)
        identity = self._world.identities.assume(who, role_entry.name, call.parameters["RoleSessionName"])
        return {
            "Credentials": {"AccessKeyId": identity.access_key, "SecretAccessKey": identity.secret,
                            "SessionToken": identity.token, "Expiration": datetime(2036, 1, 1, tzinfo=UTC)},
            "AssumedRoleUser": {"AssumedRoleId": identity.user_id, "Arn": identity.arn},
        }  # fmt: skip

    def review(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a TokenReview of Kubernetes, as the authenticator of an EKS cluster gives it."""
        try:
            status = self._status(request["spec"]["token"])
        except (Refused, KeyError, ValueError) as exc:
            status = {"authenticated": False, "error": str(exc)}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}

    def _status(self, token: str) -> dict[str, Any]:
        if not token.startswith(PREFIX):
            raise ValueError("no token of EKS")
        body = token.removeprefix(PREFIX)
        url = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        if query.get("Action") != "GetCallerIdentity" or "x-k8s-aws-id" not in query["X-Amz-SignedHeaders"].split(";"):
            raise ValueError("not an address that says who somebody is")
        for (_, name), cluster in self._clusters.known.items():
            try:
                who = self._world.identities.of_url(url, {"x-k8s-aws-id": name}, datetime.now(UTC))
            except Refused:
                continue
            return self._user(cluster.entries, cluster.policies, who)
        raise ValueError("signed for another cluster, by an unknown key, or too long ago")

    def _user(self, entries: dict[str, Any], policies: dict[str, Any], who: Identity) -> dict[str, Any]:
        entry = entries.get(who.principal)
        if entry is None:
            raise ValueError(f"{who.principal} has no access entry")
        groups = list(entry["kubernetesGroups"])
        if ADMIN_POLICY in policies.get(who.principal, {}):
            groups.append("system:masters")  # EKS has an authorizer of its own for this; the effect is the same
        extra = {"arn": [who.arn], "canonicalArn": [who.principal], "accessKeyId": [who.access_key]}
        user = {"username": who.arn, "uid": f"aws-iam-authenticator:{ACCOUNT}:{who.user_id}", "groups": groups,
                "extra": extra}  # fmt: skip
        return {"authenticated": True, "user": user}
