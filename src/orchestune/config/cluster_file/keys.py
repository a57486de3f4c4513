"""The table of all keys of a cluster file. Parser, JSON Schema and reference are derived from it."""

from __future__ import annotations

from orchestune.config.cluster_file.pools import POOL, POOLS
from orchestune.config.document.kinds import BOOLEAN, TIME, Key, one_of, string
from orchestune.config.document.shapes import NamedEntry, converted, list_of, mapping_of, section
from orchestune.config.sections.placement import IMAGE
from orchestune.domain.clusters.cluster import ROLES, AccessGrant

PROVIDERS = ("aws",)
LATER_PROVIDERS = ("gcp", "azure")
_CIDR = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}"

NETWORK_KEYS = (
    Key("vpc", string("the id of a VPC such as vpc-0a1b2c3d", r"vpc-[0-9a-f]{8,17}"), "An existing network. It is"
        " never changed or removed.", "a new one"),
    Key("subnets", list_of(string("the id of a subnet such as subnet-0a1b2c3d", r"subnet-[0-9a-f]{8,17}"),
                           "a list of ids of subnets", most=16),
        "Subnets of `vpc`, in at least two zones, with access to the internet or the provider's services."),
    Key("cidr", string("a network such as 10.42.0.0/16", _CIDR), "The address range of a new network: /16 to"
        " /20.", "10.42.0.0/16"),
    Key("endpoint", one_of(("public", "private")), "Access to the cluster's API server: from everywhere, with"
        " credentials; or only from the network, which then needs a VPN.", "public"),
    Key("allow", list_of(string("a network such as 203.0.113.0/24", _CIDR), "a list of networks", most=40),
        "Networks that may reach a public endpoint.", "everywhere"),
)  # fmt: skip

_ACCESS_KEYS = (
    Key("who", string("the ARN of an IAM role or user", r"arn:aws[a-z\-]*:iam::[0-9]{12}:(?:role|user)/[\w+=,.@/\-]+",
                    most=2048), "The ARN of a role or a user.", required=True),
    Key("role", one_of(ROLES), "Their role: `viewer`, `editor` and `owner` are roles of the server, `admin` may"
        " do everything in the cluster.", "editor"),
)  # fmt: skip
ACCESS = list_of(
    converted(section(_ACCESS_KEYS, also={"arn": "who", "principal": "who"}),
            lambda read: AccessGrant(read.get("who") or "", read.get("role") or "editor")),
    "a list of mappings with who and role", least=0, most=200,
)  # fmt: skip

IDLE_KEYS = (
    Key("scale_down", TIME, "Idle time after which a machine is removed, down to `min_nodes`.", "10m"),
    Key("destroy", TIME, "Time without unfinished experiments and workers after which the cluster copies its records"
        " and files to `archive` and destroys itself; at least 10m.", "it stays until a user destroys it"),
    Key("archive", string("an S3 URL such as s3://BUCKET/PREFIX", r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9](?:/[\w.\-]+)+/?"),
        "Their destination: a folder of an existing bucket other than the cluster's own. Required by `destroy`."),
)  # fmt: skip
IMAGES_KEYS = (
    Key("autoscaler", IMAGE, "The cluster autoscaler.", "the newest release for the version of Kubernetes"),
    Key("device_plugin", IMAGE, "NVIDIA's device plugin.", "the newest release"),
)
TAGS = mapping_of(
    NamedEntry("a tag", r"(?!aws:|orchestune\.dev/|kubernetes\.io/|k8s\.io/|Name$)[\w .:/=+@\-]{1,128}",
          "use letters, digits, spaces and _ . : / = + - @, but not `Name` or the prefixes `aws:`, `orchestune.dev/`,"
          " `kubernetes.io/` and `k8s.io/`"),
    string("text of at most 256 letters, digits, spaces and _ . : / = + - @", r"[\w .:/=+@\-]*", most=256,
           any_scalar=True),
    "a mapping from tags to values", most=40,
)  # fmt: skip

KEYS = (
    Key("cloud_provider", one_of((*PROVIDERS, *LATER_PROVIDERS, "custom")), "The cloud provider. New clusters can be"
        " created at `aws` only; `orchestune cluster connect` uses an existing cluster anywhere.", required=True),
    Key("cluster_name", string("a name of letters, digits and -, a letter first", r"[A-Za-z][A-Za-z0-9\-]*", most=100),
        "The name of the cluster, also at the provider: at most 40 characters.", required=True),
    Key("cpu", POOL, "A pool of machines without GPUs."),
    Key("gpu", POOL, "A pool of machines with GPUs."),
    Key("system", POOL, "A pool for the server and system services.",
        "a machine with 2 cores, if no pool without GPUs and taints always has one"),
    Key("pools", POOLS, "More pools by name, for the key `pool` of experiments."),
    Key("region", string("a region such as eu-central-1", r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]"), "The region.",
        "that of AWS_REGION or the profile"),
    Key("zones", list_of(string("a zone such as eu-central-1a", r"[a-z0-9\-]+[a-z]"), "a list of two to six zones",
                         least=2, most=6),
        "Zones of the region; at least two.", "up to three that offer the pools' machines"),
    Key("kubernetes_version", string("a version such as 1.33", r"1\.[0-9]{2}", any_scalar=True),
        "The version of Kubernetes.", "the provider's default"),
    Key("network", section(NETWORK_KEYS, also={"vpc_id": "vpc", "subnet_ids": "subnets"}), "The network.",
        "a new one"),
    Key("access", ACCESS, "Further users of the cluster.", "only its creator"),
    Key("idle", section(IDLE_KEYS), "Scale-down and teardown of an idle cluster."),
    Key("bucket", BOOLEAN, "Store files in a bucket of the cluster instead of the server's disk.", "false"),
    Key("policies", list_of(string("the ARN of a policy",
                                   r"arn:aws[a-z\-]*:iam::(?:[0-9]{12}|aws):policy/[\w+=,.@/\-]+"),
                            "a list of ARNs of policies", least=0, most=8),
        "Further permissions of the machines, such as reading a bucket with data.", "none"),
    Key("images", section(IMAGES_KEYS), "Images of system services, for a registry of your own."),
    Key("tags", TAGS, "Tags of all created resources, for example for billing."),
)  # fmt: skip
ALSO = {
    "provider": "cloud_provider", "cloud": "cloud_provider", "name": "cluster_name", "cluster": "cluster_name",
    "node_pools": "pools", "node_groups": "pools", "version": "kubernetes_version", "vpc": "network.vpc",
    "availability_zones": "zones", "files": "bucket", "users": "access",
}  # fmt: skip
CLUSTER = section(KEYS, later=("cost",), also=ALSO)
