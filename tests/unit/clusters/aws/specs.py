"""Clusters that tests make, and what a region offers for them."""

from __future__ import annotations

from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.offerings import MachineType, RegionOffer
from orchestune.config.cluster_file.read import parse
from orchestune.domain.clusters.cluster import ClusterSpec

ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
EVERYWHERE = frozenset(ZONES)
PAPER = """\
cloud_provider: aws
cluster_name: orchestrate-cluster
gpu: {instance_type: p3.8xlarge, min_nodes: 4, max_nodes: 4}
cpu: {instance_type: c4.xlarge, min_nodes: 4, max_nodes: 4}
"""
FULL_FILE = """\
cloud_provider: aws
cluster_name: vision
region: eu-central-1
system: {instance_type: t3.large, min_nodes: 1, max_nodes: 2}
cpu: {instance_type: [c6i.2xlarge, c5.2xlarge], max_nodes: 20, spot: true, labels: {team: vision}}
pools:
  arm: {instance_type: m6g.xlarge, max_nodes: 2}
  big: {instance_type: p4d.24xlarge, max_nodes: 2, gpu: true, disk: 500Gi, taints: ["team=vision:NoSchedule"]}
network: {cidr: 10.8.0.0/18, allow: [203.0.113.0/24]}
access:
- {who: "arn:aws:iam::123456789012:role/ml-team", role: viewer}
- {who: "arn:aws:iam::123456789012:user/ada", role: admin}
idle: {scale_down: 5m, destroy: 8h, archive: s3://team-archive/vision}
bucket: true
policies: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]
images: {autoscaler: "registry.lab:5000/autoscaler:1", device_plugin: "registry.lab:5000/plugin:1"}
tags: {cost-center: ml}
"""


def spec(text: str) -> ClusterSpec:
    return parse(text, "cluster.yml").spec


def names(spec: ClusterSpec, region: str = "eu-central-1") -> Names:
    return Names(spec.name, region, "123456789012", "aws", dict(spec.tags))


TYPES = {
    item.name: item
    for item in (
        MachineType("c4.xlarge", 4, "x86_64", 0, EVERYWHERE),
        MachineType("c5.2xlarge", 8, "x86_64", 0, EVERYWHERE),
        MachineType("c6i.2xlarge", 8, "x86_64", 0, EVERYWHERE),
        MachineType("t3.large", 2, "x86_64", 0, EVERYWHERE),
        MachineType("m6g.xlarge", 4, "arm64", 0, EVERYWHERE),
        MachineType("g4ad.xlarge", 4, "x86_64", 1, EVERYWHERE, nvidia=False, gpu_model="Radeon Pro V520"),
        MachineType("p3.8xlarge", 32, "x86_64", 4, frozenset(ZONES[:2]), gpu_model="V100", gpu_memory_mib=16384),
        MachineType("p4d.24xlarge", 96, "x86_64", 8, frozenset(ZONES[1:2]), gpu_model="A100", gpu_memory_mib=40960),
    )
}
OFFER = RegionOffer(ZONES, TYPES)
