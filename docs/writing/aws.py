"""Write docs/how-to/aws.md; its permissions are generated from the API calls that the code makes."""

from __future__ import annotations

import json

from orchestune.clusters.aws import rights

_PAGE = """\
# Clusters at AWS

```sh
pip install 'orchestune[aws]'
orchestune cluster create -f cluster.yml --dry-run    # lists every resource in order; changes nothing
orchestune cluster create -f cluster.yml              # asks first, with account and region; takes 15 to 20 minutes
orchestune run --cluster orchestrate-cluster
orchestune cluster status -n orchestrate-cluster
orchestune cluster update -f cluster.yml              # sizes, added and removed pools, access
orchestune cluster destroy -n orchestrate-cluster     # copies records and files, removes everything, verifies it
```

```yaml
cloud_provider: aws
cluster_name: orchestrate-cluster
gpu: {instance_type: p3.8xlarge, min_nodes: 4, max_nodes: 4}
cpu: {instance_type: c4.xlarge, min_nodes: 4, max_nodes: 4}
```

[The cluster file](../reference/cluster-file.md) lists all keys. Your machine needs nothing else: no `aws`, `kubectl`,
`eksctl`, `docker` or `aws-iam-authenticator`.

`create` first validates the file against the region: instance types (with suggestions for misspelled ones), zones,
Kubernetes versions, subnets and quotas. If it is interrupted, run it again: it finds existing resources by their tags
(`orchestune.dev/cluster`) and names, and continues; there is no state file. If two people create the same cluster at
the same time, one of them gets an error that names the other.

## Credentials

Orchestune uses the credentials that the AWS SDK finds: `AWS_PROFILE`, SSO (`aws sso login`), assumed roles,
`AWS_ACCESS_KEY_ID` with `AWS_SECRET_ACCESS_KEY`, or an instance role; `AWS_ENDPOINT_URL` selects another endpoint.
Credentials are never stored. The name of the profile is stored, and used by later commands if the environment selects
no credentials; image pushes use those of the environment. Each command logs in to the cluster with the same
credentials. If they expire during a command, log in again and repeat the command: it continues.

## What is created

- A network over three zones (two if the region has no more): private subnets for nodes, public ones for load
  balancers, one NAT gateway, and an S3 endpoint, so that images and files cause no NAT charges. With `network: {vpc:
  …, subnets: […]}` the nodes use your subnets, and nothing else in your network changes.
- One IAM role per component, with only the rights that it needs: control plane, nodes, the VPC CNI and EBS CSI
  drivers, the autoscaler, the server if there is a bucket, and the function that destroys an idle cluster. Pods assume
  their roles by EKS Pod Identity.
- An EKS control plane of EKS's default version with access entries, and the add-ons VPC CNI, kube-proxy, CoreDNS, EBS
  CSI and Pod Identity agent, each in EKS's default version.
- For each pool a managed node group with a launch template: the latest Amazon Linux 2023 image (with NVIDIA drivers
  for GPU instances), encrypted disks, and instance metadata by token and not for pods.
- The cluster autoscaler (between `min_nodes` and `max_nodes`, which may be 0), NVIDIA's device plugin if there are
  GPUs, and a default StorageClass of encrypted gp3 disks.
- Three ECR repositories that keep the latest 300 images; with `bucket: true` also a bucket without public access.
- The server, deployed exactly as [`cluster connect`](connect-a-cluster.md) deploys it to an existing cluster.

If no pool without GPUs and taints always has a node, a pool `system` with one small node is added: the server needs a
node while all other pools are scaled to 0. The nodes of `system` are in one zone, that of the server's disk, so that a
replacement can attach the disk. If another pool hosts the server and has fewer nodes than there are zones, a lost node
may be replaced in another zone, where the server then waits for its disk; `create` prints a note. To rule that out,
write `system: {instance_type: t3a.large, min_nodes: 1, max_nodes: 1}` yourself.

## Pools, GPUs, spot instances

Experiments select a pool by name (`pool: big`) or by what they need: `resources: {gpu: 1}` runs on GPU nodes, which
run nothing else. Nodes are labeled with the name and memory of their GPUs from the start, so `gpu: {type: v100}` works
while the pool is scaled to 0. A pool that is called `gpu` or has `gpu: true` is rejected if its instances have no
GPUs, or GPUs that are not NVIDIA's.

Spot instances (`spot: true`) cost a third or less, and AWS may reclaim them with two minutes' notice: EKS then drains
them, and their trials are requeued without counting towards the budget. Give such a pool several instance types of the
same size.

Nodes are removed after ten minutes without work, or as `idle: {scale_down: …}` says.

## What it costs

From `create` to `destroy`, whether you use it or not: the control plane (about $0.10 per hour), the NAT gateway (about
$0.045 per hour and per GB), a public address, `min_nodes` nodes of each pool with their disks, and the server's 20 GiB
disk. Nodes that the autoscaler adds come on top. Clusters have standard support: EKS upgrades a version at its end of
life instead of charging six times as much. These prices are from AWS's pages; Orchestune does not request current
ones. `tags:` adds your own tags to all resources, for cost allocation.

## Quotas

New accounts may run few instances, and none with GPUs. `create` rejects `min_nodes` beyond the quota, with the quota's
code and the page on which to request an increase, and warns about `max_nodes` beyond it. AWS also limits VPCs (5 per
region), elastic addresses (5) and clusters (100).

## Giving others access

```yaml
access:
- {who: "arn:aws:iam::123456789012:role/ml-team", role: editor}
- {who: "arn:aws:iam::123456789012:user/ada", role: viewer}
```

`viewer`, `editor` and `owner` are [the roles of the server](permissions.md); `admin` has all rights in the cluster.
Colleagues need `eks:DescribeCluster` on it, `eks:ListNodegroups`, `eks:DescribeNodegroup` and
`autoscaling:DescribeAutoScalingGroups`; to push images, also `ecr:GetAuthorizationToken` and the rights on the
repositories. They run

```sh
orchestune cluster list --cloud aws --region eu-central-1
orchestune cluster connect -n vision --cloud aws --region eu-central-1
```

People removed from the list lose access with the next `cluster update`. The creator of the cluster is always its
admin.

## Private networks

With `network: {endpoint: private}` the API server is reachable only inside the network: run the commands on a machine
there, or through a VPN. `allow: [203.0.113.0/24]` restricts a public endpoint to some networks. Subnets of your own
need a route to ECR, S3, EC2, STS and EKS (a NAT gateway, or endpoints of these services); without internet access,
name images in your own registry: `images: {autoscaler: …, device_plugin: …}`.

## Changing the cluster

`cluster update` shows the differences and asks for confirmation. Sizes, labels, taints, access and the endpoint
(`network: {endpoint: …, allow: […]}`) change in place. New pools are created first; then pools that are no longer in
the file are drained and removed: their trials upload their checkpoints, are requeued without counting towards the
budget, and resume on other nodes; the server moves last. Policies that are not in the file are detached from the
nodes' role. The instances of a pool (type, disk, spot) cannot be changed: rename the pool. Version, network, zones and
the location of files (`bucket`) cannot be changed either, and the error names the line of the file; adding `zones` is
allowed.

Both `cluster update` and `cluster create` recreate what was removed by hand: gateways, addresses, routes and route
tables, subnets, endpoints, roles, add-ons, identities, access entries, repositories, the bucket, pools. They recreate
failed add-ons, and repair resources that lack a part, such as a permission, a route or the lifecycle rule for images;
`--dry-run` lists these as `repaired: …`. EKS cannot give a pool a new launch template or subnet after the old one was
deleted: the error says so, and a pool with another name replaces it.

## Destroying an idle cluster automatically

```yaml
idle: {destroy: 8h, archive: s3://team-archive/vision}
```

By default an idle cluster stays, and costs money. A cluster is idle if for all of this time its server has seen no
unfinished experiment (paused ones are unfinished) and no worker; a restart of the server restarts the time. The server
then copies all records and files to `archive`, a folder in a bucket of yours (never the cluster's own, which is
deleted too), and reads every copy back. If a copy fails, the cluster stays, and `cluster status` says why. After the
copy the server accepts no new experiments, and calls the AWS Lambda function that `create` has set up: a cluster
cannot delete itself from inside, because its nodes are deleted before its control plane. The function does what
`cluster destroy` does, with rights on this cluster only, in runs of at most 15 minutes that call the next one, and
finally deletes itself and its role. The server's own rights are to call it and to write to the archive. `orchestune
import s3://team-archive/vision` imports the records into another server.

`orchestune cluster destroy -n NAME --cloud aws --region …` verifies that nothing is left, and removes what is:
resources that something outside the cluster still used, or the function's role if IAM withdrew its rights before it
could delete itself (a role without rights, which costs nothing).

`cluster status` shows since when the cluster is idle and when it will be destroyed. To cancel, remove `destroy` and
`archive` from the file and run `cluster update -f cluster.yml`: function, role and rights are deleted. If the bucket
is encrypted with your own key or belongs to another account, you must grant access to the role
`orchestune-NAME-REGION-server` yourself.

## Destroying the cluster

Records and files are first copied to this machine, or to `--to`, and verified. Then these are deleted: workloads, load
balancers and disks that Kubernetes created, pools, the control plane, leftovers (also what GuardDuty has added to the
network), the network, the repositories (with `--keep-registry` only by a later `destroy`), the bucket, the roles.
Resources in use are retried. At the end every service is checked: the output is `nothing left`, or what is left and
why; resolve that and repeat the command. Resources without the cluster's tag are never touched, and clusters with this
name that Orchestune did not create are rejected. On another machine, add `--cloud aws --region …`. If the cluster does
not respond, `--abandon` destroys it without a copy.

## Troubleshooting

| message | what to do |
|---|---|
| `missing permission iam:CreateRole` | grant that action; the complete policy is below |
| `a quota of the account is exhausted` | remove unused resources, or request a larger quota |
| `InsufficientInstanceCapacity` | use several instance types, other zones, or `min_nodes: 0`; repeat the command |
| `Instances failed to join` | add routes from your subnets to EKS, ECR, EC2 and S3 |
| `is being created or changed by …` | wait; the lock of a dead process expires after a minute |
| `foreign network interfaces are in it` | remove them, then repeat `destroy` |
| `the AWS credentials have expired` | log in, then repeat the command |
| `not destroyed yet: …` | fix what prevents the copy to `archive`; the server retries |
| `the cluster rejects this user's login` | add the user to `access` in the file, then run `orchestune cluster update` |
| the server does not become ready | run `orchestune cluster test -n NAME` |

## Permissions

These policies contain exactly the API calls that Orchestune makes; it cannot make others. They are one policy, split
to the size that IAM allows for managed policies: attach all of them. Anyone who can attach policies to roles called
`orchestune…` and start instances with them can give those roles further rights: the policies are for administrators of
clusters. In GovCloud and China the ARNs begin with `arn:aws-us-gov:` and `arn:aws-cn:`, and in China the EC2 service
is `ec2.amazonaws.com.cn`.

POLICIES
"""


def page() -> str:
    """Return the page."""
    policies = [f"```json\n{json.dumps(part, indent=1)}\n```" for part in rights.parts()]
    return _PAGE.replace("POLICIES", "\n\n".join(policies))
