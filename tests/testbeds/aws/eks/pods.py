"""EKS: pod identities, the roles that service accounts in a cluster take on."""

from __future__ import annotations

from typing import Any

from tests.testbeds.aws.eks import trust
from tests.testbeds.aws.eks.clusters import Cluster, Clusters
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World, arn


class PodIdentities:
    """The associations of all clusters."""

    def __init__(self, world: World, clusters: Clusters) -> None:
        self._world, self._clusters = world, clusters

    def create_pod_identity_association(self, call: Call) -> dict[str, Any]:
        cluster, request = self._clusters.ready(call), call.parameters
        self._trusted(request["roleArn"])
        for existing in cluster.associations.values():
            if (existing["namespace"], existing["serviceAccount"]) == (request["namespace"], request["serviceAccount"]):
                text = f"Association already exists: {existing['associationId']}"
                raise Refused("ResourceInUseException", text, 409)
        association = self._make(call, cluster, request["namespace"], request["serviceAccount"], request["roleArn"])
        association["tags"] = request.get("tags", {})
        return {"association": association}

    def _make(self, call: Call, cluster: Cluster, namespace: str, account: str, role: str) -> dict[str, Any]:
        identity = f"a-{self._world.number():017x}"
        cluster.associations[identity] = {
            "clusterName": cluster.name, "namespace": namespace, "serviceAccount": account, "roleArn": role,
            "associationArn": arn(call, f"podidentityassociation/{cluster.name}/{identity}"), "tags": {},
            "associationId": identity, "createdAt": self._world.now, "modifiedAt": self._world.now,
            "disableSessionTags": False,
        }  # fmt: skip
        return cluster.associations[identity]

    def own(self, call: Call, cluster: Cluster, owner: str) -> list[str]:
        """The associations that belong to an add-on, as its request wants them; their ARNs."""
        arns = []
        for requested in call.parameters["podIdentityAssociations"]:
            association = self._make(call, cluster, "kube-system", requested["serviceAccount"], requested["roleArn"])
            association["ownerArn"] = owner
            arns.append(association["associationArn"])
        return arns

    def _trusted(self, role: str) -> None:
        role_entry = self._world.role(role)
        if role_entry is not None and "pods.eks.amazonaws.com" not in trust.trusted(
            role_entry.assume_role_policy_document
        ):
            raise Refused("InvalidParameterException", "Trust policy of the role provided is invalid.")
        trust.check(self._world, role, "pods.eks.amazonaws.com", "role")

    def of(self, call: Call) -> tuple[Cluster, dict[str, Any]]:
        cluster, identity = self._clusters.of(call), call.parameters["associationId"]
        if identity not in cluster.associations:
            raise Refused("ResourceNotFoundException", f"No association found for: {identity}", 404)
        return cluster, cluster.associations[identity]

    def describe_pod_identity_association(self, call: Call) -> dict[str, Any]:
        return {"association": self.of(call)[1]}

    def list_pod_identity_associations(self, call: Call) -> dict[str, Any]:
        keys = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId", "ownerArn")
        parameters = call.parameters
        return {
            "associations": [
                {key: association[key] for key in keys if key in association}
                for association in self._clusters.of(call).associations.values()
                if all(parameters.get(key) in (None, association[key]) for key in ("namespace", "serviceAccount"))
            ]
        }

    def update_pod_identity_association(self, call: Call) -> dict[str, Any]:
        _, association = self.of(call)
        if "roleArn" in call.parameters:
            self._trusted(call.parameters["roleArn"])
            association["roleArn"] = call.parameters["roleArn"]
        return {"association": association}

    def delete_pod_identity_association(self, call: Call) -> dict[str, Any]:
        cluster, association = self.of(call)
        del cluster.associations[association["associationId"]]
        return {"association": association}
