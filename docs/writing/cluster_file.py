"""The reference page of the cluster file; made from the table of keys."""

from __future__ import annotations

from docs.writing.experiment_file import table
from orchestune.config.cluster_file.keys import IDLE_KEYS, IMAGES_KEYS, KEYS, NETWORK_KEYS
from orchestune.config.cluster_file.pools import POOL_KEYS

_OPENING = """\
# The cluster file

`orchestune cluster create -f cluster.yml` makes what it describes, `cluster update` brings it to what it describes now.
[Clusters at AWS](../how-to/aws.md) tells the rest.

```yaml
cloud_provider: aws
cluster_name: orchestrate-cluster
gpu: {instance_type: p3.8xlarge, min_nodes: 4, max_nodes: 4}
cpu: {instance_type: c4.xlarge, min_nodes: 4, max_nodes: 4}
```

That is the paper's file. One with more in it:

```yaml
cloud_provider: aws
cluster_name: vision
region: eu-central-1
system: {instance_type: t3.large, min_nodes: 1, max_nodes: 2}
cpu: {instance_type: [c6i.2xlarge, c5.2xlarge], min_nodes: 0, max_nodes: 20, spot: true}
gpu: {instance_type: g5.2xlarge, min_nodes: 0, max_nodes: 8, disk: 200Gi}
pools:
  big: {instance_type: p4d.24xlarge, min_nodes: 0, max_nodes: 2, gpu: true, taints: ["team=vision:NoSchedule"]}
access:
- {who: "arn:aws:iam::123456789012:role/ml-team", role: editor}
idle: {scale_down: 5m, destroy: 8h, archive: s3://team-archive/vision}
tags: {cost-center: ml}
```

The file is YAML 1.2 and at most 1 MiB of UTF-8 text. All mistakes are reported together, each with line and column;
what only the provider can tell (instance types, zones, quotas) is asked before anything is made, and reported at its
place too. A JSON Schema for editors lies in the package as `orchestune/config/cluster.schema.json`.

"""

_TAINTS = """
## `taints`

A list of texts such as `team=vision:NoSchedule`, or of mappings with `key`, `value` and `effect`.

"""

_OLDER = """\
## Older files

Files of SigOpt Orchestrate 0.7 are read too: `provider`, `node_volume_size` (GiB), `aws: {additional_policies: […]}`,
which is `policies`. `aws: {keys: …}` has no effect: credentials never stand in a file.
"""


def page() -> str:
    """The page docs/reference/cluster-file.md."""
    by_name = {key.name: key for key in KEYS}
    parts = [_OPENING, "## Keys\n\n", table(KEYS), "\n## Pools: `cpu`, `gpu`, `system` and those of `pools`\n\n"]
    parts += [table(POOL_KEYS), _TAINTS]
    for name, keys in (("network", NETWORK_KEYS), ("access", by_name["access"].kind.keys), ("idle", IDLE_KEYS),
                       ("images", IMAGES_KEYS)):  # fmt: skip
        parts.append(f"## `{name}`\n\n{table(keys)}\n")
    return "".join([*parts, _OLDER])
