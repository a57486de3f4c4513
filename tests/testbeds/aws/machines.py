"""Machines: which types there are, launch templates, and the Auto Scaling groups behind node groups."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from tests.testbeds.aws import cloud
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World

TYPES = ("c4.large", "c4.xlarge", "c4.2xlarge", "c5.xlarge", "m5.large", "m5.xlarge", "m6g.xlarge", "t3.medium",
         "t3.large", "g4dn.xlarge", "g5.xlarge", "p4d.24xlarge", "trn1.2xlarge")  # fmt: skip
"""what a region of this fake offers: few, so that questions about all are answered at once"""
_P3 = {"p3.2xlarge": (8, 61, 1), "p3.8xlarge": (32, 244, 4), "p3.16xlarge": (64, 488, 8)}
"""vCPUs, GiB and cards of the types of the original paper, which moto has no longer"""
_ZONES_OF_TYPES = {"p3.8xlarge": ("a", "b"), "p4d.24xlarge": ("b",), "trn1.2xlarge": ("a",)}
"""zones of types that are not everywhere"""
_BUCKETS = {"p": "L-417A185B", "g": "L-DB2E81BA"}


def _details(name: str) -> dict[str, Any]:
    details: dict[str, Any] | None = INSTANCE_TYPES.get(name)
    if details is not None:
        return details
    cores, memory, cards = _P3[name]
    card = {"Name": "V100", "Manufacturer": "NVIDIA", "Count": cards, "MemoryInfo": {"SizeInMiB": 16384}}
    details_of_type: dict[str, Any] = {
        **INSTANCE_TYPES["p3dn.24xlarge"], "InstanceType": name, "MemoryInfo": {"SizeInMiB": memory << 10},
        "VCpuInfo": {"DefaultVCpus": cores, "DefaultCores": cores // 2, "DefaultThreadsPerCore": 2},
        "GpuInfo": {"Gpus": [card], "TotalGpuMemoryInMiB": cards * 16384},
    }  # fmt: skip
    return details_of_type


DETAILS = {name: _details(name) for name in (*TYPES, *_P3)}


def offered(region: str, kind: str) -> list[str]:
    """The zones of a region in which a type is to be had."""
    return [f"{region}{letter}" for letter in _ZONES_OF_TYPES.get(kind, ("a", "b", "c"))]


def check_image(kind: str, image: str) -> None:
    """Refused where a machine of this type cannot run the image."""
    details = DETAILS.get(kind)
    if details is None:
        text = f"The following supplied instance types do not exist: [{kind}]"
        raise Refused("InvalidParameterException", text)
    arm = "arm64" in details["ProcessorInfo"]["SupportedArchitectures"]
    if arm is not ("ARM" in image) and image != "CUSTOM":
        raise Refused(
            "InvalidParameterException", f"[{kind}] is not a valid instance type for requested amiType {image}"
        )
    if "NVIDIA" in image and "GpuInfo" not in details:
        raise Refused(
            "InvalidParameterException", f"[{kind}] is not a valid instance type for requested amiType {image}"
        )


def template(call: Call, requested: dict[str, str] | None) -> dict[str, Any]:
    """Return the content of a launch template. Refuses one that does not exist."""
    if requested is None:
        return {}
    templates = cloud.backend("ec2", call.region).launch_templates
    name = requested.get("name", "")
    existing = templates.get(requested.get("id", "")) or next(
        (one for one in templates.values() if one.name == name), None
    )
    if existing is None:
        text = f"The specified launch template, with template ID {requested.get('id', name)}, does not exist."
        raise Refused("InvalidRequestException", text)
    version = requested.get("version", "$Default")
    number = {"$Default": existing.default_version_number, "$Latest": existing.latest_version_number}.get(
        version, version
    )
    return dict(existing.get_version(int(number)).data)


def zones(call: Call) -> dict[str, str]:
    """The zone of each subnet."""
    ec2 = cloud.backend("ec2", call.region)
    return {one.id: one.availability_zone for subnets in ec2.subnets.values() for one in subnets.values()}


def make_group(world: World, call: Call, name: str, document: dict[str, Any], types: list[str]) -> None:
    """The Auto Scaling group of a node group, without machines yet."""
    scaling, ec2 = document["scalingConfig"], cloud.backend("ec2", call.region)
    launch_template = template(call, document.get("launchTemplate"))
    data = {"ImageId": "ami-0abcdef1234567890", "InstanceType": types[0], **launch_template}
    own = ec2.create_launch_template(name, "", data, {"eks:cluster-name": document["clusterName"]})
    tags = {"eks:cluster-name": document["clusterName"], "eks:nodegroup-name": document["nodegroupName"],
            f"kubernetes.io/cluster/{document['clusterName']}": "owned",
            f"k8s.io/cluster-autoscaler/{document['clusterName']}": "owned",
            "k8s.io/cluster-autoscaler/enabled": "true"}  # fmt: skip
    cloud.backend("autoscaling", call.region).create_auto_scaling_group(
        name=name, availability_zones=sorted({zones(call)[one] for one in document["subnets"]}), desired_capacity=0,
        max_size=scaling["maxSize"], min_size=0, launch_config_name="",
        launch_template={"LaunchTemplateId": own.id, "Version": "$Default"},
        vpc_zone_identifier=",".join(document["subnets"]), default_cooldown=None, health_check_period=15,
        health_check_type="EC2", load_balancers=[], target_group_arns=[], placement_group=None,
        termination_policies=[], instance_id=None, mixed_instances_policy=None,
        tags=[{"Key": key, "Value": value, "PropagateAtLaunch": "true", "ResourceId": name,
               "ResourceType": "auto-scaling-group"} for key, value in tags.items()],
    )  # fmt: skip


def launch(
    world: World, call: Call, name: str, document: dict[str, Any], types: list[str], desired: int
) -> list[dict[str, Any]]:
    """Start machines until there are so many; what kept that from happening."""
    if not desired:
        return []
    places = {zones(call)[subnet] for subnet in document["subnets"]}
    free = [zone for zone in places if any((kind, zone) not in world.behaviour.no_capacity and zone in
                                           offered(call.region, kind) for kind in types)]  # fmt: skip
    start = (
        "Could not launch Spot Instances."
        if document["capacityType"] == "SPOT"
        else "Could not launch On-Demand Instances."
    )
    end = "Launching EC2 instance failed."
    if document["capacityType"] == "SPOT" and not _has_spot_role():
        why = (
            f"{start} AuthFailure.ServiceLinkedRoleCreationNotPermitted - The provided credentials do not have"
            f" permission to create the service-linked role for EC2 Spot Instances. {end}"
        )
        return [{"code": "AsgInstanceLaunchFailures", "message": why, "resourceIds": [name]}]
    code = _BUCKETS.get(types[0][0], "L-1216C47A")
    limit = world.behaviour.quotas[code]
    if desired * DETAILS[types[0]]["VCpuInfo"]["DefaultVCpus"] + _used(call, code) > limit:
        why = (
            f"{start} VcpuLimitExceeded - You have requested more vCPU capacity than your current vCPU limit of "
            f"{limit:.0f} allows for the instance bucket that the specified instance type belongs to. Please visit "
            f"http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. {end}"
        )
        return [{"code": "AsgInstanceLaunchFailures", "message": why, "resourceIds": [name]}]
    if not free:
        zone = min(places)
        why = (
            f"{start} InsufficientInstanceCapacity - We currently do not have sufficient {types[0]} capacity in the "
            f"Availability Zone you requested ({zone}). Our system will be working on provisioning additional "
            f"capacity. You can currently get {types[0]} capacity by not specifying an Availability Zone in your "
            f"request or choosing {', '.join(one for one in offered(call.region, types[0]) if one != zone)}. {end}"
        )
        return [{"code": "AsgInstanceLaunchFailures", "message": why, "resourceIds": [name]}]
    cloud.backend("autoscaling", call.region).set_desired_capacity(name, desired)
    return []


def _has_spot_role() -> bool:
    return any(one.name == "AWSServiceRoleForEC2Spot" for one in cloud.backend("iam", "aws").get_roles())


def _used(call: Call, code: str) -> int:
    """The vCPUs that run of those which a quota counts."""
    instances = cloud.backend("ec2", call.region).all_instances()
    return sum(
        DETAILS[one.instance_type]["VCpuInfo"]["DefaultVCpus"]
        for one in instances
        if one.state == "running" and _BUCKETS.get(one.instance_type[0], "L-1216C47A") == code
        and one.instance_type in DETAILS
    )  # fmt: skip


def resize(world: World, call: Call, name: str, document: dict[str, Any], types: list[str]) -> None:
    """Bring the group to the size that the document wants."""
    groups = cloud.backend("autoscaling", call.region)
    group = groups.autoscaling_groups[name]
    group.max_size = document["scalingConfig"]["maxSize"]
    desired = document["scalingConfig"]["desiredSize"]
    if desired <= len(group.instance_states):
        groups.set_desired_capacity(name, desired)
        document["health"] = {"issues": []}
    else:
        document["health"] = {"issues": launch(world, call, name, document, types, desired)}


def remove_group(call: Call, name: str) -> None:
    """The group and its machines."""
    groups, ec2 = cloud.backend("autoscaling", call.region), cloud.backend("ec2", call.region)
    if name in groups.autoscaling_groups:
        groups.set_desired_capacity(name, 0)
        groups.delete_auto_scaling_group(name)
    for one in [one for one, existing in ec2.launch_templates.items() if existing.name == name]:
        ec2.delete_launch_template("", one)
    for interface in list(ec2.enis.values()):
        instance = interface.instance
        if instance is not None and instance.state == "terminated":
            ec2.enis.pop(interface.id, None)
