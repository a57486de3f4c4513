"""Every request that makes something, against files that people read; `ORCHESTUNE_WRITE_GOLDEN=1` updates them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import REPOSITORIES, Names, shorten
from orchestune.clusters.aws.requests import control, network, pools, roles, storage, teardown
from orchestune.domain.clusters.cluster import ClusterSpec
from tests.unit.clusters.aws import specs

GOLDEN = Path(__file__).parent / "golden"
CASES = {"paper": specs.PAPER, "everything": specs.FULL_FILE}
Request = tuple[str, str, dict[str, Any]]


class Nowhere(Aws):
    """Is asked nothing."""

    def __init__(self) -> None:
        self.region = "eu-central-1"


def site(spec: ClusterSpec) -> ClusterSite:
    return ClusterSite(Nowhere(), spec, specs.names(spec), specs.OFFER, specs.ZONES, "1.33")


def requests(text: str) -> Iterator[Request]:
    spec = specs.spec(text)
    names, zone_subnets = specs.names(spec), {f"private-{zone}": f"subnet-{zone[-1]}" for zone in specs.ZONES}
    for role in roles.roles(spec, names):
        yield "iam", "CreateRole", roles.create(names, role)
        for policy in role.managed:
            yield "iam", "AttachRolePolicy", roles.attach(names, role, policy)
        if role.own:
            yield "iam", "PutRolePolicy", roles.inline(names, role)
    yield from network_requests(spec, names)
    for name in REPOSITORIES:
        yield "ecr", "CreateRepository", storage.repository(names, name)
        yield "ecr", "PutLifecyclePolicy", storage.lifecycle(names, name)
    if spec.bucket:
        yield "s3", "CreateBucket", storage.bucket(names)
        yield "s3", "PutBucketTagging", storage.bucket_tags(names)
        yield "s3", "PutPublicAccessBlock", storage.public_access_block(names)
    yield "eks", "CreateCluster", control.cluster(spec, names, "1.33", list(zone_subnets.values()))
    for grant in spec.access:
        yield "eks", "CreateAccessEntry", control.access_entry(names, grant)
        if grant.role == "admin":
            yield "eks", "AssociateAccessPolicy", control.admin_policy(names, grant)
    for identity in control.identities(spec):
        yield "eks", "CreatePodIdentityAssociation", control.identity(names, *identity)
    for name in (*control.ADDONS_BEFORE_NODES, *control.ADDONS_AFTER_NODES):
        yield "eks", "CreateAddon", control.addon(names, name, "v1.0.0-eksbuild.1")
    place = site(spec)
    for pool in spec.pools:
        yield "ec2", "CreateLaunchTemplate", pools.template(names, pool)
        subnets = place.node_subnets(zone_subnets, pool)
        yield "eks", "CreateNodegroup", pools.group(names, pool, place.node_kind(pool), subnets, "lt-1")
    if spec.retirement:
        yield (
            "lambda",
            "CreateFunction",
            teardown.function(names, spec.retirement, b"zip", "python3.13") | {"Code": {}},
        )


def network_requests(spec: ClusterSpec, names: Names) -> Iterator[Request]:
    yield "ec2", "CreateVpc", network.vpc(names, spec.network.cidr)
    for request in network.vpc_dns("vpc-1"):
        yield "ec2", "ModifyVpcAttribute", request
    yield "ec2", "CreateInternetGateway", network.gateway(names)
    for zone, (outer, inner) in zip(specs.ZONES, network.blocks(spec.network.cidr, 3), strict=True):
        yield "ec2", "CreateSubnet", network.subnet(names, "vpc-1", zone, outer, public=True)
        yield "ec2", "CreateSubnet", network.subnet(names, "vpc-1", zone, inner, public=False)
    yield "ec2", "AllocateAddress", network.address(names)
    yield "ec2", "CreateNatGateway", network.nat(names, "subnet-1", "eipalloc-1")
    yield "ec2", "CreateRouteTable", network.routes(names, "vpc-1", "routes-private")
    yield "ec2", "CreateVpcEndpoint", network.storage_endpoint(names, "vpc-1", ["rtb-1", "rtb-2"])


def readable(request: dict[str, Any]) -> dict[str, Any]:
    """JSON inside of a request as what it says."""
    inside = ("AssumeRolePolicyDocument", "PolicyDocument", "lifecyclePolicyText", "configurationValues")
    return {key: json.loads(value) if key in inside else value for key, value in request.items()}


@pytest.mark.parametrize("case", CASES)
def test_requests_are_what_the_file_of_that_name_says(case: str) -> None:
    documents = [{f"{service}:{operation}": readable(request)} for service, operation, request in requests(CASES[case])]
    text = json.dumps(documents, indent=1) + "\n"
    path = GOLDEN / f"{case}.json"
    if os.environ.get("ORCHESTUNE_WRITE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize("case", CASES)
def test_every_request_is_one_that_the_service_knows(case: str) -> None:
    session = botocore.session.get_session()
    for service, operation, request in requests(CASES[case]):
        shape = session.get_service_model(service).operation_model(operation).input_shape
        assert shape is not None
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), f"{service}:{operation}: {report.generate_report()}"


@pytest.mark.parametrize("case", CASES)
def test_machines_have_encrypted_disks_and_give_credentials_to_no_pod(case: str) -> None:
    templates = [request for _, operation, request in requests(CASES[case]) if operation == "CreateLaunchTemplate"]
    assert templates
    for template in templates:
        data = template["LaunchTemplateData"]
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert all(item["Ebs"]["Encrypted"] for item in data["BlockDeviceMappings"])
        assert "ImageId" not in data


@pytest.mark.parametrize("case", CASES)
def test_whatever_can_have_tags_says_whose_it_is(case: str) -> None:
    for service, operation, request in requests(CASES[case]):
        if operation.startswith("Create") and operation != "CreateBucket":
            assert '"orchestune.dev/cluster"' in json.dumps(request), f"{service}:{operation}"


def test_pools_of_cards_get_the_images_with_drivers_and_taints_that_keep_others_away() -> None:
    groups = {request["nodegroupName"]: request for _, operation, request in requests(specs.FULL_FILE)
              if operation == "CreateNodegroup"}  # fmt: skip
    assert groups["big"]["amiType"] == "AL2023_x86_64_NVIDIA"
    assert groups["arm"]["amiType"] == "AL2023_ARM_64_STANDARD"
    assert groups["cpu"]["capacityType"] == "SPOT"
    assert [taint["key"] for taint in groups["big"]["taints"]] == ["nvidia.com/gpu", "team"]
    assert groups["big"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A100"
    assert groups["big"]["subnets"] == ["subnet-b"]
    assert groups["system"]["labels"] == {"orchestune.dev/pool": "system"}


@pytest.mark.parametrize("cidr", ["10.42.0.0/16", "10.8.0.0/18", "192.168.16.0/20"])
def test_subnets_lie_inside_of_the_network_and_beside_each_other(cidr: str) -> None:
    subnets = [IPv4Network(block) for pair in network.blocks(cidr, 6) for block in pair]
    assert all(block.subnet_of(IPv4Network(cidr)) for block in subnets)
    assert not any(one.overlaps(other) for one in subnets for other in subnets if one is not other)


def test_long_names_stay_within_limits_and_apart() -> None:
    one, other = (Names(f"{'a' * 39}{last}", "ap-southeast-1", "123456789012") for last in "bc")
    for each in (one, other):
        assert max(len(each.role(part)) for part in ("control", "autoscaler")) <= 64
        assert len(each.bucket) <= 63
    assert one.role("control") != other.role("control")
    assert one.bucket != other.bucket
    assert shorten("abc", 3) == "abc"


def test_templates_of_two_clusters_never_have_one_name() -> None:
    pools = [("ml", "gpu-spot"), ("ml-gpu", "spot"), ("ml", "gpu"), ("ml-gpu", "gpu")]
    names = {Names(cluster, "eu-central-1", "123456789012").launch_template(pool) for cluster, pool in pools}
    assert len(names) == len(pools)


def test_machines_trust_the_service_that_starts_them_in_their_partition() -> None:
    spec = specs.spec(specs.PAPER)
    for partition, service in (("aws", "ec2.amazonaws.com"), ("aws-cn", "ec2.amazonaws.com.cn")):
        names = Names(spec.name, "cn-north-1", "123456789012", partition)
        trusted = {role.part: role.trusts for role in roles.roles(spec, names)}
        assert trusted["node"] == service and trusted["control"] == "eks.amazonaws.com"


def test_the_pool_of_the_server_stands_in_one_zone_and_others_wherever_they_find_machines() -> None:
    place = site(specs.spec(specs.FULL_FILE))
    subnets = {f"private-{zone}": f"subnet-{zone[-1]}" for zone in specs.ZONES}
    subnets_by_pool = {pool.name: place.node_subnets(subnets, pool) for pool in place.spec.pools}
    assert subnets_by_pool["system"] == ["subnet-a"] and subnets_by_pool["cpu"] == ["subnet-a", "subnet-b", "subnet-c"]
    assert subnets_by_pool["big"] == ["subnet-b"]


def test_runtimes_are_those_of_python_newest_first() -> None:
    runtimes = ["nodejs22.x", "python3.9", "python3.10", "python2.7", "python3.14", "provided.al2023", "python3.13"]
    assert teardown.runtimes(runtimes) == ["python3.14", "python3.13", "python3.10", "python3.9"]
