"""cluster.yml: what is read, in every spelling, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from orchestune.config.cluster_file.read import load, parse
from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import plain
from orchestune.config.document.report import ProblemReport
from orchestune.domain.clusters.cluster import AccessGrant, PlanProblem, Taint
from orchestune.errors import BadInput

ROOT = Path(__file__).parents[4]
GIB = 2**30
PAPER = """\
cloud_provider: aws
cluster_name: orchestrate-cluster
gpu:
  instance_type: p3.8xlarge
  min_nodes: 4
  max_nodes: 4
cpu:
  instance_type: c4.xlarge
  min_nodes: 4
  max_nodes: 4
"""
OLDER = """\
provider: aws
cluster_name: older
kubernetes_version: '1.33'
cpu: {instance_type: c5.xlarge, min_nodes: 1, max_nodes: 2, node_volume_size: 64}
aws:
  additional_policies: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]
  keys: {aws_access_key_id: AKIA, aws_secret_access_key: s3cr3t}
"""
FULL_FILE = """\
cloud_provider: aws
cluster_name: vision
region: eu-central-1
zones: [eu-central-1a, eu-central-1b]
kubernetes_version: 1.30
system: {instance_type: t3.large, min_nodes: 1, max_nodes: 2}
cpu: {instance_type: [c6i.2xlarge, c5.2xlarge], max_nodes: 20, spot: true, labels: {team: vision}}
pools:
  big:
    instance_type: p4d.24xlarge
    max_nodes: 2
    gpu: true
    disk: 500Gi
    taints: ["team=vision:NoSchedule", {key: slow, effect: NoExecute}]
network: {vpc: vpc-0a1b2c3d, subnets: [subnet-0a1b2c3d, subnet-0a1b2c3e], allow: [203.0.113.0/24]}
access:
- {who: "arn:aws:iam::123456789012:role/ml-team", role: viewer}
- {who: "arn:aws:iam::123456789012:user/ada"}
idle: {scale_down: 5m}
bucket: true
policies: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]
images: {autoscaler: "registry.lab:5000/autoscaler:1"}
tags: {cost-center: ml 7}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse(text, "cluster.yml")
    return str(caught.value).splitlines()


def test_the_papers_file_is_read_as_it_is() -> None:
    loaded = parse(PAPER, "cluster.yml")
    assert loaded.notes == ()
    assert (loaded.spec.provider, loaded.spec.name, loaded.spec.region) == ("aws", "orchestrate-cluster", "")
    cpu, gpu = loaded.spec.pools
    assert (cpu.name, cpu.instance_types, cpu.min_nodes, cpu.max_nodes, cpu.gpu) == ("cpu", ("c4.xlarge",), 4, 4, False)
    assert (gpu.name, gpu.instance_types, gpu.min_nodes, gpu.max_nodes, gpu.gpu) == ("gpu", ("p3.8xlarge",), 4, 4, True)


def test_the_spelling_of_orchestrate_is_read_and_keys_in_it_are_not() -> None:
    loaded = parse(OLDER, "cluster.yml")
    assert loaded.spec.pools[0].disk == 64 * GIB
    assert loaded.spec.version == "1.33"
    assert loaded.spec.policies == ("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",)
    assert [note for note in loaded.notes if "aws.keys has no effect" in note]
    assert "s3cr3t" not in repr(loaded.spec) + "".join(loaded.notes)


def test_every_key_arrives() -> None:
    spec = parse(FULL_FILE, "cluster.yml").spec
    assert spec.version == "1.30"
    big = next(pool for pool in spec.pools if pool.name == "big")
    assert (big.gpu, big.disk, big.key) == (True, 500 * GIB, "pools.big")
    assert big.taints == (Taint("team", "vision", "NoSchedule"), Taint("slow", "", "NoExecute"))
    assert next(pool for pool in spec.pools if pool.name == "cpu").labels == {"team": "vision"}
    assert spec.access[0] == AccessGrant("arn:aws:iam::123456789012:role/ml-team", "viewer")
    assert spec.access[1].role == "editor"
    assert (spec.network.vpc, spec.network.allow) == ("vpc-0a1b2c3d", ("203.0.113.0/24",))
    assert (spec.scale_down, spec.bucket, spec.tags) == (300.0, True, {"cost-center": "ml 7"})
    assert spec.images == {"autoscaler": "registry.lab:5000/autoscaler:1"}


