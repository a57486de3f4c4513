"""EKS: access entries, which say who of IAM is who in the cluster."""

from __future__ import annotations

from typing import Any

from tests.testbeds.aws.eks.catalog import POLICIES
from tests.testbeds.aws.eks.clusters import Cluster, Clusters
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World, arn

_RESERVED = ("system:", "eks:", "aws:", "amazon:", "iam:")
_MODE = ("The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this "
         "operation.")  # fmt: skip


class AccessEntries:
    """The entries of all clusters."""

    def __init__(self, world: World, clusters: Clusters) -> None:
        self._world, self._clusters = world, clusters

    def _open(self, call: Call) -> Cluster:
        cluster = self._clusters.ready(call)
        if cluster.document["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
            raise Refused("InvalidRequestException", _MODE)
        return cluster

    def of(self, call: Call) -> tuple[Cluster, dict[str, Any]]:
        cluster, principal = self._open(call), call.parameters["principalArn"]
        if principal not in cluster.entries:
            text = f"The specified principalArn could not be found: {principal}"
            raise Refused("ResourceNotFoundException", text, 404)
        return cluster, cluster.entries[principal]

    def create_access_entry(self, call: Call) -> dict[str, Any]:
        cluster, request = self._open(call), call.parameters
        principal = request["principalArn"]
        if not self._world.principal_exists(principal):
            text = "The specified principalArn is invalid: invalid principal."
            raise Refused("InvalidParameterException", text)
        if principal in cluster.entries:
            text = "The specified access entry resource is already in use on this cluster."
            raise Refused("ResourceInUseException", text, 409)
        for group in request.get("kubernetesGroups", ()):
            if group.startswith(_RESERVED):
                start = group.partition(":")[0] + ":"
                text = f"The kubernetes group name {group} is invalid, it cannot start with {start}"
                raise Refused("InvalidParameterException", text)
        entry = arn(call, f"access-entry/{cluster.name}/{principal.rpartition(':')[2]}/{self._world.identifier()}")
        cluster.entries[principal] = {
            "clusterName": cluster.name, "principalArn": principal, "accessEntryArn": entry,
            "kubernetesGroups": request.get("kubernetesGroups", []), "tags": request.get("tags", {}),
            "createdAt": self._world.now, "modifiedAt": self._world.now, "type": request.get("type", "STANDARD"),
            "username": request.get("username", principal),
        }  # fmt: skip
        return {"accessEntry": cluster.entries[principal]}

    def describe_access_entry(self, call: Call) -> dict[str, Any]:
        return {"accessEntry": self.of(call)[1]}

    def list_access_entries(self, call: Call) -> dict[str, Any]:
        return {"accessEntries": sorted(self._open(call).entries)}

    def update_access_entry(self, call: Call) -> dict[str, Any]:
        _, entry = self.of(call)
        for key in ("kubernetesGroups", "username"):
            if key in call.parameters:
                entry[key] = call.parameters[key]
        return {"accessEntry": entry}

    def delete_access_entry(self, call: Call) -> dict[str, Any]:
        cluster, entry = self.of(call)
        del cluster.entries[entry["principalArn"]]
        cluster.policies.pop(entry["principalArn"], None)
        return {}

    def associate_access_policy(self, call: Call) -> dict[str, Any]:
        cluster, entry = self.of(call)
        policy = call.parameters["policyArn"]
        if policy.rpartition("/")[2] not in POLICIES:
            raise Refused("InvalidParameterException", f"The policyArn {policy} is invalid")
        scope = {"namespaces": [], **call.parameters["accessScope"]}
        associated = {"policyArn": policy, "accessScope": scope, "associatedAt": self._world.now,
                      "modifiedAt": self._world.now}  # fmt: skip
        cluster.policies.setdefault(entry["principalArn"], {})[policy] = associated
        return {"clusterName": cluster.name, "principalArn": entry["principalArn"],
                "associatedAccessPolicy": associated}  # fmt: skip

    def disassociate_access_policy(self, call: Call) -> dict[str, Any]:
        cluster, entry = self.of(call)
        if cluster.policies.get(entry["principalArn"], {}).pop(call.parameters["policyArn"], None) is None:
            raise Refused("ResourceNotFoundException", "The specified policyArn is not associated", 404)
        return {}

    def list_associated_access_policies(self, call: Call) -> dict[str, Any]:
        cluster, entry = self.of(call)
        return {"clusterName": cluster.name, "principalArn": entry["principalArn"],
                "associatedAccessPolicies": list(cluster.policies.get(entry["principalArn"], {}).values())}  # fmt: skip
