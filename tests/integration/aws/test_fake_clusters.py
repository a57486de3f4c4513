"""The fake's EKS, asked with plain boto3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.aws import plain
from tests.testbeds.aws.fake import Fake


def test_a_cluster_takes_a_while_to_become_active_and_to_go(aws: Fake) -> None:
    before = aws.inventory()
    eks, (_, subnets) = plain.client("eks"), plain.network()
    arn = plain.role("control", "eks.amazonaws.com")
    request = {"name": "demo", "roleArn": arn, "resourcesVpcConfig": {"subnetIds": subnets}}
    code, text = plain.refused(lambda: eks.create_cluster(**request))
    assert code == "InvalidParameterException" and "could not be assumed" in text
    assert eks.create_cluster(**request)["cluster"]["status"] == "CREATING"
    states = [eks.describe_cluster(name="demo")["cluster"]["status"] for _ in range(3)]
    assert states == ["CREATING", "ACTIVE", "ACTIVE"]
    eks.delete_cluster(name="demo")
    assert eks.describe_cluster(name="demo")["cluster"]["status"] == "DELETING"
    assert plain.refused(lambda: eks.describe_cluster(name="demo"))[0] == "ResourceNotFoundException"
    inventory = aws.inventory()
    assert inventory["security group"] > before["security group"] and "network interface" not in inventory


def test_the_same_request_with_its_token_is_answered_with_the_same_cluster(aws: Fake) -> None:
    eks = plain.client("eks")
    cluster, subnets = plain.cluster(clientRequestToken="once")
    again = {"name": "demo", "roleArn": cluster["roleArn"], "resourcesVpcConfig": {"subnetIds": subnets},
             "accessConfig": {"authenticationMode": "API"}}  # fmt: skip
    assert eks.create_cluster(clientRequestToken="once", **again)["cluster"]["arn"] == cluster["arn"]
    assert plain.refused(lambda: eks.create_cluster(clientRequestToken="other", **again)) == (
        "ResourceInUseException", "Cluster already exists with name: demo",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": "1.19"}, "unsupported Kubernetes version"),
        ({"resourcesVpcConfig": {"subnetIds": ["subnet-0123456789abcdef0"]}}, "does not exist"),
        ({"resourcesVpcConfig": {"subnetIds": []}}, "at least two different AZs"),
        ({"roleArn": "arn:aws:iam::111122223333:role/nobody"}, "could not be assumed"),
    ],
)
def test_a_cluster_that_eks_would_not_make_is_not_made(aws: Fake, change: dict[str, object], expected: str) -> None:
    _, subnets = plain.network()
    arn = plain.role("control", "eks.amazonaws.com")
    aws.world.unsure_roles.clear()
    request = {"name": "demo", "roleArn": arn, "resourcesVpcConfig": {"subnetIds": subnets}, **change}
    code, text = plain.refused(lambda: plain.client("eks").create_cluster(**request))
    assert code == "InvalidParameterException" and expected in text
    assert "cluster" not in aws.inventory()


def test_machines_of_a_node_group_are_machines_of_ec2_and_go_with_it(aws: Fake) -> None:
    eks, ec2 = plain.client("eks"), plain.client("ec2")
    cluster, subnets = plain.cluster()
    before = aws.inventory()
    request = plain.pool(subnets, nodeRole=plain.node_role())
    plain.patiently(lambda: eks.create_nodegroup(**request), "InvalidParameterException")
    assert plain.refused(lambda: eks.delete_cluster(name="demo")) == (
        "ResourceInUseException", "Cluster has nodegroups attached",
    )  # fmt: skip
    eks.get_waiter("nodegroup_active").wait(clusterName="demo", nodegroupName="cpu", WaiterConfig={"Delay": 0})
    [group] = plain.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert len(group["Instances"]) == 1
    running = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    assert [one["InstanceType"] for reservation in running["Reservations"] for one in reservation["Instances"]] == [
        "m5.large"
    ]
    assert plain.refused(lambda: ec2.delete_subnet(SubnetId=subnets[0]))[0] == "DependencyViolation"
    eks.delete_nodegroup(clusterName="demo", nodegroupName="cpu")
    eks.get_waiter("nodegroup_deleted").wait(clusterName="demo", nodegroupName="cpu", WaiterConfig={"Delay": 0})
    inventory = {kind: names for kind, names in aws.inventory().items() if kind not in ("role", "access entry")}
    assert inventory == {kind: names for kind, names in before.items() if kind not in ("role", "access entry")}
    assert cluster["resourcesVpcConfig"]["clusterSecurityGroupId"] in inventory["security group"]


def test_a_zone_without_machines_fails_the_node_group_that_stands_in_it_alone(aws: Fake) -> None:
    eks = plain.client("eks")
    _, subnets = plain.cluster()
    aws.behaviour.no_capacity.add(("m5.large", "us-west-2a"))
    arn = plain.node_role()
    aws.world.unsure_roles.clear()
    eks.create_nodegroup(**plain.pool(subnets[:1], nodeRole=arn))
    eks.create_nodegroup(**plain.pool(subnets, nodeRole=arn, nodegroupName="both"))
    for _ in range(2):
        alone = eks.describe_nodegroup(clusterName="demo", nodegroupName="cpu")["nodegroup"]
        both = eks.describe_nodegroup(clusterName="demo", nodegroupName="both")["nodegroup"]
    assert (alone["status"], both["status"]) == ("CREATE_FAILED", "ACTIVE")
    [issue] = alone["health"]["issues"]
    assert issue["code"] == "AsgInstanceLaunchFailures"
    assert "InsufficientInstanceCapacity - We currently do not have sufficient m5.large" in issue["message"]


def test_more_machines_than_the_quota_allows_fail_the_node_group(aws: Fake) -> None:
    eks = plain.client("eks")
    _, subnets = plain.cluster()
    aws.behaviour.quotas["L-1216C47A"] = 1
    arn = plain.node_role()
    aws.world.unsure_roles.clear()
    eks.create_nodegroup(**plain.pool(subnets, nodeRole=arn))
    for _ in range(2):
        nodegroup = eks.describe_nodegroup(clusterName="demo", nodegroupName="cpu")["nodegroup"]
    assert (
        nodegroup["status"] == "CREATE_FAILED"
        and "vCPU limit of 1 allows" in nodegroup["health"]["issues"][0]["message"]
    )


def test_an_update_is_one_at_a_time_and_changes_the_number_of_machines(aws: Fake) -> None:
    eks = plain.client("eks")
    _, subnets = plain.cluster()
    arn = plain.node_role()
    aws.world.unsure_roles.clear()
    eks.create_nodegroup(**plain.pool(subnets, nodeRole=arn))
    eks.get_waiter("nodegroup_active").wait(clusterName="demo", nodegroupName="cpu", WaiterConfig={"Delay": 0})
    request = {"clusterName": "demo", "nodegroupName": "cpu", "labels": {"addOrUpdateLabels": {"a": "b"}},
              "scalingConfig": {"minSize": 2, "maxSize": 3, "desiredSize": 2}}  # fmt: skip
    update = eks.update_nodegroup_config(**request)["update"]
    assert plain.refused(lambda: eks.update_nodegroup_config(**request))[0] == "ResourceInUseException"
    query = {"name": "demo", "nodegroupName": "cpu", "updateId": update["id"]}
    assert [eks.describe_update(**query)["update"]["status"] for _ in range(2)] == ["InProgress", "Successful"]
    nodegroup = eks.describe_nodegroup(clusterName="demo", nodegroupName="cpu")["nodegroup"]
    assert (nodegroup["status"], nodegroup["labels"]) == ("ACTIVE", {"a": "b"}) and len(
        aws.inventory()["instance"]
    ) == 2


def test_addons_with_deployments_are_healthy_once_there_is_a_machine(aws: Fake) -> None:
    eks = plain.client("eks")
    _, subnets = plain.cluster()
    versions = eks.describe_addon_versions(kubernetesVersion="1.35", addonName="coredns")["addons"][0]["addonVersions"]
    newest = versions[0]["addonVersion"]
    for name in ("coredns", "vpc-cni"):
        eks.create_addon(clusterName="demo", addonName=name, **({"addonVersion": newest} if name == "coredns" else {}))
    assert plain.refused(lambda: eks.create_addon(clusterName="demo", addonName="coredns")) == (
        "ResourceInUseException", "Addon already exists.",
    )  # fmt: skip

    def state(name: str) -> dict[str, Any]:
        query = {"clusterName": "demo", "addonName": name}
        addons: list[dict[str, Any]] = [eks.describe_addon(**query)["addon"] for _ in range(2)]
        return addons[-1]

    assert (state("coredns")["status"], state("vpc-cni")["status"]) == ("DEGRADED", "ACTIVE")
    assert state("coredns")["health"]["issues"][0]["code"] == "InsufficientNumberOfReplicas"
    arn = plain.node_role()
    aws.world.unsure_roles.clear()
    eks.create_nodegroup(**plain.pool(subnets, nodeRole=arn))
    eks.get_waiter("nodegroup_active").wait(clusterName="demo", nodegroupName="cpu", WaiterConfig={"Delay": 0})
    assert state("coredns")["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"addonName": "tiller"}, "Addon specified is not supported"),
        ({"addonVersion": "v0.0.1-eksbuild.1"}, "Addon version specified is not supported"),
        ({"configurationValues": '{"colour": 1}'}, "$.colour: is not defined in the schema"),
        ({"configurationValues": "colour"}, "is not a valid JSON"),
    ],
)
def test_an_addon_that_eks_would_not_take_is_refused(aws: Fake, change: dict[str, str], expected: str) -> None:
    plain.cluster()
    request = {"clusterName": "demo", "addonName": "coredns", **change}
    code, text = plain.refused(lambda: plain.client("eks").create_addon(**request))
    assert code == "InvalidParameterException" and expected in text


def test_configuration_of_an_addon_has_a_schema(aws: Fake) -> None:
    eks = plain.client("eks")
    [addon] = eks.describe_addon_versions(addonName="aws-ebs-csi-driver")["addons"]
    version = addon["addonVersions"][0]["addonVersion"]
    schema = eks.describe_addon_configuration(addonName="aws-ebs-csi-driver", addonVersion=version)
    assert "defaultStorageClass" in json.loads(schema["configurationSchema"])["properties"]
    assert schema["podIdentityConfiguration"][0]["serviceAccount"] == "ebs-csi-controller-sa"


def test_access_entries_map_those_who_exist_and_never_to_groups_of_the_system(aws: Fake) -> None:
    eks = plain.client("eks")
    plain.cluster()
    bob = aws.world.identities.add("bob").arn
    eks.create_access_entry(clusterName="demo", principalArn=bob, kubernetesGroups=["team"])
    policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    scope = {"type": "namespace", "namespaces": ["default"]}
    eks.associate_access_policy(clusterName="demo", principalArn=bob, policyArn=policy, accessScope=scope)
    policies = eks.list_associated_access_policies(clusterName="demo", principalArn=bob)["associatedAccessPolicies"]
    assert [one["accessScope"] for one in policies] == [scope]
    assert eks.list_access_entries(clusterName="demo")["accessEntries"] == sorted([aws.user.arn, bob])
    again = plain.refused(lambda: eks.create_access_entry(clusterName="demo", principalArn=bob))
    assert again == ("ResourceInUseException", "The specified access entry resource is already in use on this cluster.")
    nobody = "arn:aws:iam::111122223333:role/nobody"
    assert "invalid principal" in plain.refused(
        lambda: eks.create_access_entry(clusterName="demo", principalArn=nobody)
    )[1]  # fmt: skip
    carol = aws.world.identities.add("carol").arn
    masters = ["system:masters"]
    assert "cannot start with system:" in plain.refused(
        lambda: eks.create_access_entry(clusterName="demo", principalArn=carol, kubernetesGroups=masters)
    )[1]  # fmt: skip
    eks.delete_access_entry(clusterName="demo", principalArn=bob)
    assert eks.list_access_entries(clusterName="demo")["accessEntries"] == [aws.user.arn]


def test_a_cluster_with_the_older_map_takes_no_access_entries(aws: Fake) -> None:
    plain.cluster(accessConfig={"authenticationMode": "CONFIG_MAP"})
    code, text = plain.refused(lambda: plain.client("eks").list_access_entries(clusterName="demo"))
    assert code == "InvalidRequestException" and "authentication mode" in text


def test_a_pod_identity_wants_a_role_that_pods_may_take_on(aws: Fake) -> None:
    eks = plain.client("eks")
    plain.cluster()
    request = {"clusterName": "demo", "namespace": "kube-system", "serviceAccount": "scaler"}
    wrong = plain.role("wrong", "ec2.amazonaws.com")
    assert plain.refused(lambda: eks.create_pod_identity_association(roleArn=wrong, **request)) == (
        "InvalidParameterException", "Trust policy of the role provided is invalid.",
    )  # fmt: skip
    right = plain.role("right", "pods.eks.amazonaws.com")
    make = lambda: eks.create_pod_identity_association(roleArn=right, **request)
    association = plain.patiently(make, "InvalidParameterException")["association"]
    assert plain.refused(make) == (
        "ResourceInUseException",
        f"Association already exists: {association['associationId']}",
    )
    listed = eks.list_pod_identity_associations(clusterName="demo", serviceAccount="scaler")["associations"]
    assert [one["associationId"] for one in listed] == [association["associationId"]]
    eks.delete_pod_identity_association(clusterName="demo", associationId=association["associationId"])
    assert "pod identity" not in aws.inventory()


def test_versions_of_kubernetes_can_be_asked_for(aws: Fake) -> None:
    versions = plain.client("eks").describe_cluster_versions()["clusterVersions"]
    assert sum(one["defaultVersion"] for one in versions) == 1
    only = plain.client("eks").describe_cluster_versions(defaultOnly=True)["clusterVersions"]
    assert [one["clusterVersion"] for one in only] == [
        one["clusterVersion"] for one in versions if one["defaultVersion"]
    ]


def test_tags_of_what_eks_has_are_found_by_the_tagging_service(aws: Fake) -> None:
    cluster, _ = plain.cluster(tags={"team": "a"})
    plain.client("eks").tag_resource(resourceArn=cluster["arn"], tags={"cost": "b"})
    filters = [{"Key": "team", "Values": ["a"]}]
    resources = plain.client("resourcegroupstaggingapi").get_resources(TagFilters=filters)["ResourceTagMappingList"]
    assert [one["ResourceARN"] for one in resources] == [cluster["arn"]] and len(resources[0]["Tags"]) == 2