def test_where_no_pool_keeps_a_machine_for_the_server_one_is_added() -> None:
    text = "cloud_provider: aws\ncluster_name: x\ngpu: {instance_type: g5.xlarge, min_nodes: 1, max_nodes: 4}\n"
    loaded = parse(text, "cluster.yml")
    assert [pool.name for pool in loaded.spec.pools] == ["system", "gpu"]
    assert loaded.spec.pools[0].min_nodes == 1
    assert [note for note in loaded.notes if "`system`" in note]


def test_a_system_pool_of_the_file_keeps_a_machine_whatever_it_says() -> None:
    text = "cloud_provider: aws\ncluster_name: x\nsystem: {instance_type: t3.large, max_nodes: 4}\n"
    loaded = parse(text, "cluster.yml")
    assert [(pool.name, pool.min_nodes) for pool in loaded.spec.pools] == [("system", 1)]
    assert loaded.notes == ("system.min_nodes: 1 is used, to run the server while the other pools are at 0",)


def test_a_cluster_that_is_not_made_here_is_told_so_and_nothing_of_its_pools() -> None:
    assert problems("provider: custom\ncluster_name: lab\n") == [
        (
            "cluster.yml:1:11: cloud_provider: an existing cluster cannot be created"
            " (connect it with `orchestune cluster connect`)"
        )
    ]


def test_all_mistakes_are_told_together_each_at_its_place() -> None:
    messages = problems(
        "provider: aws\n"
        "name: Foo--b-\n"
        "gpuu: {instance_type: p3.8xlarge, min_nodes: 5, max_nodes: 4}\n"
        "cpu: {instance_tpe: c4.xlarge, min_nodes: 7, max_nodes: 4, labels: {kubernetes.io/a: b}, taints: [a]}\n"
        "idle: {destroy: 8h}\n"
    )
    assert messages == [
        (
            "cluster.yml:2:7: cluster_name: 'Foo--b-' has uppercase letters, which Kubernetes and registries reject"
            " (write foo-b)"
        ),
        "cluster.yml:2:7: cluster_name: 'Foo--b-' has two consecutive -, which registries reject (write foo-b)",
        "cluster.yml:2:7: cluster_name: 'Foo--b-' ends with - (write foo-b)",
        "cluster.yml:3:1: gpuu: unknown key (did you mean gpu?)",
        "cluster.yml:4:7: cpu.instance_tpe: unknown key (did you mean instance_type?)",
        "cluster.yml:4:43: cpu.min_nodes: 7 is more than max_nodes (4)",
        "cluster.yml:4:69: cpu.labels.kubernetes.io/a: labels of kubernetes.io are reserved",
        "cluster.yml:4:99: cpu.taints[0]: found 'a', expected a taint such as team=vision:NoSchedule",
        (
            "cluster.yml:5:17: idle.destroy: needs `archive`, to which records and files are copied first"
            " (set archive: s3://BUCKET/PREFIX, a bucket that outlives the cluster)"
        ),
    ]


