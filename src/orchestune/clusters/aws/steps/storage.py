"""Steps for image repositories and the bucket."""

from __future__ import annotations

import json
from functools import partial

from orchestune.clusters.aws.client import Aws, tag_value
from orchestune.clusters.aws.creation_steps import Repair, ResourceIds, Step
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import REPOSITORIES, TAG, Names
from orchestune.clusters.aws.requests import storage
from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import Conflict


def steps(site: ClusterSite) -> list[Step]:
    """Return steps for the repositories, and for the bucket if the file asks for one."""
    repositories = [_repository(site, name) for name in REPOSITORIES]
    return [*repositories, _bucket(site)] if site.spec.bucket else repositories


def _repository(site: ClusterSite, name: str) -> Step:
    planned = Planned("repository", site.names.repository(name))

    def find(ids: ResourceIds) -> str | None:
        description = repository(site.aws, site.names, name)
        if description is None:
            return None
        tags = site.aws.call(
            "ecr", "ListTagsForResource", {"resourceArn": description["repositoryArn"]}, about=planned.title
        )
        if tag_value(tags.get("tags") or [], TAG) != site.names.cluster:
            raise Conflict(f"the {planned.title} exists already and is not ours", "choose another cluster_name")
        return description["repositoryUri"]

    def create(ids: ResourceIds) -> str:
        response = site.aws.call("ecr", "CreateRepository", storage.repository(site.names, name), about=planned.title)
        return str(response["repository"]["repositoryUri"])

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        request = storage.lifecycle(site.names, name)
        target = {"repositoryName": request["repositoryName"]}
        current = site.aws.find("ecr", "GetLifecyclePolicy", target, about=planned.title) or {}
        write = partial(site.aws.call_eventually, "ecr", "PutLifecyclePolicy", request, about=planned.title)
        is_same = json.loads(current.get("lifecyclePolicyText", "{}")) == json.loads(request["lifecyclePolicyText"])
        return [] if is_same else [Repair("expiry of old images", write)]

    return Step(f"repository-{name}", planned, find, create, find_repairs=find_repairs)


def repository(aws: Aws, names: Names, name: str) -> dict[str, str] | None:
    """Return the repository, regardless of who created it; None if absent."""
    request = {"repositoryNames": [names.repository(name)]}
    description = aws.find("ecr", "DescribeRepositories", request, about=f"repository {names.repository(name)}")
    return None if description is None else dict(description["repositories"][0])


def _bucket(site: ClusterSite) -> Step:
    planned = Planned("bucket", site.names.bucket, "files of the server; public access blocked")

    def find(ids: ResourceIds) -> str | None:
        owner = bucket_owner(site.aws, site.names)
        if owner is None:
            return None
        if owner != site.names.cluster:
            raise Conflict(f"the {planned.title} exists already and is not ours", "choose another cluster_name")
        return site.names.bucket

    def create(ids: ResourceIds) -> str:
        site.aws.call("s3", "CreateBucket", storage.bucket(site.names), about=planned.title)
        site.aws.call_eventually("s3", "PutBucketTagging", storage.bucket_tags(site.names), about=planned.title)
        return site.names.bucket

    def find_repairs(ids: ResourceIds) -> list[Repair]:
        request, key = storage.public_access_block(site.names), "PublicAccessBlockConfiguration"
        current = site.aws.find("s3", "GetPublicAccessBlock", {"Bucket": site.names.bucket}, about=planned.title)
        block = partial(site.aws.call_eventually, "s3", "PutPublicAccessBlock", request, about=planned.title)
        return [] if (current or {}).get(key) == request[key] else [Repair("public access block", block)]

    return Step("bucket", planned, find, create, find_repairs=find_repairs)


def bucket_owner(aws: Aws, names: Names) -> str | None:
    """Return the cluster in the bucket's tag; empty if tagged otherwise; None if the bucket does not exist.

    An untagged bucket counts as Orchestune's: its name contains account and cluster, so its creation was interrupted.
    """
    target, about = {"Bucket": names.bucket}, f"bucket {names.bucket}"
    if aws.find("s3", "HeadBucket", target, about=about) is None:
        return None
    tags = aws.find("s3", "GetBucketTagging", target, about=about)
    return names.cluster if tags is None else tag_value(tags["TagSet"], TAG)
