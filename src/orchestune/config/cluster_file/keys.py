"""The table of everything that a cluster file may say: parser, JSON Schema and reference all follow from it."""

from __future__ import annotations

from orchestune.config.cluster_file.pools import POOL, POOLS
from orchestune.config.document.kinds import TIME, TRUTH, Key, one_of, text
from orchestune.config.document.shapes import NamedEntry, changed, list_of, mapping_of, section
from orchestune.config.sections.placement import IMAGE
from orchestune.domain.clusters.cluster import ROLES, AccessGrant

PROVIDERS = ("aws",)
LATER_PROVIDERS = ("gcp", "azure")
_CIDR = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}"

NETWORK_KEYS = (
    Key("vpc", text("the id of a VPC such as vpc-0a1b2c3d", r"vpc-[0-9a-f]{8,17}"), "A network that is there. Nothing"
        " of it is changed or removed.", "one is made"),
    Key("subnets", list_of(text("the id of a subnet such as subnet-0a1b2c3d", r"subnet-[0-9a-f]{8,17}"),
                           "a list of ids of subnets", most=16),
        "Subnets of `vpc`, in two zones at least, from which machines reach the internet or the provider's services."),
    Key("cidr", text("a network such as 10.42.0.0/16", _CIDR), "The addresses of the network that is made: /16 to"
        " /20.", "10.42.0.0/16"),
    Key("endpoint", one_of(("public", "private")), "From where the cluster's API server answers: from everywhere, to"
        " who has credentials; or from the network alone, which then needs a VPN.", "public"),
    Key("allow", list_of(text("a network such as 203.0.113.0/24", _CIDR), "a list of networks", most=40),
        "Networks from which a public endpoint answers.", "everywhere"),
)  # fmt: skip

_ACCESS_KEYS = (
    Key("who", text("the ARN of an IAM role or user", r"arn:aws[a-z\-]*:iam::[0-9]{12}:(?:role|user)/[\w+=,.@/\-]+",
                    most=2048), "Who: the ARN of a role or a user.", required=True),
    Key("role", one_of(ROLES), "What they may: `viewer`, `editor` and `owner` are those of the server, `admin` may"
        " do everything in the cluster.", "editor"),
)  # fmt: skip
ACCESS = list_of(
    changed(section(_ACCESS_KEYS, also={"arn": "who", "principal": "who"}),
            lambda read: AccessGrant(read.get("who") or "", read.get("role") or "editor")),
    "a list of mappings with who and role", least=0, most=200,
)  # fmt: skip

IDLE_KEYS = (
    Key("scale_down", TIME, "How long a machine is without work before it goes, down to `min_nodes`.", "10m"),
    Key("destroy", TIME, "How long nothing is unfinished and no worker is there before the cluster copies its records"
        " and files to `archive` and destroys itself; at least 10m.", "it stays until somebody destroys it"),
    Key("archive", text("a place such as s3://BUCKET/PREFIX", r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9](?:/[\w.\-]+)+/?"),
        "Where they go: a folder of a bucket that is there and is not the cluster's own. `destroy` needs it."),
)  # fmt: skip
IMAGES_KEYS = (
    Key("autoscaler", IMAGE, "The cluster autoscaler.", "the newest release for the version of Kubernetes"),
    Key("device_plugin", IMAGE, "NVIDIA's device plugin.", "its newest release"),
)
TAGS = mapping_of(
    NamedEntry("a tag", r"(?!aws:|orchestune\.dev/|kubernetes\.io/|k8s\.io/|Name$)[\w .:/=+@\-]{1,128}",
          "letters, digits, spaces and _ . : / = + - @ are allowed, but `Name`, and `aws:`, `orchestune.dev/`,"
          " `kubernetes.io/` or `k8s.io/` in front"),
    text("text of at most 256 letters, digits, spaces and _ . : / = + - @", r"[\w .:/=+@\-]*", most=256, loose=True),
    "a mapping from tags to values", most=40,
)  # fmt: skip

KEYS = (
    Key("cloud_provider", one_of((*PROVIDERS, *LATER_PROVIDERS, "custom")), "Whose machines. Clusters are made at `aws`"
        " alone so far; `orchestune cluster connect` takes those that are there, wherever they are.", required=True),
    Key("cluster_name", text("a name of letters, digits and -, a letter first", r"[A-Za-z][A-Za-z0-9\-]*", most=100),
        "What the cluster is called, here and at the provider: at most 40 characters.", required=True),
    Key("cpu", POOL, "A pool of machines without GPUs."),
    Key("gpu", POOL, "A pool of machines with GPUs."),
    Key("system", POOL, "A pool for the server and what the cluster needs itself.",
        "a machine of 2 cores, where no pool without GPUs and taints keeps one"),
    Key("pools", POOLS, "More pools, by names of your own: what `pool` of an experiment names."),
    Key("region", text("a region such as eu-central-1", r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]"), "Where.",
        "what AWS_REGION or the profile says"),
    Key("zones", list_of(text("a zone such as eu-central-1a", r"[a-z0-9\-]+[a-z]"), "a list of two to six zones",
                         least=2, most=6),
        "In which zones of the region; two at least.", "up to three that offer the pools' machines"),
    Key("kubernetes_version", text("a version such as 1.33", r"1\.[0-9]{2}", loose=True), "The version of Kubernetes.",
        "the provider's default"),
    Key("network", section(NETWORK_KEYS, also={"vpc_id": "vpc", "subnet_ids": "subnets"}), "In which network.",
        "one is made"),
    Key("access", ACCESS, "Who else may use the cluster.", "who made it"),
    Key("idle", section(IDLE_KEYS), "What happens without work."),
    Key("bucket", TRUTH, "Files lie in a bucket of the cluster's own, and not on the server's disk.", "false"),
    Key("policies", list_of(text("the ARN of a policy", r"arn:aws[a-z\-]*:iam::(?:[0-9]{12}|aws):policy/[\w+=,.@/\-]+"),
                            "a list of ARNs of policies", least=0, most=8),
        "More rights of the machines, such as reading a bucket with data.", "none"),
    Key("images", section(IMAGES_KEYS), "What runs beside the server, from a registry of your own."),
    Key("tags", TAGS, "Tags of everything that is made, for the bill for instance."),
)  # fmt: skip
ALSO = {
    "provider": "cloud_provider", "cloud": "cloud_provider", "name": "cluster_name", "cluster": "cluster_name",
    "node_pools": "pools", "node_groups": "pools", "version": "kubernetes_version", "vpc": "network.vpc",
    "availability_zones": "zones", "files": "bucket", "users": "access",
}  # fmt: skip
CLUSTER = section(KEYS, later=("cost",), also=ALSO)
