"""EKS: add-ons, which live in the cluster and are healthy only where it has machines."""

from __future__ import annotations

import json
from typing import Any

from tests.testbeds.aws.eks import trust
from tests.testbeds.aws.eks.catalog import ADDONS, SCHEMA, builds
from tests.testbeds.aws.eks.clusters import Cluster, Clusters
from tests.testbeds.aws.eks.nodegroups import Nodegroups
from tests.testbeds.aws.eks.pods import PodIdentities
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import Becoming, World, arn

NEED_MACHINES = ("coredns", "aws-ebs-csi-driver", "metrics-server", "snapshot-controller", "cert-manager")
"""those with Deployments; DaemonSets are complete without a node"""


class Addons:
    """The add-ons of all clusters."""

    def __init__(self, world: World, clusters: Clusters, nodegroups: Nodegroups, pods: PodIdentities) -> None:
        self._world, self._clusters, self._nodegroups, self._pods = world, clusters, nodegroups, pods

    def of(self, call: Call) -> tuple[Cluster, Becoming]:
        cluster, name = self._clusters.of(call), call.parameters["addonName"]
        addon = cluster.addons.get(name)
        if addon is None:
            text = f"No addon: {name} found in cluster: {cluster.name}"
            raise Refused("ResourceNotFoundException", text, 404, clusterName=cluster.name, addonName=name)
        return cluster, addon

    def create_addon(self, call: Call) -> dict[str, Any]:
        cluster, request = self._clusters.ready(call), call.parameters
        name = request["addonName"]
        if name in cluster.addons:
            raise Refused(
                "ResourceInUseException", "Addon already exists.", 409, clusterName=cluster.name, addonName=name
            )
        self._check(call, cluster)
        document = {
            "addonName": name, "clusterName": cluster.name, "status": "CREATING", "health": {"issues": []},
            "addonVersion": request.get("addonVersion", builds(name)[1] if name in ADDONS else ""),
            "addonArn": arn(call, f"addon/{cluster.name}/{name}/{self._world.identifier()}"),
            "createdAt": self._world.now, "modifiedAt": self._world.now, "tags": request.get("tags", {}),
        }  # fmt: skip
        for key in ("serviceAccountRoleArn", "configurationValues"):
            if key in request:
                document[key] = request[key]
        if "podIdentityAssociations" in request:
            document["podIdentityAssociations"] = self._pods.own(call, cluster, document["addonArn"])
        addon = cluster.addons[name] = Becoming(document)
        addon.begin("CREATING", self._world.behaviour.polls, lambda: self._created(cluster, addon))
        return {"addon": document}

    def _check(self, call: Call, cluster: Cluster) -> None:
        request = call.parameters
        name, version = request["addonName"], request.get("addonVersion")
        if name not in ADDONS:
            raise Refused("InvalidParameterException", "Addon specified is not supported", addonName=name)
        if version is not None and version not in builds(name):
            text = f"Addon version specified is not supported, AddonName: {name}, Version: {version}"
            raise Refused("InvalidParameterException", text, clusterName=cluster.name, addonName=name)
        if "serviceAccountRoleArn" in request and self._world.role(request["serviceAccountRoleArn"]) is None:
            raise Refused("InvalidParameterException", "The role provided does not exist", addonName=name)
        for association in request.get("podIdentityAssociations", ()):
            trust.check(self._world, association["roleArn"], "pods.eks.amazonaws.com", "role")
        if "configurationValues" in request:
            _configuration(request["configurationValues"], name)

    def _created(self, cluster: Cluster, addon: Becoming) -> None:
        name = addon.document["addonName"]
        if name in NEED_MACHINES and not self._nodegroups.running(cluster):
            text = "The add-on is unhealthy because it doesn't have the desired number of replicas."
            issue = {"code": "InsufficientNumberOfReplicas", "message": text, "resourceIds": []}
            addon.document.update(status="DEGRADED", health={"issues": [issue]})
            addon.left, addon.then = 1, lambda: self._created(cluster, addon)
            return
        addon.document.update(status="ACTIVE", health={"issues": []})

    def describe_addon(self, call: Call) -> dict[str, Any]:
        self.of(call)[1].look()
        return {"addon": self.of(call)[1].document}

    def list_addons(self, call: Call) -> dict[str, Any]:
        return {"addons": sorted(self._clusters.of(call).addons)}

    def delete_addon(self, call: Call) -> dict[str, Any]:
        cluster, addon = self.of(call)
        name = addon.document["addonName"]

        def remove() -> None:
            cluster.addons.pop(name, None)
            for identity in addon.document.get("podIdentityAssociations", ()):
                cluster.associations.pop(identity.rpartition("/")[2], None)

        addon.begin("DELETING", self._world.behaviour.polls, remove)
        return {"addon": addon.document}

    def update_addon(self, call: Call) -> dict[str, Any]:
        cluster, addon = self.of(call)
        self._check(call, cluster)
        for key in ("addonVersion", "serviceAccountRoleArn", "configurationValues"):
            if key in call.parameters:
                addon.document[key] = call.parameters[key]
        if "podIdentityAssociations" in call.parameters:
            for identity in addon.document.pop("podIdentityAssociations", ()):
                cluster.associations.pop(identity.rpartition("/")[2], None)
            addon.document["podIdentityAssociations"] = self._pods.own(call, cluster, addon.document["addonArn"])
        return self._clusters.begin_update(cluster, "AddonUpdate", addon)


def _configuration(text: str, addon: str) -> None:
    start = "ConfigurationValue provided in request is not supported: "
    try:
        values = json.loads(text)
    except ValueError as exc:
        raise Refused("InvalidParameterException", f"{start}{text} is not a valid JSON", addonName=addon) from exc
    for key in values:
        if key not in SCHEMA["properties"]:  # type: ignore[operator]
            why = f"$.{key}: is not defined in the schema and the schema does not allow additional properties"
            text = f"{start}Json schema validation failed with error: [{why}]"
            raise Refused("InvalidParameterException", text, addonName=addon)
