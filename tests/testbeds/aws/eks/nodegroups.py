"""EKS: managed node groups, which are Auto Scaling groups with machines of moto's EC2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.testbeds.aws import cloud, machines
from tests.testbeds.aws.eks import trust
from tests.testbeds.aws.eks.catalog import VERSIONS
from tests.testbeds.aws.eks.clusters import Cluster, Clusters
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import Becoming, World, arn

WANTED_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistry")
"""what the role of a machine needs, or it does not join"""


@dataclass
class Nodegroup(Becoming):
    """A pool of machines."""

    request: dict[str, Any] = field(default_factory=dict)
    types: list[str] = field(default_factory=list)

    @property
    def group(self) -> str:
        return str(self.document["resources"]["autoScalingGroups"][0]["name"])


class Nodegroups:
    """The node groups of all clusters."""

    def __init__(self, world: World, clusters: Clusters) -> None:
        self._world, self._clusters = world, clusters
        self._updates: dict[str, dict[str, Any]] = {}
        """answers by the token of who asked"""

    def of(self, call: Call) -> tuple[Cluster, Nodegroup]:
        cluster, name = self._clusters.of(call), call.parameters["nodegroupName"]
        nodegroup = cluster.nodegroups.get(name)
        if nodegroup is None:
            text = f"No node group found for name: {name}."
            raise Refused("ResourceNotFoundException", text, 404, clusterName=cluster.name, nodegroupName=name)
        assert isinstance(nodegroup, Nodegroup)
        return cluster, nodegroup

    def create_nodegroup(self, call: Call) -> dict[str, Any]:
        cluster, request = self._clusters.ready(call), call.parameters
        name = request["nodegroupName"]
        before = cluster.nodegroups.get(name)
        if isinstance(before, Nodegroup):
            if request.get("clientRequestToken") and before.request == request:
                return {"nodegroup": before.document}
            text = f"NodeGroup already exists with name {name} and cluster name {cluster.name}"
            raise Refused("ResourceInUseException", text, 409, clusterName=cluster.name, nodegroupName=name)
        template = machines.template(call, request.get("launchTemplate"))
        types = request.get("instanceTypes") or [template.get("InstanceType", "t3.medium")]
        self._check(call, cluster, template, types)
        trust.check(self._world, request["nodeRole"], "ec2.amazonaws.com", "nodeRole")
        self._world.service_roles |= {"AWSServiceRoleForAmazonEKSNodegroup", "AWSServiceRoleForAutoScaling"}
        pool = Nodegroup(self._document(call, cluster, types), request=request, types=types)
        cluster.nodegroups[name] = pool
        self._join_entry(call, cluster)
        machines.make_group(self._world, call, pool.group, pool.document, types)
        pool.begin("CREATING", self._world.behaviour.polls, lambda: self._created(call, cluster, pool))
        return {"nodegroup": pool.document}

    def _check(self, call: Call, cluster: Cluster, template: dict[str, Any], types: list[str]) -> None:
        request = call.parameters
        invalid, wrong = "InvalidParameterException", "InvalidRequestException"
        scaling = request.get("scalingConfig", {"minSize": 2, "maxSize": 2, "desiredSize": 2})
        low, high, desired = (scaling.get(key, 2) for key in ("minSize", "maxSize", "desiredSize"))
        if low > desired:
            raise Refused(invalid, f"Minimum capacity {low} can't be greater than desired size {desired}")
        if desired > high:
            raise Refused(invalid, f"desired capacity {desired} can't be greater than max size {high}")
        if "launchTemplate" in request and "diskSize" in request:
            raise Refused(invalid, "Disk size must be specified within the launch template.")
        if "InstanceType" in template and "instanceTypes" in request:
            raise Refused(wrong, "Cannot specify instance types in launch template and API Request")
        for key in ("IamInstanceProfile", "InstanceMarketOptions"):
            if key in template:
                raise Refused(invalid, f"Launch template should not specify {key}. It is reserved.")
        if any("SubnetId" in interface for interface in template.get("NetworkInterfaces", ())):
            raise Refused(invalid, "Launch template should not specify a subnet. It is reserved.")
        if request.get("version", cluster.document["version"]) not in VERSIONS:
            raise Refused(invalid, "Requested Nodegroup release version is not valid")
        for kind in types:
            machines.check_image(kind, request.get("amiType", "AL2023_x86_64_STANDARD"))
        subnet_zones = set(machines.zones(call))
        for subnet in request["subnets"]:
            if subnet not in subnet_zones:
                raise Refused(invalid, f"The subnet ID '{subnet}' does not exist")

    def _document(self, call: Call, cluster: Cluster, types: list[str]) -> dict[str, Any]:
        request, mark = call.parameters, self._world.identifier()
        name = request["nodegroupName"]
        version = request.get("version", cluster.document["version"])
        document = {
            "nodegroupName": name, "nodegroupArn": arn(call, f"nodegroup/{cluster.name}/{name}/{mark}"),
            "clusterName": cluster.name, "version": version, "releaseVersion": f"{version}.2-20260101",
            "createdAt": self._world.now, "modifiedAt": self._world.now, "status": "CREATING",
            "capacityType": request.get("capacityType", "ON_DEMAND"),
            "scalingConfig": request.get("scalingConfig", {"minSize": 2, "maxSize": 2, "desiredSize": 2}),
            "subnets": request["subnets"], "amiType": request.get("amiType", "AL2023_x86_64_STANDARD"),
            "nodeRole": request["nodeRole"], "labels": request.get("labels", {}), "taints": request.get("taints", []),
            "resources": {"autoScalingGroups": [{"name": f"eks-{name}-{mark}"}]}, "health": {"issues": []},
            "updateConfig": request.get("updateConfig", {"maxUnavailable": 1}), "tags": request.get("tags", {}),
        }  # fmt: skip
        for key in ("launchTemplate", "instanceTypes", "diskSize", "nodeRepairConfig", "remoteAccess"):
            if key in request:
                document[key] = request[key]
        document.setdefault("instanceTypes", types)
        return document

    def _join_entry(self, call: Call, cluster: Cluster) -> None:
        """EKS itself lets the machines of its own node groups in."""
        role = call.parameters["nodeRole"]
        if cluster.document["accessConfig"]["authenticationMode"] != "CONFIG_MAP" and role not in cluster.entries:
            entry = arn(call, f"access-entry/{cluster.name}/{role.rpartition(':')[2]}/{self._world.identifier()}")
            cluster.entries[role] = {
                "clusterName": cluster.name, "principalArn": role, "kubernetesGroups": ["system:nodes"],
                "accessEntryArn": entry, "createdAt": self._world.now, "modifiedAt": self._world.now, "tags": {},
                "username": "system:node:{{EC2PrivateDNSName}}", "type": "EC2_LINUX",
            }  # fmt: skip

    def _created(self, call: Call, cluster: Cluster, pool: Nodegroup) -> None:
        desired = pool.document["scalingConfig"]["desiredSize"]
        issues = machines.launch(self._world, call, pool.group, pool.document, pool.types, desired)
        issues += self._unable_to_join(pool, desired)
        pool.document["health"] = {"issues": issues}
        pool.document["status"] = "CREATE_FAILED" if issues else "ACTIVE"

    def _unable_to_join(self, pool: Nodegroup, desired: int) -> list[dict[str, Any]]:
        role = self._world.role(pool.document["nodeRole"])
        names = [policy.rpartition("/")[2] for policy in (role.managed_policies if role else {})]
        if desired and not all(any(name.startswith(policy) for name in names) for policy in WANTED_POLICIES):
            text = "Instances failed to join the kubernetes cluster"
            return [{"code": "NodeCreationFailure", "message": text, "resourceIds": [pool.group]}]
        return []

    def describe_nodegroup(self, call: Call) -> dict[str, Any]:
        _, nodegroup = self.of(call)
        nodegroup.look()
        return {"nodegroup": self.of(call)[1].document}

    def list_nodegroups(self, call: Call) -> dict[str, Any]:
        return {"nodegroups": sorted(self._clusters.of(call).nodegroups)}

    def delete_nodegroup(self, call: Call) -> dict[str, Any]:
        cluster, nodegroup = self.of(call)
        if nodegroup.document["status"] in ("CREATING", "UPDATING"):
            text = f"Nodegroup cannot be deleted while it is {nodegroup.document['status']}"
            raise Refused("ResourceInUseException", text, 409, clusterName=cluster.name)

        def remove() -> None:
            machines.remove_group(call, nodegroup.group)
            cluster.nodegroups.pop(nodegroup.document["nodegroupName"], None)

        nodegroup.begin("DELETING", self._world.behaviour.polls, remove)
        return {"nodegroup": nodegroup.document}

    def update_nodegroup_config(self, call: Call) -> dict[str, Any]:
        token = call.parameters.get("clientRequestToken", "")
        if token not in self._updates:  # a client that lost the answer retries, and gets it
            self._updates[token] = self._update_config(call)
        return self._updates[token]

    def _update_config(self, call: Call) -> dict[str, Any]:
        cluster, nodegroup, request = *self._still(call), call.parameters
        scaling = {**nodegroup.document["scalingConfig"], **request.get("scalingConfig", {})}
        if not scaling["minSize"] <= scaling["desiredSize"] <= scaling["maxSize"]:
            text = f"Minimum capacity {scaling['minSize']} can't be greater than desired size {scaling['desiredSize']}"
            raise Refused("InvalidParameterException", text)
        labels = {**nodegroup.document["labels"], **request.get("labels", {}).get("addOrUpdateLabels", {})}
        for label in request.get("labels", {}).get("removeLabels", ()):
            labels.pop(label, None)
        changed = request.get("taints", {})
        dropped = {(taint["key"], taint["effect"]) for part in changed.values() for taint in part}
        taints = [one for one in nodegroup.document["taints"] if (one["key"], one["effect"]) not in dropped]
        nodegroup.document.update(
            scalingConfig=scaling, labels=labels, taints=taints + changed.get("addOrUpdateTaints", [])
        )
        if "updateConfig" in request:
            nodegroup.document["updateConfig"] = request["updateConfig"]
        machines.resize(self._world, call, nodegroup.group, nodegroup.document, nodegroup.types)
        return self._clusters.begin_update(cluster, "ConfigUpdate", nodegroup)

    def update_nodegroup_version(self, call: Call) -> dict[str, Any]:
        cluster, nodegroup = self._still(call)
        if "launchTemplate" in call.parameters:
            machines.template(call, call.parameters["launchTemplate"])
            nodegroup.document["launchTemplate"] = call.parameters["launchTemplate"]
        version = call.parameters.get("version", cluster.document["version"])
        nodegroup.document.update(version=version, releaseVersion=f"{version}.2-20260101")
        return self._clusters.begin_update(cluster, "VersionUpdate", nodegroup)

    def _still(self, call: Call) -> tuple[Cluster, Nodegroup]:
        cluster, nodegroup = self.of(call)
        if nodegroup.document["status"] not in ("ACTIVE", "DEGRADED"):
            text = "Nodegroup cannot be updated as it is currently not in Active State"
            raise Refused("ResourceInUseException", text, 409, clusterName=cluster.name)
        return cluster, nodegroup

    def running(self, cluster: Cluster) -> int:
        """Return the number of machines of a cluster."""
        autoscaling = cloud.backend("autoscaling", cluster.region)
        groups = [pool.group for pool in cluster.nodegroups.values() if isinstance(pool, Nodegroup)]
        return sum(len(autoscaling.autoscaling_groups[name].instance_states) for name in groups
                   if name in autoscaling.autoscaling_groups)  # fmt: skip
