"""EKS: control planes and their updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.testbeds.aws import cloud
from tests.testbeds.aws.eks import trust
from tests.testbeds.aws.eks.catalog import DEFAULT_VERSION, VERSIONS, platform
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import Becoming, World, arn

ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


@dataclass
class Cluster(Becoming):
    """A control plane and all that lives and dies with it."""

    region: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    nodegroups: dict[str, Becoming] = field(default_factory=dict)
    addons: dict[str, Becoming] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """associated access policies by principal and policy"""
    associations: dict[str, dict[str, Any]] = field(default_factory=dict)
    updates: dict[str, Becoming] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.document["name"])


@dataclass
class Clusters:
    """All clusters of the account."""

    world: World
    known: dict[tuple[str, str], Cluster] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """to changes of settings, by the token of who asked"""

    def of(self, call: Call, name: str | None = None) -> Cluster:
        """The cluster that a call names. Refused where there is none."""
        name = name or call.parameters.get("clusterName") or call.parameters["name"]
        cluster = self.known.get((call.region, name))
        if cluster is None:
            text = f"No cluster found for name: {name}."
            raise Refused("ResourceNotFoundException", text, 404, clusterName=name)
        return cluster

    def ready(self, call: Call) -> Cluster:
        """Return the cluster, which must be ACTIVE. (An update does not change its status here.)"""
        cluster = self.of(call)
        if cluster.document["status"] not in ("ACTIVE", "UPDATING"):
            text = f"Cluster '{cluster.name}' is not in ACTIVE status"
            raise Refused("InvalidRequestException", text, 400, clusterName=cluster.name)
        return cluster

    def create_cluster(self, call: Call) -> dict[str, Any]:
        request = call.parameters
        name = request["name"]
        before = self.known.get((call.region, name))
        if before is not None:
            if request.get("clientRequestToken") and before.request == request:
                return {"cluster": before.document}
            raise Refused("ResourceInUseException", f"Cluster already exists with name: {name}", 409, clusterName=name)
        if request.get("version", DEFAULT_VERSION) not in VERSIONS:
            raise Refused("InvalidParameterException", "unsupported Kubernetes version", clusterName=name)
        network = self._network(call)
        trust.check(self.world, request["roleArn"], "eks.amazonaws.com", "clusterRole")
        self.world.service_roles.add("AWSServiceRoleForAmazonEKS")
        cluster = Cluster(self._document(call, network), region=call.region, request=request)
        self._interfaces(call, cluster)
        access = request.get("accessConfig", {})
        if access.get("bootstrapClusterCreatorAdminPermissions", True) and self.world.caller:
            self._administrator(call, cluster, self.world.caller.principal)
        cluster.begin("CREATING", self.world.behaviour.polls, lambda: self._created(cluster))
        self.known[call.region, name] = cluster
        return {"cluster": cluster.document}

    def _network(self, call: Call) -> dict[str, Any]:
        network = call.parameters["resourcesVpcConfig"]
        ec2 = cloud.backend("ec2", call.region)
        subnets = {subnet.id: subnet for zone in ec2.subnets.values() for subnet in zone.values()}
        for one in network.get("subnetIds", ()):
            if one not in subnets:
                text = f"The subnet ID '{one}' does not exist (Service: Ec2, Status Code: 400)"
                raise Refused("InvalidParameterException", text)
        chosen = [subnets[one] for one in network.get("subnetIds", ())]
        if len({subnet.availability_zone for subnet in chosen}) < 2:
            raise Refused("InvalidParameterException", "Subnets specified must be in at least two different AZs")
        if len({subnet.vpc_id for subnet in chosen}) > 1:
            raise Refused("InvalidParameterException", "Subnets must be in the same VPC")
        return {
            "subnetIds": [subnet.id for subnet in chosen], "securityGroupIds": network.get("securityGroupIds", []),
            "vpcId": chosen[0].vpc_id, "endpointPublicAccess": network.get("endpointPublicAccess", True),
            "endpointPrivateAccess": network.get("endpointPrivateAccess", False),
            "publicAccessCidrs": network.get("publicAccessCidrs", ["0.0.0.0/0"]),
        }  # fmt: skip

    def _document(self, call: Call, network: dict[str, Any]) -> dict[str, Any]:
        request, version = call.parameters, call.parameters.get("version", DEFAULT_VERSION)
        access = request.get("accessConfig", {})
        return {
            "name": request["name"], "arn": arn(call, f"cluster/{request['name']}"), "createdAt": self.world.now,
            "version": version, "roleArn": request["roleArn"], "resourcesVpcConfig": network,
            "kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16", "ipFamily": "ipv4"},
            "logging": request.get("logging", {"clusterLogging": []}), "status": "CREATING",
            "certificateAuthority": {}, "platformVersion": platform(version), "tags": request.get("tags", {}),
            "accessConfig": {"authenticationMode": access.get("authenticationMode", "CONFIG_MAP"),
                             "bootstrapClusterCreatorAdminPermissions":
                                 access.get("bootstrapClusterCreatorAdminPermissions", True)},
            "upgradePolicy": request.get("upgradePolicy", {"supportType": "EXTENDED"}),
            "deletionProtection": request.get("deletionProtection", False), "health": {"issues": []},
            **({"encryptionConfig": request["encryptionConfig"]} if "encryptionConfig" in request else {}),
        }  # fmt: skip

    def _interfaces(self, call: Call, cluster: Cluster) -> None:
        """The security group and the interfaces that the service keeps in the user's network."""
        ec2, network = cloud.backend("ec2", call.region), cluster.document["resourcesVpcConfig"]
        tags = {f"kubernetes.io/cluster/{cluster.name}": "owned", "aws:eks:cluster-name": cluster.name,
                "Name": f"eks-cluster-sg-{cluster.name}-{self.world.number()}"}  # fmt: skip
        group = ec2.create_security_group(tags["Name"], "EKS created security group", network["vpcId"], tags)
        network["clusterSecurityGroupId"] = group.id
        for subnet in network["subnetIds"][:2]:
            interface = ec2.create_network_interface(
                ec2.get_subnet(subnet), None, group_ids=[group.id], description=f"Amazon EKS {cluster.name}"
            )
            interface.requester_managed = True

    def _administrator(self, call: Call, cluster: Cluster, principal: str) -> None:
        entry = arn(call, f"access-entry/{cluster.name}/{principal.rpartition(':')[2]}/{self.world.identifier()}")
        cluster.entries[principal] = {
            "clusterName": cluster.name, "principalArn": principal, "kubernetesGroups": [], "accessEntryArn": entry,
            "createdAt": self.world.now, "modifiedAt": self.world.now, "tags": {}, "username": principal,
            "type": "STANDARD",
        }  # fmt: skip
        scope = {"type": "cluster", "namespaces": []}
        policy = {"policyArn": ADMIN_POLICY, "accessScope": scope, "associatedAt": self.world.now,
                  "modifiedAt": self.world.now}  # fmt: skip
        cluster.policies[principal] = {ADMIN_POLICY: policy}

    def _created(self, cluster: Cluster) -> None:
        behaviour = self.world.behaviour
        nowhere = f"https://{cluster.name.upper()}.gr7.{cluster.region}.eks.amazonaws.com"
        cluster.document.update(
            status="ACTIVE", endpoint=behaviour.endpoint or nowhere,
            certificateAuthority={"data": behaviour.authority},
            identity={"oidc": {"issuer": f"https://oidc.eks.{cluster.region}.amazonaws.com/id/{cluster.name.upper()}"}},
        )  # fmt: skip

    def describe_cluster(self, call: Call) -> dict[str, Any]:
        cluster = self.of(call)
        cluster.look()
        return {"cluster": self.of(call).document}

    def list_clusters(self, call: Call) -> dict[str, Any]:
        return {"clusters": sorted(name for region, name in self.known if region == call.region)}

    def delete_cluster(self, call: Call) -> dict[str, Any]:
        cluster = self.of(call)
        if cluster.nodegroups:
            raise Refused("ResourceInUseException", "Cluster has nodegroups attached", 409, clusterName=cluster.name,
                          nodegroupName=",".join(cluster.nodegroups))  # fmt: skip
        if cluster.document["status"] != "ACTIVE":
            text = f"Cannot delete because cluster {cluster.name} currently has an update in progress"
            raise Refused("ResourceInUseException", text, 409, clusterName=cluster.name)
        if cluster.document["deletionProtection"]:
            text = f"Cannot delete cluster {cluster.name} because deletion protection is enabled"
            raise Refused("InvalidRequestException", text, clusterName=cluster.name)
        cluster.begin("DELETING", self.world.behaviour.polls, lambda: self.remove(cluster))
        return {"cluster": cluster.document}

    def remove(self, cluster: Cluster) -> None:
        """It is gone, and what the service kept in the network with it."""
        ec2, group = (
            cloud.backend("ec2", cluster.region),
            cluster.document["resourcesVpcConfig"]["clusterSecurityGroupId"],
        )
        for interface in list(ec2.enis.values()):
            if interface.description == f"Amazon EKS {cluster.name}":
                ec2.delete_network_interface(interface.id)
        if not any(group in (one.id for one in interface.group_set) for interface in ec2.enis.values()):
            ec2.delete_security_group(group_id=group)
        del self.known[cluster.region, cluster.name]

    def update_cluster_config(self, call: Call) -> dict[str, Any]:
        token = call.parameters.get("clientRequestToken", "")
        if token not in self.answers:  # a client that lost the answer retries, and gets it
            self.answers[token] = self._update_config(call)
        return self.answers[token]

    def _update_config(self, call: Call) -> dict[str, Any]:
        cluster, request = self.ready(call), call.parameters
        keys = {"resourcesVpcConfig": "EndpointAccessUpdate", "logging": "LoggingUpdate",
                "accessConfig": "AccessConfigUpdate", "upgradePolicy": "UpgradePolicyUpdate",
                "deletionProtection": "DeletionProtectionUpdate"}  # fmt: skip
        for key, kind in keys.items():
            if key in request:
                new = request[key]
                whole = {**cluster.document[key], **new} if isinstance(new, dict) else new
                if whole == cluster.document[key]:
                    break
                return self.begin_update(cluster, kind, then=partial(cluster.document.__setitem__, key, whole))
        raise Refused("InvalidParameterException", "No changes needed for the cluster", clusterName=cluster.name)

    def update_cluster_version(self, call: Call) -> dict[str, Any]:
        cluster, version = self.ready(call), call.parameters["version"]
        if version not in VERSIONS:
            raise Refused("InvalidParameterException", "unsupported Kubernetes version", clusterName=cluster.name)
        cluster.document.update(version=version, platformVersion=platform(version))
        return self.begin_update(cluster, "VersionUpdate")

    def begin_update(
        self, cluster: Cluster, kind: str, owner: Becoming | None = None, then: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """One update at a time: of the cluster, or of the node group or add-on `owner`."""
        target = owner or cluster
        if target.document["status"] == "UPDATING":
            text = f"Cannot {kind} because cluster {cluster.name} currently has update in progress"
            raise Refused("ResourceInUseException", text, 409, clusterName=cluster.name)
        identifier = self.world.identifier()
        document = {"id": identifier, "status": "InProgress", "type": kind, "params": [],
                    "createdAt": self.world.now, "errors": []}  # fmt: skip
        update = cluster.updates[identifier] = Becoming(document)
        target.document["status"] = "UPDATING"

        def done() -> None:
            then()
            document["status"] = "Successful"
            target.document["status"], target.then = "ACTIVE", None
            update.then = None

        update.begin("InProgress", self.world.behaviour.polls, done)
        target.left, target.then = self.world.behaviour.polls, done
        return {"update": dict(document)}

    def describe_update(self, call: Call) -> dict[str, Any]:
        update = self.of(call).updates.get(call.parameters["updateId"])
        if update is None:
            text = f"No update found for id: {call.parameters['updateId']}"
            raise Refused("ResourceNotFoundException", text, 404)
        update.look()
        return {"update": update.document}

    def list_updates(self, call: Call) -> dict[str, Any]:
        return {"updateIds": list(self.of(call).updates)}
