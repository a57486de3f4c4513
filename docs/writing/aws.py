"""docs/how-to/aws.md; its permissions are made from the calls that the code makes."""

from __future__ import annotations

import json

from orchestune.clusters.aws import rights

_PAGE = """\
# Clusters at AWS

```sh
pip install 'orchestune[aws]'
orchestune cluster create -f cluster.yml --dry-run    # every resource, in order; changes nothing
orchestune cluster create -f cluster.yml              # asks, naming account and region; 15 to 20 minutes
orchestune run --cluster orchestrate-cluster
orchestune cluster status -n orchestrate-cluster
orchestune cluster update -f cluster.yml              # sizes, new pools, pools that go, who may use it
orchestune cluster destroy -n orchestrate-cluster     # copies records and files, removes all, proves it
```

```yaml
cloud_provider: aws
cluster_name: orchestrate-cluster
gpu: {instance_type: p3.8xlarge, min_nodes: 4, max_nodes: 4}
cpu: {instance_type: c4.xlarge, min_nodes: 4, max_nodes: 4}
```

[The cluster file](../reference/cluster-file.md) lists all keys. Nothing else is needed on your machine: no `aws`,
`kubectl`, `eksctl`, `docker` or `aws-iam-authenticator`.

Before anything is made the file is checked against the region: instance types (with what you may have meant), zones,
versions of Kubernetes, subnets, quotas. Interrupted anywhere, `create` goes on when it is repeated: what is there is
found by its tags (`orchestune.dev/cluster`) and names, no file has to be kept. Two people who create the same cluster
at once: one makes it, the other one is told by whom it is being made.

## Credentials

Whatever the AWS SDK finds: `AWS_PROFILE`, SSO (`aws sso login`), assumed roles, `AWS_ACCESS_KEY_ID` with
`AWS_SECRET_ACCESS_KEY`, the role of a machine; `AWS_ENDPOINT_URL` leads elsewhere. None is ever stored. The name of the
profile is, so that later commands find the cluster where the environment says nothing; what pushes images takes the
environment's. The login at the cluster is made from the same credentials for each command. Where they expire in the
middle of a command, log in again and repeat it: it goes on from there.

## What is made

- a network over three zones (two where there are no more): private subnets for machines, public ones for load
  balancers, one NAT gateway, an endpoint for S3, so that images and files do not pay for the gateway. With
  `network: {vpc: …, subnets: […]}` machines go into yours instead, in which nothing else is changed;
- a role for each part, with what that part needs: control plane, machines, addresses and disks of pods, the autoscaler,
  the server where there is a bucket, and the function where an idle cluster destroys itself. Pods get theirs by EKS Pod
  Identity;
- an EKS control plane of EKS's default version with access entries, and the add-ons VPC CNI, kube-proxy, CoreDNS,
  EBS CSI, pod identity agent, each in the version that EKS takes by default;
- for each pool a managed node group with a launch template: EKS's newest image of Amazon Linux 2023 (with NVIDIA's
  drivers where the machines have cards), encrypted disks, instance metadata by token and not for pods;
- the cluster autoscaler (between `min_nodes` and `max_nodes`, 0 included), NVIDIA's device plugin where there are
  cards, a default StorageClass of encrypted gp3 disks;
- three ECR repositories that keep the newest 300 images; with `bucket: true` a bucket that is closed to the public;
- the server, exactly as [`cluster connect`](connect-a-cluster.md) brings it into a cluster that is there.

A pool `system` with one small machine is added where no other pool without GPUs and taints always keeps one: something
has to run the server while everything else is at 0. Its machines stand in one zone, that of the server's disk, so that
another one can take the disk over. A pool that keeps fewer machines than there are zones may get a lost one replaced in
another zone, where the server then waits for its disk; `create` notes it. Where that must not be, write the pool
`system: {instance_type: t3a.large, min_nodes: 1, max_nodes: 1}` yourself.

## Pools, GPUs, spot

Experiments choose a pool by its name (`pool: big`), or by what they need: `resources: {gpu: 1}` goes to machines with
cards, on which nothing else runs. Their names and memory are labels of the nodes from the start, so `gpu: {type: v100}`
is understood while no such machine runs yet. A pool called `gpu`, or with `gpu: true`, whose machines have no cards is
refused, and so are cards that are not NVIDIA's.

With `spot: true` machines cost a third or less and may be taken away with two minutes' notice: EKS drains them, their
trials are offered again at no cost to the budget. Give such a pool several instance types of one size.

Machines go after ten minutes without work, or what `idle: {scale_down: …}` says.

## What it costs

From `create` to `destroy`, whether you use it or not: the control plane (about 0.10 $ an hour), the NAT gateway (about
0.045 $ an hour and per GB that leaves), a public address, `min_nodes` machines of each pool with their disks, the
server's disk of 20 GiB. Then whatever the autoscaler adds. Clusters are made with standard support: a version that has
come to its end is upgraded by EKS instead of costing six times as much. Prices are those of AWS's pages; nothing here
asks for them. `tags:` puts your own tags on everything, for the bill.

## Quotas

New accounts may run few machines, and none with GPUs. `min_nodes` beyond the quota is refused with the quota's code and
the page that raises it; `max_nodes` beyond it is a remark. Also limited: networks (5 a region), addresses (5), clusters
(100).

## Sharing it

```yaml
access:
- {who: "arn:aws:iam::123456789012:role/ml-team", role: editor}
- {who: "arn:aws:iam::123456789012:user/ada", role: viewer}
```

`viewer`, `editor` and `owner` are [the roles of the server](permissions.md); `admin` may do everything in the cluster.
Colleagues need `eks:DescribeCluster` on it, `eks:ListNodegroups` and `eks:DescribeNodegroup`, and
`autoscaling:DescribeAutoScalingGroups`; to push images also `ecr:GetAuthorizationToken` and the rights of the
repositories. They run

```sh
orchestune cluster list --cloud aws --region eu-central-1
orchestune cluster connect -n vision --cloud aws --region eu-central-1
```

Who leaves the list loses access with the next `cluster update`. Who made the cluster is its admin, whatever the list
says.

## Private networks

`network: {endpoint: private}` lets the API server answer inside the network alone: run the commands from a machine
there, or through a VPN. `allow: [203.0.113.0/24]` keeps a public one to some networks. Subnets of your own need a way
to ECR, S3, EC2, STS and EKS (a NAT gateway, or endpoints of these services); without the internet name images of your
registry: `images: {autoscaler: …, device_plugin: …}`.

## Changing it

`cluster update` shows what differs and asks. Sizes, labels, taints, access and from where the API server answers
(`network: {endpoint: …, allow: […]}`) change in place; new pools come first; pools that the file has no more are
drained and removed: their trials publish their checkpoints, are offered again at no cost to the budget, and go on
elsewhere; the server moves last. Policies that the file does not name go from the machines. What a pool's machines are
(type, disk, spot) cannot be changed: give the pool another name. Version, network, zones and where files lie (`bucket`)
stay as they were made, which is told at their place in the file; more `zones` may come.

What somebody has removed by hand `cluster update` makes again, and `cluster create` too: gateways, addresses, routes
and their tables, subnets, endpoints, roles, add-ons, identities, access, registry, bucket, pools. An add-on that failed
is made anew. What is there and lacks something inside, such as a right, a route or the rule by which old images go,
both mend; `--dry-run` shows it as `repaired: …` first. A pool whose launch template or subnet is gone cannot get a new
one from EKS, which is told; under another name it is made anew.

## Destroying itself when nobody uses it

```yaml
idle: {destroy: 8h, archive: s3://team-archive/vision}
```

An idle cluster stays, and costs money, unless its file says so. Idle means: nothing is unfinished (a paused experiment
is not over), and no worker is there, for all of that time as its server has seen it; a server that was restarted counts
anew. Then the server copies all records and files to `archive`, a folder of a bucket of yours (never the cluster's own,
which goes with it), and reads every copy again; what is not copied keeps the cluster, and `cluster status` says why.
From then on it takes nothing new, and calls the one function of AWS Lambda that `create` has made for this. Machines go
before the control plane, and with them whatever runs on them, so a cluster cannot remove itself from inside. The
function does what `cluster destroy` does, with rights on this cluster alone, in runs of at most 15 minutes that call
the next one, and removes itself and its role in the end. The server's own rights are to call it and to write into the
archive. `orchestune import s3://team-archive/vision` takes the records into another server.

`orchestune cluster destroy -n NAME --cloud aws --region …` proves that nothing is left, and removes what is: what
things of somebody else kept from going, or the function's role where IAM took its rights before it could remove itself
(a role that may nothing, and costs nothing).

`cluster status` shows since when it is idle and when it goes. Leave `destroy` and `archive` out of the file and run
`cluster update -f cluster.yml` to call it off: function, role and rights go. A bucket that is encrypted with a key of
yours, or that belongs to another account, has to allow the role `orchestune-NAME-REGION-server` itself.

## Destroying it

Records and files are copied and checked first, to this machine or `--to`. Then go: workloads, load balancers and disks
that Kubernetes made, pools, the control plane, what was left behind (also what GuardDuty has put into the network), the
network, the registry (unless `--keep-registry`, which a later `destroy` removes), the bucket, the roles. What is in use
is tried again. In the end every service is looked at once more: `nothing left`, or exactly what, and why. Repeat it
after mending that. Nothing is touched that lacks the cluster's tag, and a cluster of that name that is not ours is
refused. From another machine: `--cloud aws --region …`. Where the cluster does not answer any more, `--abandon` goes on
without a copy.

## When it goes wrong

| said | what to do |
|---|---|
| `missing permission iam:CreateRole` | add that action; the whole policy stands below |
| `a quota of the account is exhausted` | remove unused resources, or request a larger quota |
| `InsufficientInstanceCapacity` | several instance types, other zones, `min_nodes: 0`; then the same command again |
| `Instances failed to join` | subnets of your own have no way to EKS, ECR, EC2 or S3 |
| `is being created or changed by …` | wait; the lock of a dead process expires after a minute |
| `foreign network interfaces are in it` | remove them, then repeat `destroy` |
| `the AWS credentials have expired` | log in, then repeat the command |
| `not destroyed yet: …` | mend what keeps the server from copying its records to `archive`; it tries again |
| `the cluster rejects this user's login` | `access` in the file names its users; then `orchestune cluster update` |
| the server does not become ready | `orchestune cluster test -n NAME` |

## Permissions

Every call that is made is in these policies, and nothing else; a call that is not cannot be made. They are one, in the
parts that IAM takes as managed policies: attach all of them. Whoever may attach policies to roles called `orchestune…`
and start machines with them can give those roles more than they have: they are for administrators of clusters. In
GovCloud and China its ARNs begin with `arn:aws-us-gov:` and `arn:aws-cn:`, and in China machines are
`ec2.amazonaws.com.cn`.

POLICIES
"""


def page() -> str:
    """The page."""
    found = [f"```json\n{json.dumps(part, indent=1)}\n```" for part in rights.parts()]
    return _PAGE.replace("POLICIES", "\n\n".join(found))
