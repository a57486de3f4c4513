"""Offers that a region lacks are reported with their position in the file before anything is created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestune.clusters.aws import offerings, preflight, quotas
from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.offerings import RegionOffer, choose_zones
from orchestune.domain.clusters.cluster import PlanProblem
from orchestune.errors import Unreachable
from tests.unit.clusters.aws import specs
from tests.unit.clusters.aws.answers import Answers, refusal
from tests.unit.clusters.aws.specs import OFFER, ZONES

HEAD = "cloud_provider: aws\ncluster_name: x\n"
CPU = "cpu: {instance_type: c4.xlarge, min_nodes: 1, max_nodes: 2}\n"


def quota(limit: float) -> Answers:
    return Answers(
        servicequotas__GetServiceQuota={"Quota": {"Value": limit}}, ec2__DescribeInstances={"Reservations": []},
        ec2__DescribeInstanceTypeOfferings={"InstanceTypeOfferings": [{"InstanceType": name} for name in specs.TYPES]},
    )  # fmt: skip


def problems(text: str, aws: Answers | None = None, zones: tuple[str, ...] = ZONES) -> dict[str, str]:
    found_problems, _ = preflight.check(aws or quota(1000), specs.spec(HEAD + text), OFFER, zones, ["1.33", "1.32"], {})
    return {item.key: f"{item.message} ({item.hint})" for item in found_problems}


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (CPU.replace("c4.xlarge", "c4.xlrge"), "cpu.instance_type", "'c4.xlrge' (did you mean c4.xlarge?)"),
        (CPU.replace("cpu", "gpu"), "gpu.instance_type", "c4.xlarge has no GPUs"),
        (CPU + "gpu: {instance_type: g4ad.xlarge, max_nodes: 1}\n", "gpu.instance_type", "are not NVIDIA's"),
        (CPU + "pools: {a: {instance_type: [c4.xlarge, p3.8xlarge], max_nodes: 1}}\n", "pools.a.instance_type",
         "some types have GPUs and some have none"),
        (CPU + "pools: {a: {instance_type: [c4.xlarge, m6g.xlarge], max_nodes: 1}}\n", "pools.a.instance_type",
         "have different architectures"),
        (CPU + "zones: [eu-central-1a, eu-central-1d]\n", "zones", "no such zone with EKS in eu-central-1"),
        (CPU + "kubernetes_version: '1.20'\n", "kubernetes_version", "no standard support for Kubernetes 1.20"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_key(text: str, key: str, words: str) -> None:
    assert words in problems(text)[key]


def test_machines_that_no_zone_of_the_cluster_has_are_told() -> None:
    text = CPU + "gpu: {instance_type: p4d.24xlarge, max_nodes: 1}\n"
    by_key = problems(text, zones=(ZONES[0], ZONES[2]))
    assert "add a zone that offers one: eu-central-1b" in by_key["gpu.instance_type"]


def test_the_machine_for_the_server_is_one_that_the_region_offers() -> None:
    spec = specs.spec(HEAD + CPU.replace("min_nodes: 1", "min_nodes: 0"))
    offer = replace(OFFER, types={name: zones for name, zones in OFFER.types.items() if name != "t3a.large"})
    assert offerings.with_offered_types(spec, offer).pools[0].instance_types == ("t3.large",)
    nowhere = replace(offer, types={name: zones for name, zones in offer.types.items() if name != "t3.large"})
    found_problems, _ = preflight.check(
        quota(1000), offerings.with_offered_types(spec, nowhere), nowhere, ZONES, ["1.33"], {}
    )
    assert {item.key for item in found_problems} == {"system.instance_type"}
    named = specs.spec(HEAD + "pools: {a: {instance_type: [t3.large, t3a.large], min_nodes: 1, max_nodes: 2}}\n")
    assert offerings.with_offered_types(named, offer) == named


def test_what_fits_is_not_complained_about() -> None:
    assert problems(CPU + "gpu: {instance_type: p3.8xlarge, min_nodes: 1, max_nodes: 4}\n") == {}


def test_a_quota_that_is_too_small_for_the_least_is_a_mistake_and_for_the_most_a_remark() -> None:
    spec = specs.spec(HEAD + CPU)
    found_problems, notes = preflight.check(quota(3), spec, OFFER, ZONES, ["1.33"], {})
    assert [item.key for item in found_problems] == ["cpu.min_nodes"]
    assert "4 cores: the quota L-1216C47A of eu-central-1 allows 3 cores" in found_problems[0].message
    found_problems, notes = preflight.check(quota(4), spec, OFFER, ZONES, ["1.33"], {})
    assert found_problems == []
    assert "not all 2 x c4.xlarge may start" in notes[0]


def test_machines_that_run_already_count_and_those_of_the_pool_itself_do_not_count_twice() -> None:
    aws = quota(8)
    aws.answers["ec2:DescribeInstances"] = {"Reservations": [{"Instances": [{"InstanceType": "c4.xlarge"}] * 2}]}
    aws.answers["ec2:DescribeInstanceTypeOfferings"] = {
        "InstanceTypeOfferings": [{"InstanceType": "c4.xlarge", "Location": ZONES[0]}]
    }
    machine = {"InstanceType": "c4.xlarge", "VCpuInfo": {"DefaultVCpus": 4},
               "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}}  # fmt: skip
    aws.answers["ec2:DescribeInstanceTypes"] = {"InstanceTypes": [machine]}
    spec = specs.spec(HEAD + CPU)
    found_problems, _ = preflight.check(aws, spec, OFFER, ZONES, ["1.33"], {})
    assert [item.key for item in found_problems] == ["cpu.min_nodes"]
    found_problems, notes = preflight.check(aws, spec, OFFER, ZONES, ["1.33"], {"cpu": 2})
    assert found_problems == [] and not [note for note in notes if "quota" in note]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("c5.xlarge", "L-1216C47A"), ("t3.large", "L-1216C47A"), ("m6g.xlarge", "L-1216C47A"),
        ("im4gn.large", "L-1216C47A"),
        ("g5.xlarge", "L-DB2E81BA"), ("g4dn.xlarge", "L-DB2E81BA"), ("gr6.4xlarge", "L-DB2E81BA"),
        ("vt1.3xlarge", "L-DB2E81BA"), ("p3.8xlarge", "L-417A185B"), ("p5.48xlarge", "L-417A185B"),
        ("inf2.xlarge", "L-1945791B"), ("trn1.2xlarge", "L-2C3B7624"), ("dl1.24xlarge", "L-6E869C2A"),
        ("x2idn.16xlarge", "L-7295265B"), ("f1.2xlarge", "L-74FC7D96"), ("hpc7a.96xlarge", "L-F7808C92"),
        ("u-6tb1.metal", "L-43DA4232"), ("u7i-12tb.224xlarge", "L-43DA4232"), ("mac2.metal", None),
    ],
)  # fmt: skip
def test_each_type_is_counted_by_its_quota(name: str, code: str | None) -> None:
    assert quotas.find_code(name, spot=False) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("c5.xlarge", "L-34B43A08"), ("g5.xlarge", "L-3819A6DF"), ("p4d.24xlarge", "L-7212CCBC"),
        ("p5.48xlarge", "L-C4BD4855"), ("inf2.xlarge", "L-B5D1601B"), ("trn1.2xlarge", "L-6B0D517C"),
        ("dl1.24xlarge", "L-85EED4F7"), ("x2idn.16xlarge", "L-E3A00192"), ("f1.2xlarge", "L-88CF9481"),
        ("hpc7a.96xlarge", None), ("u-6tb1.metal", None),
    ],
)  # fmt: skip
def test_each_type_of_spot_machines_is_counted_by_its_quota(name: str, code: str | None) -> None:
    assert quotas.find_code(name, spot=True) == code


def test_where_an_account_has_one_quota_for_all_p_spot_machines_that_one_counts() -> None:
    aws = quota(0)

    def limit(request: Mapping[str, Any]) -> Any:
        if request["QuotaCode"] == "L-C4BD4855":
            return refusal("GetServiceQuota", "NoSuchResourceException")
        return {"Quota": {"Value": 100.0}}

    aws.answers["servicequotas:GetServiceQuota"] = limit
    aws.answers["servicequotas:GetAWSDefaultServiceQuota"] = limit
    text = "gpu: {instance_type: p5.48xlarge, min_nodes: 1, max_nodes: 1, spot: true}\n"
    machine = offerings.MachineType("p5.48xlarge", 192, "x86_64", 8, specs.EVERYWHERE)
    offer = RegionOffer(ZONES, {**OFFER.types, machine.name: machine})
    found_problems, _ = quotas.check(aws, specs.spec(HEAD + CPU + text), offer, {})
    [about] = [item for item in found_problems if item.key == "gpu.min_nodes"]
    assert "the quota L-7212CCBC of eu-central-1 allows 100 cores" in about.message


def test_a_quota_that_nobody_has_changed_has_its_default() -> None:
    aws = quota(0)
    aws.answers["servicequotas:GetServiceQuota"] = refusal("GetServiceQuota", "NoSuchResourceException")
    aws.answers["servicequotas:GetAWSDefaultServiceQuota"] = {"Quota": {"Value": 5.0}}
    assert problems(CPU, aws) == {}


def test_zones_are_chosen_by_what_they_offer_and_stay_within_three() -> None:
    spec = specs.spec(HEAD + CPU + "gpu: {instance_type: p4d.24xlarge, max_nodes: 1}\n")
    five = tuple(f"eu-central-1{letter}" for letter in "abcde")
    assert choose_zones(spec, RegionOffer(five, OFFER.types)) == ZONES
    only_late = {**OFFER.types, "c4.xlarge": replace(OFFER.types["c4.xlarge"], zones=frozenset(five[3:]))}
    assert choose_zones(spec, RegionOffer(five, only_late)) == (five[1], five[3], five[4])
    assert choose_zones(replace(spec, zones=five[:2]), RegionOffer(five, OFFER.types)) == five[:2]


def test_subnets_that_are_named_must_be_there_in_their_network_and_in_two_zones() -> None:
    text = "network: {vpc: vpc-0a1b2c3d, subnets: [subnet-00000001, subnet-00000002]}\n"
    spec = specs.spec(HEAD + CPU + text)

    def subnet_problems(*items: tuple[str, str, str]) -> list[str]:
        subnets: list[dict[str, Any]] = [
            {"SubnetId": f"subnet-{name}", "VpcId": vpc, "AvailabilityZone": zone} for name, vpc, zone in items
        ]
        return [
            item.message
            for item in preflight.check_subnets(Answers(ec2__DescribeSubnets={"Subnets": subnets}), spec)[1]
        ]

    one, two = ("00000001", "vpc-0a1b2c3d", ZONES[0]), ("00000002", "vpc-0a1b2c3d", ZONES[1])
    assert subnet_problems(one, two) == []
    assert subnet_problems(one) == ["no such subnet in eu-central-1: subnet-00000002"]
    assert subnet_problems(one, ("00000002", "vpc-0ther", ZONES[1])) == [
        "subnet-00000002 is in vpc-0ther, not in vpc-0a1b2c3d"
    ]
    assert subnet_problems(one, ("00000002", "vpc-0a1b2c3d", ZONES[0])) == ["all are in one zone"]


def test_the_version_of_an_add_on_is_the_default_for_that_version_of_kubernetes() -> None:
    builds = [
        {"addonVersion": "v3", "compatibilities": [{"clusterVersion": "1.33", "defaultVersion": False}]},
        {"addonVersion": "v2", "compatibilities": [{"clusterVersion": "1.33", "defaultVersion": True}]},
    ]
    aws = Answers(eks__DescribeAddonVersions={"addons": [{"addonVersions": builds}]})
    assert offerings.addon_version(aws, "coredns", "1.33") == "v2"


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        (CPU, True),
        (CPU.replace("min_nodes: 1", "min_nodes: 3").replace("max_nodes: 2", "max_nodes: 4"), False),
        (CPU + "system: {instance_type: t3.large, min_nodes: 1, max_nodes: 1}\n", False),
        (CPU + "zones: [eu-central-1a, eu-central-1b]\n", True),
        (CPU.replace("min_nodes: 1", "min_nodes: 2") + "zones: [eu-central-1a, eu-central-1b]\n", False),
        (CPU + "gpu: {instance_type: p3.8xlarge, min_nodes: 4, max_nodes: 4}\n", True),
    ],
)  # fmt: skip
def test_where_a_machine_may_come_up_away_from_the_disk_of_the_server_that_is_noted(text: str, noted: bool) -> None:
    spec = specs.spec(HEAD + text)
    complaints, notes = preflight.check(quota(1000), spec, OFFER, spec.zones or ZONES, ["1.33"], {})
    assert not complaints
    assert [note.partition(":")[0] for note in notes if "the server's disk" in note] == ["cpu"] * noted


@pytest.mark.parametrize(
    ("text", "architecture", "noted"),
    [
        (CPU, "x86_64", []),
        (CPU, "aarch64", ["cpu"]),
        (CPU.replace("c4.xlarge", "m6g.xlarge"), "x86_64", ["cpu"]),
        (CPU.replace("c4.xlarge", "m6g.xlarge"), "aarch64", []),
        (CPU + "pools: {arm: {instance_type: m6g.xlarge, max_nodes: 1}}\n", "aarch64", []),
        (CPU + "gpu: {instance_type: p3.8xlarge, max_nodes: 1}\n", "aarch64", ["cpu"]),
    ],
)  # fmt: skip
def test_a_server_whose_image_cannot_be_made_here_is_noted_before_anything_costs_money(
    text: str, architecture: str, noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: architecture)
    complaints, notes = preflight.check(quota(1000), specs.spec(HEAD + text), OFFER, ZONES, ["1.33"], {})
    assert not complaints
    assert [note.partition(":")[0] for note in notes if "--server-image" in note] == noted
    _, later = preflight.check(quota(1000), specs.spec(HEAD + text), OFFER, ZONES, ["1.33"], {"cpu": 1})
    assert not [note for note in later if "--server-image" in note]


def unreachable() -> None:
    raise Unreachable("cannot reach AWS (sts)")


def test_a_region_that_is_mistyped_is_told_once_nobody_answers_there() -> None:
    problem = preflight.check_region(Aws("us-wst-2"), unreachable)
    assert problem == PlanProblem("region", "cannot reach AWS in the region 'us-wst-2'", "did you mean us-west-2?")
    assert preflight.check_region(Aws("us-wst-2"), lambda: None) is None  # one of AWS's that is younger than the SDK
    for region in ("us-west-2", "moon"):  # the network is down, or it is like nothing that there is
        with pytest.raises(Unreachable):
            preflight.check_region(Aws(region), unreachable)