ADA = "arn:aws:iam::123456789012:user/ada"
HEAD = "cloud_provider: aws\ncluster_name: x\ncpu: {instance_type: c5.large, min_nodes: 1, max_nodes: 2}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cloud_provider: aws\ncluster_name: x\n", "cluster.yml:1:1: has no pool"),
        ("", "cluster.yml:1:1: the file is empty"),
        ("[]", "found an empty list, expected a mapping"),
        (HEAD.replace("aws", "gcp"), "cluster.yml:1:17: cloud_provider: 'gcp' is not supported in this version"),
        (HEAD.replace("aws", "custom"), "connect it with `orchestune cluster connect`"),
        (HEAD.replace("aws", "awss"), "did you mean aws?"),
        (HEAD.replace(": x", ": local"), "'local' is reserved: it means this machine"),
        (HEAD.replace(": x", ": a_b"), "expected a name of letters, digits and -, a letter first"),
        (HEAD.replace(": x", f": {'a' * 41}"), "longer than 40 characters"),
        (HEAD + "region: eu-central-1\nzones: [eu-central-1a, us-east-1a]\n", "zones[1]: 'us-east-1a' is not a zone"),
        (HEAD + "zones: [eu-central-1a, eu-central-1a]\n", "lists a zone twice"),
        (HEAD.replace("c5.large", "[c5.large, c5.large]"), "cpu.instance_type[1]: lists c5.large twice"),
        (HEAD + f"access: [{{who: '{ADA}'}}, {{who: '{ADA}', role: admin}}]\n", f"access[1]: lists {ADA} twice"),
        (HEAD.replace("}", ", taints: ['a=b:NoSchedule', 'a=c:NoSchedule']}"), "lists a:NoSchedule twice"),
        (HEAD + "network: {allow: [10.0.0.0/8]}\n", "network.allow[0]: '10.0.0.0/8' is not a public network"),
        (HEAD + "network: {cidr: 169.254.0.0/16}\n", "'169.254.0.0/16' is not a private network"),
        (HEAD + "zones: [eu-central-1a]\n", "zones: too few entries: 1 (expected a list of two to six zones)"),
        (HEAD + "zones: []\n", "zones: found an empty list, expected a list of two to six zones"),
        (HEAD + "network: {vpc: vpc-0a1b2c3d}\n", "needs subnets too"),
        (HEAD + "idle: {destroy: 5m, archive: s3://a-b/c}\n", "idle.destroy: less than ten minutes"),
        (HEAD + "idle: {archive: s3://a-b/c}\n", "set the idle time, for example destroy: 8h"),
        (HEAD + "idle: {destroy: 8h, archive: s3://a-b}\n", "expected an S3 URL such as s3://BUCKET/PREFIX"),
        (HEAD + "idle: {destroy: 8h, archive: /tmp}\n", "expected an S3 URL such as s3://BUCKET/PREFIX"),
        (HEAD + "network: {cidr: 8.8.0.0/16}\n", "is not a private network from /16 to /20"),
        (HEAD + "network: {cidr: 10.0.0.1/16}\n", "is not a network"),
        (HEAD + "network: {endpoint: private, allow: [10.0.0.0/8]}\n", "only applies to a public endpoint"),
        (HEAD + "gpu: {instance_type: g5.xlarge, max_nodes: 1, gpu: false}\n", ("cannot be false: the pool `gpu`"
            " has GPUs")),
        (HEAD + "pools: {gpu: {instance_type: g5.xlarge, max_nodes: 1}}\n", ("write it at the top level of the"
            " file: gpu:")),
        (HEAD + "pools: {a: {instance_type: huge, max_nodes: 1}}\n", "expected an instance type such as c5.xlarge"),
        (HEAD + "pools: {a: {instance_type: c5.large, max_nodes: 0}}\n", "found 0, expected an integer from 1"),
        (HEAD + "pools: {a: {instance_type: c5.large, max_nodes: 1, disk: 5}}\n", ("disk size out of range"
            " (expected 20Gi to 16384Gi)")),
        (HEAD + "access: [{who: ada}]\n", "expected the ARN of an IAM role or user"),
        (HEAD + "access: [{who: 'arn:aws:iam::123456789012:user/a', role: boss}]\n", "viewer, editor, owner or admin"),
        (HEAD + "tags: {'aws:x': y}\n", "is not a valid name for a tag"),
        (HEAD + "tags: {Name: y}\n", "'Name' is not a valid name for a tag"),
        (HEAD + "tags: {orchestune.dev/cluster: y}\n", "`orchestune.dev/`"),
        (HEAD + "cpu: {instance_type: c5.large, max_nodes: 2}\n", "duplicate key"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_what_is_allowed(text: str, message: str) -> None:
    assert message in "\n".join(problems(text))


def test_what_the_provider_says_of_the_file_is_told_at_its_place() -> None:
    loaded = parse(FULL_FILE, "cluster.yml")
    complaints = [
        PlanProblem("pools.big.instance_type", "there is no p4d.24xlarge here", "did you mean p4de.24xlarge?"),
        PlanProblem("system.instance_type", "no"),
        PlanProblem("pools.gone", "no"),
    ]
    assert str(loaded.error(complaints)).splitlines() == [
        "cluster.yml:6:25: system.instance_type: no",
        "cluster.yml:9:3: pools: no",
        "cluster.yml:10:20: pools.big.instance_type: there is no p4d.24xlarge here (did you mean p4de.24xlarge?)",
    ]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load(tmp_path / "cluster.yml")


def test_the_schema_allows_what_the_parser_allows() -> None:
    document = json.loads((ROOT / "src/orchestune/config/cluster.schema.json").read_text())
    Draft202012Validator.check_schema(document)
    validator = Draft202012Validator(document)
    for text in (PAPER, FULL_FILE, HEAD):
        assert not list(validator.iter_errors(plain(compose(text, "file", ProblemReport()))))
    for text in (HEAD + "gpuu: {}\n", HEAD.replace("1, max", "-1, max"), "cloud_provider: aws\ncluster_name: x\n"):
        assert list(validator.iter_errors(plain(compose(text, "file", ProblemReport()))))
